"""Play a bag to the depth node: ros2 launch depth_anything_ros replay.launch.py bag:=PATH.

`ros2 bag play` plays it, and publishes /clock.
"""

import shutil
from pathlib import Path

import rclpy
from ament_index_python.packages import get_package_share_directory, get_packages_with_prefixes
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnShutdown
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from rclpy.node import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

IMAGE_TYPES = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}

# Ten milliseconds are little against every tolerance of the node.
CLOCK_HZ = '100'


def generate_launch_description() -> LaunchDescription:
    """Declare what is about the bag; everything else is declared by depth.launch.py."""
    depth = Path(get_package_share_directory('depth_anything_ros')) / 'launch' / 'depth.launch.py'
    return LaunchDescription(
        [
            DeclareLaunchArgument('bag', description='Folder or file of the bag to play.'),
            DeclareLaunchArgument('rate', default_value='1.0', description='Speed of playing.'),
            DeclareLaunchArgument(
                'loop',
                default_value='false',
                choices=['true', 'false'],
                description='Begin again when the bag ends, instead of ending the launch.',
            ),
            DeclareLaunchArgument(
                'start_offset', default_value='0.0', description='Seconds of the bag to pass over.'
            ),
            # The first declaration of a name decides its default.
            DeclareLaunchArgument(
                'use_sim_time',
                default_value='true',
                description='Take the time from /clock, which follows the bag (default true).',
            ),
            OpaqueFunction(function=_check),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(depth))),
            OpaqueFunction(function=_listen),
        ]
    )


def _value(context: LaunchContext, name: str) -> str:
    return str(LaunchConfiguration(name).perform(context))


def _bag(context: LaunchContext) -> Path:
    return Path(_value(context, 'bag')).expanduser()


def _check(context: LaunchContext) -> None:
    if not _bag(context).exists():
        raise RuntimeError(f'bag {_bag(context)} does not exist: check bag:=')
    if not shutil.which('ros2') or 'ros2bag' not in get_packages_with_prefixes():
        raise RuntimeError(
            'ros2 bag is not installed, which plays the bag: install ros-$ROS_DISTRO-rosbag2'
        )


def _listen(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Watch the graph until the bag can start; launch_ros's own node fails at two shutdowns."""
    ros = rclpy.Context()
    rclpy.init(args=[], context=ros)
    node = rclpy.create_node(
        'replay_launch', context=ros, enable_rosout=False, start_parameter_services=False
    )
    return [
        RegisterEventHandler(OnShutdown(on_shutdown=lambda *_: ros.try_shutdown())),
        OpaqueFunction(function=_play_when_active, args=[node]),
    ]


def _play_when_active(context: LaunchContext, node: Node) -> list[LaunchDescriptionEntity]:
    """Start the bag when the node has subscribed, so that loading a network costs no images."""
    if not _subscribes_to_images(context, node):
        again = OpaqueFunction(function=_play_when_active, args=[node])
        return [TimerAction(period=0.2, actions=[again])]
    node.destroy_node()
    node.context.try_shutdown()
    player = ['ros2', 'bag', 'play', str(_bag(context))]
    player += ['--rate', _value(context, 'rate')]
    player += ['--start-offset', _value(context, 'start_offset'), '--clock', CLOCK_HZ]
    player += ['--loop'] if _value(context, 'loop') == 'true' else []
    # Its publishers exist during the delay, and are discovered.
    player += ['--delay', '1.0']
    return [ExecuteProcess(cmd=player, output='screen', on_exit=_end)]


def _subscribes_to_images(context: LaunchContext, node: Node) -> bool:
    """Return whether the depth node subscribes to images, which it does once it is active."""
    own = ('/' + _value(context, 'namespace').strip('/'), 'depth_anything')
    return any(
        own
        in ((x.node_namespace, x.node_name) for x in node.get_subscriptions_info_by_topic(topic))
        for topic, types in node.get_topic_names_and_types()
        if IMAGE_TYPES.intersection(types)
    )


def _end(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    status = f' with status {event.returncode}' if event.returncode else ''
    return [LogInfo(msg=f'the bag has ended{status}'), Shutdown(reason='the bag has ended')]
