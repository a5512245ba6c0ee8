"""The replay launch file under the real `ros2 launch`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from depth_anything_ros.messages.stamps import ns_from_stamp
from lab.sample import write_sample_bag
from lab.sample_topics import START_NS

pytest.importorskip('launch_ros', reason='launch_ros is not installed')
if shutil.which('ros2') is None:
    pytest.skip('ros2 is not installed', allow_module_level=True)
from ament_index_python.packages import get_packages_with_prefixes

FAST = ['variant:=demo', 'weights:=random', 'device:=cpu', 'input_size:=56']
HAS_ROSBAG2 = 'ros2bag' in get_packages_with_prefixes()
needs_rosbag2 = pytest.mark.skipif(not HAS_ROSBAG2, reason='ros2bag is not installed')
# What rosbag2 offers for /clock; a reliable subscriber would hear nothing.
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'room'
    write_sample_bag(path, seconds=2.0, rate=10.0, size=(64, 48))
    return path


@pytest.fixture
def peer() -> Iterator[Node]:
    rclpy.init()
    node = rclpy.create_node('peer')
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


@contextmanager
def launched(
    log: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ros2 launch in a process group of its own."""
    ros2 = shutil.which('ros2')
    assert ros2 is not None
    command = [ros2, 'launch', 'depth_anything_ros', 'replay.launch.py', *FAST, *arguments]
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
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(peer: Node, done: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + 90.0
    while not done():
        assert time.monotonic() < deadline, log.read_text()
        rclpy.spin_once(peer, timeout_sec=0.05)


@needs_rosbag2
def test_the_bag_is_played_to_the_node_and_its_end_ends_the_launch(
    tmp_path: Path, bag: Path, peer: Node
) -> None:
    log = tmp_path / 'log'
    answers: list[Image] = []
    clock_ns: list[int] = []
    peer.create_subscription(Image, '/robot/depth_anything/relative/image', answers.append, 10)
    peer.create_subscription(
        Clock, '/clock', lambda m: clock_ns.append(ns_from_stamp(m.clock)), BEST_EFFORT
    )
    # Arguments of both launch files.
    arguments = [f'bag:={bag}', 'rate:=0.5', 'start_offset:=0.5', 'namespace:=robot']
    with launched(log, *arguments) as process:
        until(peer, lambda: process.poll() is not None, log)
    said = log.read_text()
    assert 'Traceback' not in said, said
    assert 'the bag has ended' in said, said
    # The depth node too.
    assert said.count('process has finished cleanly') == 2, said
    stamps = [ns_from_stamp(answer.header.stamp) for answer in answers]
    # A busy machine drops some.
    assert stamps and stamps == sorted(stamps)
    assert stamps[0] >= START_NS + 500_000_000
    assert min(clock_ns) >= START_NS


@needs_rosbag2
def test_a_loop_goes_on_until_ctrl_c(tmp_path: Path, bag: Path, peer: Node) -> None:
    log = tmp_path / 'log'
    stamps: list[int] = []
    peer.create_subscription(
        Image,
        '/depth_anything/relative/image',
        lambda m: stamps.append(ns_from_stamp(m.header.stamp)),
        10,
    )
    with launched(log, f'bag:={bag}', 'rate:=4.0', 'loop:=true') as process:
        until(peer, lambda: stamps and stamps[-1] < max(stamps), log)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        until(peer, lambda: process.poll() is not None, log)
    said = log.read_text()
    assert 'Traceback' not in said, said
    assert said.count('process has finished cleanly') == 2, said


def test_ros2_bag_play_gets_the_arguments(tmp_path: Path, bag: Path, peer: Node) -> None:
    """A stand-in writes down what it is asked for."""
    executable = tmp_path / 'bin' / 'ros2'
    executable.parent.mkdir()
    executable.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    executable.chmod(0o755)
    marker = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'ros2bag'
    marker.parent.mkdir(parents=True)
    marker.touch()
    environment = {
        'PATH': f'{executable.parent}:{os.environ["PATH"]}',
        'AMENT_PREFIX_PATH': f'{tmp_path}:{os.environ["AMENT_PREFIX_PATH"]}',
    }
    log = tmp_path / 'log'
    with launched(log, f'bag:={bag}', 'loop:=true', environment=environment) as process:
        until(peer, lambda: process.poll() is not None, log)
    asked = (tmp_path / 'asked').read_text().strip()
    options = '--rate 1.0 --start-offset 0.0 --clock 100 --loop --delay 1.0'
    assert asked == f'bag play {bag} {options}'


def show(*arguments: str) -> str:
    done = subprocess.run(
        ['ros2', 'launch', 'depth_anything_ros', 'replay.launch.py', *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_every_argument_is_described() -> None:
    shown = show('--show-args')
    names = 'bag rate loop start_offset use_sim_time variant image_topic rviz'
    for name in names.split():
        assert f"'{name}'" in shown
    assert 'no description given' not in shown


@pytest.mark.skipif(HAS_ROSBAG2, reason='ros2bag is installed')
def test_without_ros2_bag_one_line_says_what_to_install(bag: Path) -> None:
    said = show(f'bag:={bag}', *FAST)
    assert 'ros2 bag is not installed' in said
    assert 'install ros-$ROS_DISTRO-rosbag2' in said
    assert 'Traceback' not in said
    assert 'process started' not in said


def test_a_bag_that_is_not_there_ends_the_launch_with_one_line(tmp_path: Path) -> None:
    said = show(f'bag:={tmp_path}/none', *FAST)
    assert f'bag {tmp_path}/none does not exist: check bag:=' in said
    assert 'Traceback' not in said
    assert 'process started' not in said
