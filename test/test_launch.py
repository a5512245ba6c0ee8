"""The launch file under the real `ros2 launch`, as a robot's user calls it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import ReliabilityPolicy
from rig import picture, values_of
from sensor_msgs.msg import CompressedImage, Image

from depth_anything_ros.messages.images import bgr_from_image, fill_compressed, fill_image
from depth_anything_ros.ros.qos import LATCHED, SENSOR

pytest.importorskip('launch_ros', reason='launch_ros is not installed')
if shutil.which('ros2') is None:
    pytest.skip('ros2 is not installed', allow_module_level=True)
from ament_index_python.packages import get_packages_with_prefixes

FAST = ['variant:=demo', 'weights:=random', 'device:=cpu']


@contextmanager
def launched(
    log: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ros2 launch, end it as Ctrl-C does, and look at how it ended."""
    command = ['ros2', 'launch', 'depth_anything_ros', 'depth.launch.py', *FAST, *arguments]
    with log.open('wb') as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | (environment or {}),
        )
    try:
        yield process
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20.0)
        said = log.read_text()
        assert 'Traceback' not in said, said
        assert 'process has finished cleanly' in said, said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Peer:
    """Publishes pictures and waits for what the launched node answers."""

    def __init__(self, name: str) -> None:
        self.node = rclpy.create_node('peer')
        self.name = name
        self.statuses: list[DiagnosticStatus] = []
        self.node.create_subscription(
            DiagnosticStatus, f'{name}/status', self.statuses.append, LATCHED
        )

    def until_active(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + 60.0
        while not self.statuses or values_of(self.statuses[-1])['state'] != 'active':
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            rclpy.spin_once(self.node, timeout_sec=0.05)

    def until(self, condition: Callable[[], Any], log: Path) -> Any:
        """Spin until `condition` gives something true; give that."""
        deadline = time.monotonic() + 30.0
        while not (result := condition()):
            assert time.monotonic() < deadline, log.read_text()
            rclpy.spin_once(self.node, timeout_sec=0.05)
        return result

    def until_answered(self, topic: str, message: Any, output: str) -> Image:
        answers: list[Image] = []
        self.node.create_subscription(Image, f'{self.name}/{output}', answers.append, 1)
        publisher = self.node.create_publisher(type(message), topic, SENSOR)
        deadline = time.monotonic() + 30.0
        while not answers:
            assert time.monotonic() < deadline, self.statuses[-1].message
            publisher.publish(message)
            rclpy.spin_once(self.node, timeout_sec=0.05)
        return answers[0]


@pytest.fixture(autouse=True)
def _ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.try_shutdown()


def image() -> Image:
    message = Image()
    fill_image(message, picture(), 'bgr8')
    return message


@pytest.mark.parametrize(
    ('arguments', 'name', 'topic'),
    [
        ([], '/depth_anything', '/camera/image_raw'),
        (
            [
                'input_size:=56',
                'rectified:=false',
                'allow_download:=false',
                'colormap:=jet',
                'depth_encoding:=16UC1',
                'reference_type:=laser_scan',
                'reference_topic:=/front/scan',
                'use_sim_time:=true',
                'precision:=fp32',
                'backend:=torch',
                'checkpoint:=relative',
                'log_level:=debug',
                'fastdds_profile:=none',
            ],
            '/depth_anything',
            '/camera/image_raw',
        ),
        (['namespace:=robot1'], '/robot1/depth_anything', '/camera/image_raw'),
        (['image_topic:=/front/rgb'], '/depth_anything', '/front/rgb'),
        (['namespace:=r', 'image_topic:=front/rgb'], '/r/depth_anything', '/r/front/rgb'),
    ],
    ids=['plain', 'every argument', 'namespace', 'remap', 'relative remap'],
)
def test_depth_arrives(tmp_path: Path, arguments: list[str], name: str, topic: str) -> None:
    log = tmp_path / 'log'
    with launched(log, *arguments) as process:
        peer = Peer(name)
        peer.until_active(process, log)
        answer = peer.until_answered(topic, image(), 'relative/image')
        assert (answer.height, answer.width, answer.encoding) == (120, 160, '32FC1')


def test_each_camera_has_its_topics(tmp_path: Path) -> None:
    log = tmp_path / 'log'
    with launched(log, 'cameras:=front,rear', 'reference_topic:=/{camera}/scan') as process:
        peer = Peer('/depth_anything')
        peer.until_active(process, log)
        for camera in ('front', 'rear'):
            topic = f'/{camera}/image_raw'
            answer = peer.until_answered(topic, image(), f'{camera}/relative/image')
            assert (answer.height, answer.width) == (120, 160)
            assert peer.node.count_subscribers(f'/{camera}/camera_info') == 1


def test_cameras_cannot_share_a_topic() -> None:
    command = ['ros2', 'launch', 'depth_anything_ros', 'depth.launch.py', 'cameras:=front,rear']
    ran = subprocess.run(
        [*command, 'image_topic:=/rgb'], capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert "all of front, rear would share /rgb: write '{camera}'" in ran.stdout + ran.stderr


def test_compressed_images(tmp_path: Path) -> None:
    log = tmp_path / 'log'
    with launched(log, 'image_transport:=compressed') as process:
        peer = Peer('/depth_anything')
        peer.until_active(process, log)
        message = CompressedImage()
        fill_compressed(message, picture(), 95)
        topic = '/camera/image_raw/compressed'
        answer = peer.until_answered(topic, message, 'relative/image')
        assert (answer.height, answer.width) == (120, 160)


def test_a_params_file_has_its_say_and_arguments_win_over_it(tmp_path: Path) -> None:
    parameters = tmp_path / 'depth.yaml'
    parameters.write_text(
        '/**:\n  ros__parameters:\n    weights: nonsense\n    color: {map: gray}\n'
        '    output: {max_side: 80}\n'
        '    qos_overrides:\n      /camera/image_raw:\n        subscription:\n'
        '          reliability: reliable\n'
        '      /depth_anything/relative/image_color:\n        publisher:\n'
        '          reliability: best_effort\n'
    )
    log = tmp_path / 'log'
    with launched(log, f'params_file:={parameters}') as process:
        peer = Peer('/depth_anything')
        peer.until_active(process, log)
        node = peer.node

        def reliability(infos: list[Any]) -> ReliabilityPolicy:
            return infos[0].qos_profile.reliability

        inputs = node.get_subscriptions_info_by_topic('/camera/image_raw')
        assert reliability(inputs) == ReliabilityPolicy.RELIABLE
        outputs = node.get_publishers_info_by_topic('/depth_anything/relative/image_color')
        assert reliability(outputs) == ReliabilityPolicy.BEST_EFFORT
        answers: list[Image] = []
        node.create_subscription(
            Image, '/depth_anything/relative/image_color', answers.append, SENSOR
        )
        publisher = node.create_publisher(Image, '/camera/image_raw', 1)
        for _ in range(600):
            publisher.publish(image())
            rclpy.spin_once(node, timeout_sec=0.05)
            if answers:
                break
        bgr = bgr_from_image(answers[0])
        assert bgr.shape == (60, 80, 3)
        # Below the drawn warning gray is gray.
        assert (bgr[30:, :, 0] == bgr[30:, :, 2]).all()


class Rviz:
    """A package rviz2 whose RViz keeps its view and what it is asked for, and closes at once."""

    def __init__(self, prefix: Path) -> None:
        self._asked = prefix / 'asked'
        executable = prefix / 'lib' / 'rviz2' / 'rviz2'
        executable.parent.mkdir(parents=True)
        self.view = prefix / 'view'
        executable.write_text(
            f'#!/bin/sh\ncp "$2" {self.view}\n'
            f'printf "%s\\n" "$@" > {prefix}/part && mv {prefix}/part {self._asked}\n'
        )
        executable.chmod(0o755)
        marker = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'rviz2'
        marker.parent.mkdir(parents=True)
        marker.touch()
        self.environment = {'AMENT_PREFIX_PATH': f'{prefix}:{os.environ["AMENT_PREFIX_PATH"]}'}

    def asked(self) -> list[str]:
        """Its arguments, or nothing before it was started."""
        return self._asked.read_text().splitlines() if self._asked.exists() else []


def topics_of(view: Path) -> dict[str, list[str]]:
    """The topics that a view of RViz shows, by the name of their group."""
    displays = yaml.safe_load(view.read_text())['Visualization Manager']['Displays']
    return {
        group['Name']: [display['Topic']['Value'] for display in group['Displays']]
        for group in displays
        if 'Displays' in group
    }


def test_rviz_shows_depth_in_the_namespace_and_time_of_the_node(tmp_path: Path) -> None:
    rviz, log = Rviz(tmp_path / 'rviz'), tmp_path / 'log'
    arguments = ['rviz:=true', 'namespace:=robot1', 'use_sim_time:=true', 'rviz_frame:=odom']
    with launched(log, *arguments, environment=rviz.environment) as process:
        peer = Peer('/robot1/depth_anything')
        peer.until_active(process, log)
        asked = peer.until(rviz.asked, log)
        # RViz is closed by now, and depth goes on.
        peer.until_answered('/camera/image_raw', image(), 'relative/image')
    assert (asked[0], *asked[2:4]) == ('-d', '-f', 'odom')
    # A copy, and not for longer than RViz runs.
    assert not Path(asked[1]).parent.exists()
    assert '__ns:=/robot1' in asked
    parameters = yaml.safe_load(Path(asked[asked.index('--params-file') + 1]).read_text())
    assert parameters == {'/**': {'ros__parameters': {'use_sim_time': True}}}
    assert 'Depth' in topics_of(rviz.view)


def test_rviz_shows_each_camera(tmp_path: Path) -> None:
    rviz, log = Rviz(tmp_path / 'rviz'), tmp_path / 'log'
    with launched(
        log, 'rviz:=true', 'cameras:=front,rear', environment=rviz.environment
    ) as process:
        peer = Peer('/depth_anything')
        peer.until_active(process, log)
        asked = peer.until(rviz.asked, log)
        shown = topics_of(rviz.view)
        assert shown.keys() == {'front', 'rear'}
        for camera, topics in shown.items():
            assert {topic.split('/')[1] for topic in topics} == {camera}
            for topic in topics:
                peer.until(partial(peer.node.count_publishers, f'/{topic}'), log)
    assert '-f' not in asked
    assert not Path(asked[1]).parent.exists()


@pytest.mark.skipif('rviz2' in get_packages_with_prefixes(), reason='rviz2 is installed')
def test_depth_goes_on_without_rviz2(tmp_path: Path) -> None:
    log = tmp_path / 'log'
    with launched(log, 'rviz:=true') as process:
        peer = Peer('/depth_anything')
        peer.until_active(process, log)
        peer.until_answered('/camera/image_raw', image(), 'relative/image')
    said = [line for line in log.read_text().splitlines() if 'rviz2' in line]
    assert len(said) == 1
    assert said[0].endswith('(sudo apt install ros-$ROS_DISTRO-rviz2); depth goes on without it')


def test_every_argument_is_described() -> None:
    shown = subprocess.run(
        ['ros2', 'launch', 'depth_anything_ros', 'depth.launch.py', '--show-args'],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    names = 'variant weights image_topic reference_type reference_topic params_file namespace rviz'
    for name in names.split():
        assert f"'{name}'" in shown
    assert 'no description given' not in shown


def test_a_wrong_value_ends_the_launch_with_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        ['ros2', 'launch', 'depth_anything_ros', 'depth.launch.py', 'variant:=vitx'],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert "variant is 'vitx': choose one of vits" in said
    assert 'Traceback' not in said
