from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, Range
from written_bag import MAKE, write_bag

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.ros.qos import REFERENCE, SENSOR
from lab.feeder import Feeder

SECOND = 10**9
START = 1_700_000_000 * SECOND
IMAGE, RANGE, ANSWERS = '/camera/image_raw', '/range', '/peer/answers'
TOPICS = {IMAGE: (Image, QoSProfile(depth=10)), RANGE: (Range, QoSProfile(depth=10))}


def record(path: Path, images: int, side: int, ranges: int) -> Path:
    """Write images at 10 Hz, with `ranges` messages between two of them."""
    random = np.random.default_rng(0)
    messages: list[tuple[str, int, Any]] = []
    kind = MAKE.store.types['sensor_msgs/msg/Range']
    for index in range(images):
        stamp = START + index * SECOND // 10
        picture = random.integers(0, 256, (side, side, 3), np.uint8)
        messages.append((IMAGE, stamp, MAKE.color(stamp, 'camera', picture)))
        for step in range(ranges):
            at = stamp + (step + 1) * SECOND // 1000
            header = MAKE.header(at, 'range_link')
            messages.append((RANGE, at, kind(header, 0, 0.1, 0.1, 10.0, float(step), 0.0)))
    return write_bag(path, messages)


class Peer:
    """A node on a thread of its own that remembers what arrives and answers some images."""

    def __init__(
        self, answer: Callable[[int], bool] = lambda stamp_ns: True, services: bool = True
    ) -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = Node('peer', context=self._context, start_parameter_services=services)
        self.got: list[tuple[str, bytes]] = []
        self._answer = answer
        self._answers = self._node.create_publisher(DiagnosticArray, ANSWERS, 10)
        # The image first, as the depth node does: where all wait, it is taken first.
        for topic, kind, profile in ((IMAGE, Image, SENSOR), (RANGE, Range, REFERENCE)):
            self._node.create_subscription(
                kind, topic, lambda raw, topic=topic: self._on(topic, raw), profile, raw=True
            )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin)

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join(20.0)
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on(self, topic: str, raw: bytes) -> None:
        self.got.append((topic, raw))
        if topic == IMAGE:
            header = deserialize_message(raw, Image).header
            if self._answer(ns_from_stamp(header.stamp)):
                self._answers.publish(DiagnosticArray(header=header))


class Camera:
    """The node that feeds, and what it heard of the answers."""

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = Node('camera', context=self._context)
        self.answered_ns: list[int] = []
        self.node.create_subscription(
            DiagnosticArray,
            ANSWERS,
            lambda message: self.answered_ns.append(ns_from_stamp(message.header.stamp)),
            10,
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.feeder = Feeder(self.node, TOPICS, IMAGE, self.until, '/peer')

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def until(self, done: Callable[[], Any], limit_s: float) -> bool:
        end_s = time.monotonic() + limit_s
        while not done():
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(left_s, 0.02))
        return True

    def answered(self, stamp_ns: int) -> bool:
        return stamp_ns in self.answered_ns


def test_in_step_nothing_is_dropped_and_everything_before_an_image_comes_before_it(
    tmp_path: Path,
) -> None:
    # Larger than what Fast DDS shares by default, and queues of 10 shorter than the ranges.
    path = record(tmp_path / 'bag', images=8, side=512, ranges=12)
    with Peer() as peer, Camera() as camera, BagReader(path) as bag:
        assert camera.feeder.in_step(bag, camera.answered, 30.0) == []
        expected = [(message.topic, message.raw) for message in bag.messages()]
    assert peer.got == expected


def test_an_image_without_an_answer_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', images=4, side=32, ranges=1)
    silent = START + SECOND // 10
    with (
        Peer(lambda stamp_ns: stamp_ns != silent) as peer,
        Camera() as camera,
        BagReader(path) as bag,
    ):
        # For the first image the peer may have to discover the feeder.
        assert camera.until(camera.feeder.connected, 30.0)
        assert camera.feeder.in_step(bag, camera.answered, 1.0) == [silent]
    assert [topic for topic, _ in peer.got].count(IMAGE) == 4


def test_a_node_that_does_not_reply_is_named(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', images=1, side=32, ranges=1)
    with (
        Peer(services=False),
        Camera() as camera,
        BagReader(path) as bag,
        pytest.raises(
            DepthAnythingError, match=r'/peer/get_parameters does not reply within 0\.5'
        ),
    ):
        camera.feeder.in_step(bag, camera.answered, 0.5)


def test_at_pace_the_clock_goes_forward_with_the_bag(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', images=4, side=32, ranges=1)
    times: list[int] = []
    sent: list[int] = []
    with Camera() as camera, BagReader(path) as bag:
        start_s = time.monotonic()
        last_ns = camera.feeder.at_pace(bag, times.append, sent.append)
        seconds = time.monotonic() - start_s
        assert last_ns == [each.receive_ns for each in bag.messages()][-1]
    assert sent == [START + index * SECOND // 10 for index in range(4)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (START, last_ns)
    # Most of the ticks fall between messages.
    assert len(set(times)) > 20
    assert seconds >= 0.3
