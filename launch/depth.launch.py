"""Start the depth node: ros2 launch depth_anything_ros depth.launch.py variant:=vits."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from ament_index_python.packages import get_package_share_directory, get_packages_with_prefixes
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from depth_anything_ros.core.parameters import entries
from depth_anything_ros.ros.rviz_view import view_of_cameras
from depth_anything_ros.settings.share import PROFILE_VARIABLES, profile_variable
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

ENTRIES = {entry.name: entry for entry in entries()}

# Arguments by the parameters that they set; passed on only when given, so that a params_file
# keeps its say.
PARAMETERS = {
    **{
        name: name
        for name in (
            *('variant', 'checkpoint', 'weights', 'allow_download', 'device', 'backend'),
            *('precision', 'input_size', 'image_transport', 'rectified', 'use_sim_time'),
            'autostart',
        )
    },
    'depth_encoding': 'output.depth_encoding',
    'colormap': 'color.map',
    'reference_type': 'reference.type',
    'fixed_frame': 'reference.fixed_frame',
}

BESIDE = ('camera_info_topic', 'reference_topic')

OTHERS = {
    'cameras': (
        '',
        'Names of the cameras that share the network, as in front,rear; the topics below then '
        "hold '{camera}' where the name belongs ('' = one camera without a name).",
    ),
    'image_topic': (
        '',
        'Base topic of the image, without /compressed (default /camera/image_raw, or '
        '/{camera}/image_raw for cameras with names).',
    ),
    'camera_info_topic': ('', "Topic of the camera_info ('' = camera_info beside the image)."),
    'reference_topic': (
        '',
        'Topic of the metric reference: depth image, cloud, scan or odometry.',
    ),
    'params_file': ('', 'YAML file of parameters; the arguments above win over it.'),
    'namespace': ('', 'Namespace of the node.'),
    'log_level': ('info', 'debug, info, warn, error or fatal.'),
    'rviz_frame': (
        '',
        "Fixed frame of RViz, as odom, or a frame of a camera without a robot ('' = base_link).",
    ),
    'fastdds_profile': (
        'auto',
        'Fast DDS profile with enough shared memory for images; auto = the one of this package '
        'unless the environment names another, none = no profile.',
    ),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the node is built once their values are known."""
    arguments = [
        DeclareLaunchArgument(name, default_value='', description=_of(parameter)[1])
        for name, parameter in PARAMETERS.items()
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in OTHERS.items()
    ]
    rviz = DeclareLaunchArgument(
        'rviz',
        default_value='false',
        choices=['true', 'false'],
        description='Show depth in RViz 2 by config/depth.rviz.',
    )
    return LaunchDescription([*arguments, rviz, OpaqueFunction(function=_start)])


def _of(parameter: str) -> tuple[type, str]:
    """Return type and description of a parameter."""
    if parameter == 'use_sim_time':
        return bool, 'Take the time from /clock (default false).'
    entry = ENTRIES[parameter]
    allowed = f'{entry.allowed}; ' if entry.allowed else ''
    return entry.kind, f'{entry.description} ({allowed}default {entry.default!r})'


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    cameras = [name.strip() for name in value('cameras').split(',') if name.strip()]
    given = {
        parameter: ParameterValue(LaunchConfiguration(name), value_type=_of(parameter)[0])
        for name, parameter in PARAMETERS.items()
        if value(name)
    }
    if cameras:
        given['cameras'] = cameras
    remappings = _topics(cameras, *map(value, ('image_topic', *BESIDE)))
    files = [str(Path(value('params_file')).expanduser())] if value('params_file') else []
    logger = '.'.join([*filter(None, value('namespace').split('/')), 'depth_anything'])
    node = Node(
        package='depth_anything_ros',
        executable='depth_node',
        name='depth_anything',
        namespace=value('namespace'),
        parameters=[*files, *([given] if given else [])],
        remappings=remappings,
        ros_arguments=['--log-level', f'{logger}:={value("log_level")}'],
        output='screen',
        emulate_tty=True,
        # Without its one node this launch has nothing left to do.
        on_exit=[Shutdown(reason='the depth node ended')],
    )
    started: list[LaunchDescriptionEntity] = [*_fastdds(value('fastdds_profile')), node]
    if value('rviz') == 'true':
        started.append(
            _rviz(
                cameras,
                value('namespace'),
                value('rviz_frame'),
                given.get('use_sim_time', False),
            )
        )
    return started


def _topics(cameras: list[str], image: str, info: str, reference: str) -> list[tuple[str, str]]:
    """Return what is remapped, for each camera."""
    image = image or ('/{camera}/image_raw' if cameras else '/camera/image_raw')
    if not info:
        info = image.rpartition('/')[0] + '/camera_info' if '/' in image else 'camera_info'
    topics = {'image': image, 'camera_info': info}
    if reference:
        topics['reference'] = reference
    for name, topic in topics.items():
        if len(cameras) > 1 and '{camera}' not in topic:
            raise ValueError(
                f"{name}: all of {', '.join(cameras)} would share {topic}: write '{{camera}}' "
                'where the name of each belongs'
            )
    return [
        (f'{camera}/{name}' if camera else name, topic.replace('{camera}', camera))
        for camera in cameras or ['']
        for name, topic in topics.items()
    ]


def _rviz(
    cameras: list[str], namespace: str, frame: str, use_sim_time: ParameterValue | bool
) -> LaunchDescriptionEntity:
    """Start RViz beside the node, which goes on without it."""
    if 'rviz2' not in get_packages_with_prefixes():
        return LogInfo(
            msg='rviz:=true: rviz2 is not installed (sudo apt install ros-$ROS_DISTRO-rviz2); '
            'depth goes on without it'
        )
    # RViz asks to save into the file that it was given: a copy, gone when it ends.
    folder = TemporaryDirectory(prefix='depth_rviz_')
    view = Path(folder.name) / 'depth.rviz'
    view.write_text(view_of_cameras(_config('depth.rviz').read_text(), cameras))
    return Node(
        package='rviz2',
        executable='rviz2',
        # The topics of the view are relative.
        namespace=namespace,
        arguments=['-d', str(view), *(['-f', frame] if frame else [])],
        parameters=[{'use_sim_time': use_sim_time}],
        output='screen',
        on_exit=lambda event, context: folder.cleanup(),
    )


def _fastdds(profile: str) -> list[LaunchDescriptionEntity]:
    if profile == 'auto':
        if any(variable in os.environ for variable in PROFILE_VARIABLES):
            return []
        profile = str(_config('fastdds.xml'))
    return [] if profile == 'none' else [SetEnvironmentVariable(profile_variable(), profile)]


def _config(name: str) -> Path:
    return Path(get_package_share_directory('depth_anything_ros')) / 'config' / name
