"""Publish a bag over DDS to a running node: at its own pace, or in step with the node's outputs.

In step nothing is dropped, and no output depends on what was recorded later. An image is published
only once the one before was processed. Any other message counts as received once the node has
replied to a call of its parameter service made after it: an executor of one thread takes a message
of each topic before it comes to services. That does not hold for callbacks on other threads.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.task import Future

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import DepthAnythingError

__all__ = ['Feeder', 'Until', 'ns_from_cdr']

Until = Callable[[Callable[[], Any], float], Any]
"""Spins until a condition holds; returns something false after so many seconds.

In step it may raise instead.
"""

_PERIOD_S = 0.005
"""Longest time between two calls of `on_time`, on a machine that is not busy."""

_RETRY_S = 0.25
"""The first reply may be lost between two ends that have just met."""


class Feeder:
    """Publishers on `node` for `topics`, names with message type and QoS; `image` is one of them.

    `target` is the full name of the node that is fed, `until` spins `node`.
    """

    def __init__(
        self,
        node: Node,
        topics: Mapping[str, tuple[type, QoSProfile]],
        image: str,
        until: Until,
        target: str = '/depth_anything',
    ) -> None:
        self._publishers: dict[str, Publisher] = {
            topic: node.create_publisher(kind, topic, profile)
            for topic, (kind, profile) in topics.items()
        }
        self._image, self._until = image, until
        # Discovery goes in the order of creation: who replies here knows the publishers.
        self._ping: Client = node.create_client(GetParameters, f'{target}/get_parameters')

    def connected(self) -> bool:
        """Return whether every topic has a subscriber and the target its services."""
        subscribed = all(each.get_subscription_count() for each in self._publishers.values())
        return subscribed and self._ping.service_is_ready()

    def at_pace(
        self,
        bag: BagReader,
        on_time: Callable[[int], object],
        on_image: Callable[[int], object],
    ) -> int:
        """Publish the messages at the pace of their receipt; return the last bag time.

        `on_time` is called with the time of the bag every few milliseconds, `on_image` with the
        stamp of each image just before it is published, both in nanoseconds.
        """
        bag_ns = first_ns = next((each.receive_ns for each in bag.messages()), 0)
        start_s = time.monotonic()
        for message in bag.messages(self._publishers):
            bag_ns = message.receive_ns
            due_s = start_s + (bag_ns - first_ns) * 1e-9
            while (left_s := due_s - time.monotonic()) > 0:
                on_time(bag_ns - round(left_s * 1e9))
                self._until(lambda: False, min(left_s, _PERIOD_S))
            on_time(bag_ns)
            if message.topic == self._image:
                on_image(ns_from_cdr(message.raw))
            self._publishers[message.topic].publish(bytes(message.raw))
        return bag_ns

    def in_step(
        self, bag: BagReader, processed: Callable[[int], Any], limit_s: float = 10.0
    ) -> list[int]:
        """Publish the messages in their order; return the stamps (ns) of images without output.

        `processed` says whether the image of that stamp was. Each wait takes `limit_s` at most.
        DepthAnythingError where the target does not reply.
        """
        self._until(self.connected, limit_s)
        self._barrier(limit_s)
        unprocessed = []
        for message in bag.messages(self._publishers):
            self._publishers[message.topic].publish(bytes(message.raw))
            if message.topic == self._image:
                stamp_ns = ns_from_cdr(message.raw)
                if not self._until(partial(processed, stamp_ns), limit_s):
                    unprocessed.append(stamp_ns)
            else:
                self._barrier(limit_s)
        return unprocessed

    def _barrier(self, limit_s: float) -> None:
        """Wait until the target has taken what was published before."""
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            reply = self._ping.call_async(GetParameters.Request())
            if self._done(reply, time.monotonic() + _RETRY_S):
                return
            self._ping.remove_pending_request(reply)
        raise DepthAnythingError(f'{self._ping.srv_name} does not reply within {limit_s:g} s')

    def _done(self, reply: Future, end_s: float) -> bool:
        self._until(lambda: reply.done() or time.monotonic() > end_s, 2.0 * _RETRY_S)
        return bool(reply.done())


def ns_from_cdr(raw: bytes) -> int:
    """Return the stamp in nanoseconds of a serialised message that begins with a header."""
    # Four bytes of encapsulation, whose second says the byte order, then the stamp.
    seconds, nanoseconds = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
