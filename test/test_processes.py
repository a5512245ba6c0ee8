"""The node as a process of its own: it ends cleanly, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rig import picture, values_of
from sensor_msgs.msg import Image

from depth_anything_ros.messages.images import fill_image
from depth_anything_ros.ros.qos import LATCHED, SENSOR

# While torch is imported no signal is seen: seconds, where its files are not in memory.
IMPORT_S = 10.0


@pytest.fixture
def peer() -> Iterator[Node]:
    rclpy.init()
    node = rclpy.create_node('peer')
    yield node
    node.destroy_node()
    rclpy.shutdown()


def start(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    parameters = [text for argument in arguments for text in ('-p', argument)]
    with log.open('wb') as output:
        return subprocess.Popen(
            [sys.executable, '-m', 'depth_anything_ros.node', '--ros-args', *parameters],
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def wait_until_busy(peer: Node, process: subprocess.Popen[bytes]) -> None:
    """Return with a frame in the network."""
    statuses: list[DiagnosticStatus] = []
    peer.create_subscription(DiagnosticStatus, '/depth_anything/status', statuses.append, LATCHED)
    peer.create_subscription(Image, '/depth_anything/relative/raw', lambda _: None, 10)
    publisher = peer.create_publisher(Image, 'image', SENSOR)
    message = Image()
    # Sixteen times as wide as high: a frame takes far longer than the self-check's photograph.
    fill_image(message, picture(1280, 80), 'bgr8')
    deadline = time.monotonic() + 60.0
    busy_since = None
    while busy_since is None or time.monotonic() < busy_since + 0.5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        rclpy.spin_once(peer, timeout_sec=0.05)
        values = values_of(statuses[-1]) if statuses else {}
        if values.get('state') == 'active' and values['idle'] == 'False':
            publisher.publish(message)
            if publisher.get_subscription_count() and busy_since is None:
                busy_since = time.monotonic()


def end_s() -> float:
    """The most from a signal to the end, also with a thread inside the network; beside other load
    as much longer as that takes of the processors."""
    return 2.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def assert_clean_end(process: subprocess.Popen[bytes], log: Path, more_s: float = 0.0) -> None:
    start_s = time.monotonic()
    status = process.wait(20.0)
    took_s = time.monotonic() - start_s
    said = log.read_text()
    assert status == 0, said
    assert 'Traceback' not in said
    assert 'terminate' not in said
    assert took_s < end_s() + more_s, f'{took_s:.1f} s'


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_the_network_runs(
    peer: Node, tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / 'log'
    # Such a frame takes a thread of vits several seconds: the signal finds the worker inside it.
    network = ('weights:=random', 'device:=cpu', 'backend:=torch', 'threads:=1')
    process = start(log, *network, 'input_size:=224')
    try:
        wait_until_busy(peer, process)
        deadline = time.monotonic() + end_s()
        # ros2 launch and the terminal both send one: a second may arrive at any line of the end.
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(number)
        assert_clean_end(process, log)
    finally:
        process.kill()
        process.wait()


def test_sigterm_during_configure(peer: Node, tmp_path: Path) -> None:
    statuses: list[DiagnosticStatus] = []
    peer.create_subscription(DiagnosticStatus, '/depth_anything/status', statuses.append, LATCHED)
    log = tmp_path / 'log'
    # Loading this takes seconds, and begins as soon as the node speaks.
    process = start(log, 'weights:=random', 'device:=cpu', 'variant:=vitb', 'backend:=torch')
    try:
        deadline = time.monotonic() + 60.0
        while not statuses and time.monotonic() < deadline:
            rclpy.spin_once(peer, timeout_sec=0.05)
        assert values_of(statuses[0])['state'] == 'unconfigured'
        process.send_signal(signal.SIGTERM)
        assert_clean_end(process, log, more_s=IMPORT_S)
    finally:
        process.kill()
        process.wait()


def test_the_lifecycle_shutdown_ends_it(peer: Node, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    process = start(log, 'weights:=random', 'device:=cpu', 'variant:=demo', 'backend:=torch')
    try:
        wait_until_busy(peer, process)
        client = peer.create_client(ChangeState, '/depth_anything/change_state')
        assert client.wait_for_service(20.0)
        transition = Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN)
        future = client.call_async(ChangeState.Request(transition=transition))
        rclpy.spin_until_future_complete(peer, future, timeout_sec=20.0)
        assert future.result().success
        assert_clean_end(process, log)
    finally:
        process.kill()
        process.wait()


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a node whose arguments let it end by itself."""
    return subprocess.run(
        [sys.executable, '-m', 'depth_anything_ros.node', '--ros-args', *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ),
    )


@pytest.mark.parametrize(
    ('parameter', 'said'),
    [
        ('variant:=vitx', "variant is 'vitx': choose one of vits, vitb, vitl, vitg, demo"),
        ('input_size:=2', 'input_size is 2: it must lie in 56 to 2072'),
        ('relative.smoothing_s:=fast', "relative.smoothing_s is 'fast', a str: give a float"),
    ],
)
def test_a_wrong_parameter_is_one_line_and_status_2(parameter: str, said: str) -> None:
    process = ended('-p', parameter)
    assert process.returncode == 2
    assert process.stderr.strip().splitlines() == [f'depth_node: {said}']


def test_a_missing_params_file_is_named_without_a_traceback() -> None:
    process = ended('--params-file', '/nope')
    assert process.returncode == 2
    # rcl itself may say something before.
    *_, line = process.stderr.strip().splitlines()
    assert line.startswith('depth_node: ')
    assert '/nope' in line
    assert 'Traceback' not in process.stderr
