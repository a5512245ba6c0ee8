"""A network, a graph, a process and a disk that fail."""

from __future__ import annotations

import hashlib
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from downloads import checkpoint_bytes, released, watched
from fake_hub import FakeHub, serving
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rig import picture, values_of
from sensor_msgs.msg import Image

from depth_anything_ros.messages.images import fill_image
from faults import ALL, COLOR, NO_METRES, NOTHING, RAW, RELATIVE, Fault, faults
from faults.refusals import check_refused, refused
from faults.robot import Robot


@faults(
    refused(
        'it raises', 'internal_error', 'MemoryError: no 300 MB left', MemoryError('no 300 MB left')
    ),
    refused(
        'it gives NaN',
        'degenerate_network',
        '19200 of 19200 values that are not finite',
        np.full((120, 160), np.nan, np.float32),
    ),
    refused(
        'it gives one value',
        'degenerate_network',
        'constant or out of range',
        np.ones((120, 160), np.float32),
    ),
    refused('it gives nothing', 'internal_error', "has no attribute 'shape'", None),
)
def test_a_network_that_fails(robot: Robot, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """An image for which the network fails is not answered; two of them are an ERROR."""

    def infer(*_: Any) -> Any:
        if isinstance(fault.cause, Exception):
            raise fault.cause
        return fault.cause

    # Pictures that are not of the drive are left to the network.
    monkeypatch.setattr(robot.network, 'infer', infer)
    check_refused(robot, fault, lambda message: fill_image(message, picture(), 'bgr8'))


@faults(Fault('a subscriber that comes and goes fifty times', ALL))
def test_a_subscriber_that_comes_and_goes_fifty_times(robot: Robot, fault: Fault) -> None:
    """Subscribers may come and go: the others are served, and so is the last."""
    rig, node = robot.rig, robot.rig.node
    robot.good()
    with robot.counting(fault):
        for _ in range(50):
            subscription = rig.peer.create_subscription(Image, COLOR, lambda _: None, 10)
            rig.until(lambda: node.count_subscribers(COLOR) == 1)
            robot.good()
            rig.peer.destroy_subscription(subscription)
            rig.until(lambda: node.count_subscribers(COLOR) == 0)
    kept = rig.peer.create_subscription(Image, COLOR, rig.received[COLOR].append, 10)
    rig.until(lambda: node.count_subscribers(COLOR) == 1)
    robot.good()
    assert rig.until(lambda: robot.find(COLOR, robot.now))
    assert robot.published(robot.now) == fault.published
    rig.peer.destroy_subscription(kept)


@faults(
    Fault(
        '200 changes, some of them refused', NO_METRES, ('refused_no_reference',), 'no_reference'
    )
)
def test_a_storm_of_parameter_changes_while_frames_run(robot: Robot, fault: Fault) -> None:
    """Parameters may be changed while frames run; each change is answered for itself."""
    rig = robot.rig
    storm: list[tuple[str, object, bool]] = [
        ('output.max_side', 80, True),
        ('relative.normalization', 'minmax', True),
        ('color.map', 'no such map', False),
        ('reference.max_depth_m', 30.0, True),
        ('alignment.hold_s', -1.0, False),
        ('variant', 'vitl', False),
        ('relative.normalization', 'percentile', True),
        ('output.max_side', 0, True),
        ('reference.max_depth_m', 80.0, True),
        ('cloud.stride', 3, True),
    ]
    rig.set_parameter('cloud.stride', 2)
    client = rig._clients['set_parameters']
    waiting: list[tuple[Any, bool]] = []
    stamps = [robot.tick() for _ in range(200)]
    with robot.counting(fault, None):
        for change, stamp_ns in enumerate(stamps):
            name, value, accepted = storm[change % len(storm)]
            parameter = Parameter(name, value=value).to_parameter_msg()
            request = SetParameters.Request(parameters=[parameter])
            waiting.append((client.call_async(request), accepted))
            # Without a reference, so that frames are as many as can be.
            robot.publish(robot.image(stamp_ns))
            # A service keeps ten requests.
            rig.until(lambda: sum(not future.done() for future, _ in waiting) < 8)
            if change % 20 == 19:
                # However fast the changes are, frames run between them.
                assert rig.until(
                    lambda newest=stamp_ns: robot.published(newest) == fault.published
                )
        rig.until(lambda: all(future.done() for future, _ in waiting))
        robot.says(fault)
    results = [future.result().results[0].successful for future, _ in waiting]
    assert results == [accepted for _, accepted in waiting]
    assert rig.node.parameters.output.max_side == 0
    assert rig.set_parameter('cloud.stride', 2)[0]
    robot.good()
    # Those that a newer one replaced have no answer.
    answers = [robot.published(stamp_ns) for stamp_ns in stamps]
    assert set(answers) <= {NOTHING, fault.published}
    assert answers.count(fault.published) >= 10


# Little is imported, so that it starts soon on a busy machine.
PUBLISHER = """
import os, time
from array import array
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node('doomed')
publisher = node.create_publisher(Image, 'image', qos_profile_sensor_data)
message = Image(height=120, width=160, encoding='bgr8', step=480)
message.header.frame_id = 'doomed'
message.data = array('B', os.urandom(57600))
while True:
    message.header.stamp.sec += 1
    publisher.publish(message)
    time.sleep(0.02)
"""


@faults(Fault('SIGKILL to the process that publishes images', NOTHING, (), 'no image on /image'))
def test_a_killed_publisher_is_missed_and_another_takes_over(robot: Robot, fault: Fault) -> None:
    """A publisher that dies is missed, with a WARN, and another takes over."""
    rig = robot.rig
    rig.peer.destroy_publisher(rig._publishers.pop('image'))
    process = subprocess.Popen([sys.executable, '-c', PUBLISHER])
    try:
        got = rig.received[RELATIVE]
        rig.until(lambda: sum(m.header.frame_id == 'doomed' for m in got) > 3, timeout_s=90.0)
        process.send_signal(signal.SIGKILL)
        process.wait(20.0)
    finally:
        process.kill()
        process.wait()
    with robot.counting(fault):
        silent = len(got)
        assert rig.set_parameter('diagnostics.stale_after_s', 0.3)[0]
        assert robot.says(fault).level == DiagnosticStatus.WARN
        robot.told('throughput', 'no image for ')
        assert len(got) == silent
    rig.until_answered(RELATIVE, lambda: robot.image(robot.tick()))
    assert rig.set_parameter('diagnostics.stale_after_s', 600.0)[0]
    robot.rewind()
    robot.good()


@faults(Fault('overwritten in place, cut, then replaced', ALL, said='is not a checkpoint'))
def test_weights_replaced_on_disk_while_they_run(
    robot: Robot, weights: Path, fault: Fault
) -> None:
    """Weights replaced on disk do nothing to those that run; the next configure refuses them."""
    rig = robot.rig
    whole = weights.read_bytes()
    before = robot.network.infer(picture())

    def unharmed() -> None:
        robot.good()
        assert robot.published(robot.now) == fault.published
        np.testing.assert_array_equal(robot.network.infer(picture()), before)

    with robot.counting(fault):
        # In place, where a mapped file would crash the process, then as a new file.
        with weights.open('r+b') as file:
            file.write(b'\xff' * (len(whole) // 2))
            file.truncate()
        unharmed()
        other = weights.with_name('other')
        other.write_bytes(bytes(1000))
        other.replace(weights)
        unharmed()
    sha256 = robot.values('model')['weights_sha256']
    assert sha256 == hashlib.sha256(whole).hexdigest()
    robot.transit(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    assert not rig.change_state(Transition.TRANSITION_CONFIGURE)
    status = robot.says(fault)
    assert status.level == DiagnosticStatus.ERROR
    assert f'{weights} is not a checkpoint' in status.message
    weights.write_bytes(whole)
    robot.transit(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
    robot.meet()
    np.testing.assert_array_equal(robot.network.infer(picture()), before)


@faults(Fault('full in the middle of the download', NOTHING, (), 'cannot write'))
def test_weights_downloaded_to_a_full_disk(tmp_path: Path, fault: Fault) -> None:
    """A full disk ends the download with an ERROR, leaves nothing, and harms no other attempt."""
    content = checkpoint_bytes(tmp_path)
    row = released(content)
    go = threading.Event()
    with serving(FakeHub(row, content)) as hub, watched(row, hub, tmp_path) as watcher:
        hub.halfway_waits_for = go
        watcher.until('% of 99 MB')
        # What a full disk is to a file: it cannot grow.
        limits = resource.prlimit(watcher.process.pid, resource.RLIMIT_FSIZE)
        full = (len(content) // 2, limits[1])
        resource.prlimit(watcher.process.pid, resource.RLIMIT_FSIZE, full)
        go.set()
        status = watcher.until(fault.said)
        assert status.level == DiagnosticStatus.ERROR
        assert values_of(status)['state'] == 'unconfigured'
        assert '\n' not in status.message
        assert 'make room' in status.message
        left = [path for path in watcher.cache.rglob('*') if path.is_file()]
        assert sum(path.stat().st_size for path in left) < 1000
        assert watcher.advertised({RELATIVE, RAW, COLOR}) == fault.published
        resource.prlimit(watcher.process.pid, resource.RLIMIT_FSIZE, limits)
        watcher.fetch()
        watcher.change_state(Transition.TRANSITION_CONFIGURE)
        watcher.change_state(Transition.TRANSITION_ACTIVATE)
        watcher.until('active')
        assert watcher.answer_to(picture()).encoding == '32FC1'
