"""Replay bags over DDS to the node in a process of its own, and record its depth."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import Window
from depth_anything_ros.messages.tf import put_transforms
from depth_anything_ros.ros.qos import LATCHED, REFERENCE, SENSOR
from lab.feeder import Feeder, ns_from_cdr
from lab.isolation import isolated_domain
from lab.live_node import node_arguments, process
from lab.world.rig import extrinsics_text

__all__ = ['IMAGE_TOPIC', 'OUTPUT_TOPICS', 'Replay', 'replay']

IMAGE_TOPIC = '/camera/image_raw'
OUTPUT_TOPICS = (
    '/depth_anything/depth/image',
    '/depth_anything/relative/image',
    '/depth_anything/relative/image_color',
)
_INFO_TOPIC, _REFERENCE_TOPIC = '/camera/camera_info', '/lidar/points'
_LENS, _LIDAR = 'camera_optical_frame', 'lidar_link'

_START_S = 120.0
"""Longest wait for the node to become active, in seconds: a large checkpoint on a slow disk."""

_REPLY_TIMEOUT_S = 10.0
_SPIN_S = 0.005


@dataclass
class Replay:
    """How it went; latency is from publishing an image to receiving its picture, steady clock."""

    sent: int = 0
    processed: int = 0
    latency_ms: Window = field(default_factory=lambda: Window(100_000))
    output_hz: float = float('nan')
    diagnostics: tuple[DiagnosticStatus, ...] = ()


def replay(bags: Mapping[Path, Path], parameters: Parameters) -> Replay:
    """Play the camera of each bag at its own rate under /clock; record into the one it maps to.

    Raises DepthAnythingError if the node ends or does not become active.
    """
    topics = {'image': IMAGE_TOPIC, 'camera_info': _INFO_TOPIC, 'reference': _REFERENCE_TOPIC}
    arguments = [*node_arguments(parameters), '-p', 'use_sim_time:=true']
    for name, topic in topics.items():
        arguments += ['-r', f'{name}:={topic}']
    with isolated_domain():
        rclpy.init()
        try:
            # Before the node starts, so that it finds publishers.
            peer = _Peer()
            with process('depth_anything_ros.node', arguments) as node:
                peer.until_active(node)
                for bag, recorded in bags.items():
                    with Writer(recorded, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
                        peer.play(bag, writer)
                result = peer.result()
            peer.node.destroy_node()
        finally:
            rclpy.try_shutdown()
    return result


class _Peer:
    """Publishes what the bags hold and records what the node publishes."""

    def __init__(self) -> None:
        self.node: Node = rclpy.create_node('depth_anything_demo')
        self._clock = self.node.create_publisher(Clock, '/clock', 1)
        inputs = {
            IMAGE_TOPIC: (Image, SENSOR),
            _INFO_TOPIC: (CameraInfo, SENSOR),
            _REFERENCE_TOPIC: (PointCloud2, REFERENCE),
        }
        self._feeder = Feeder(self.node, inputs, IMAGE_TOPIC, self._until)
        self._set: Client = self.node.create_client(
            SetParameters, '/depth_anything/set_parameters'
        )
        self._reset: Client = self.node.create_client(Trigger, '/depth_anything/reset_alignment')
        self._sent_s: dict[int, float] = {}
        self._processed_ns: set[int] = set()
        self._totals = Replay()
        self._gaps_s: list[float] = []
        self._arrived_s: float | None = None
        self._status: DiagnosticStatus | None = None
        self._diagnostics: tuple[DiagnosticStatus, ...] = ()
        self._recorders: dict[str, Callable[[int, bytes], None]] = {}
        for topic in OUTPUT_TOPICS:
            # Raw: what the node wrote is what the bag gets.
            record = partial(self._record, topic)
            self.node.create_subscription(Image, topic, record, 10, raw=True)
        self.node.create_subscription(
            DiagnosticStatus, '/depth_anything/status', self._on_status, LATCHED
        )
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def until_active(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the node is active and both ends have found each other."""
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            rclpy.spin_once(self.node, timeout_sec=0.1)
            if process.poll() is not None:
                raise DepthAnythingError(
                    f'the node ended with status {process.returncode}: see above'
                )
            if self._status is None:
                continue
            if self._status.level == DiagnosticStatus.ERROR:
                raise DepthAnythingError(f'the node says: {self._status.message}')
            values = {pair.key: pair.value for pair in self._status.values}
            listening = values['state'] == 'active' and values['idle'] == 'False'
            services = self._set.service_is_ready() and self._reset.service_is_ready()
            if listening and self._feeder.connected() and services:
                return
        raise DepthAnythingError(f'the node was not active within {_START_S:.0f} s')

    def play(self, bag: Path, writer: Writer) -> None:
        """Publish the camera's messages of one bag at the pace of their times, and record."""
        types = get_typestore(Stores.ROS2_JAZZY)
        for topic in OUTPUT_TOPICS:
            connection = writer.add_connection(topic, 'sensor_msgs/msg/Image', typestore=types)
            self._recorders[topic] = partial(writer.write, connection)
        self._sent_s, self._processed_ns = {}, set()
        self._arrived_s = None
        self._set_extrinsics(bag)
        # Another scene; where its stamps go back by less than a second, the node cannot see that.
        if not self._call(self._reset, Trigger.Request()).success:
            raise DepthAnythingError('the node did not reset its scale')
        with BagReader(bag) as reader:
            time_ns = self._feeder.at_pace(reader, self._tick, self._on_sent)
        # What the node says while images flow; later it rightly says that they have ceased.
        self._totals.diagnostics = self._diagnostics
        # The output of the last image may still be on its way.
        last_ns = max(self._sent_s)
        self._wait(time_ns, _REPLY_TIMEOUT_S, lambda: last_ns in self._processed_ns)
        self._recorders.clear()
        self._totals.sent += len(self._sent_s)
        self._totals.processed += len(self._processed_ns)

    def result(self) -> Replay:
        """Sum up."""
        if self._gaps_s:
            self._totals.output_hz = len(self._gaps_s) / sum(self._gaps_s)
        return self._totals

    def _set_extrinsics(self, bag: Path) -> None:
        """Set the pose of the lidar of this drive.

        By parameter and not on /tf_static: the wheels of ROS on PyPI do not have its messages.
        """
        buffer = TransformBuffer()
        with BagReader(bag) as reader:
            for message in reader.messages(['/tf_static']):
                put_transforms(buffer, message.read().transforms, static=True)
        text = extrinsics_text(buffer.lookup(_LENS, _LIDAR, 0))
        extrinsics = Parameter('reference.extrinsics', value=text).to_parameter_msg()
        reply = self._call(self._set, SetParameters.Request(parameters=[extrinsics]))
        if not reply.results[0].successful:
            raise DepthAnythingError('the node did not take reference.extrinsics')

    def _call(self, service: Client, request: Any) -> Any:
        future = service.call_async(request)
        rclpy.spin_until_future_complete(self.node, future, timeout_sec=_REPLY_TIMEOUT_S)
        if future.result() is None:
            raise DepthAnythingError(f'the node did not answer on {service.srv_name}')
        return future.result()

    def _until(self, done: Callable[[], object], limit_s: float) -> bool:
        """Spin until `done`; False if that took longer than `limit_s` seconds."""
        end_s = time.monotonic() + limit_s
        while not done():
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return False
            rclpy.spin_once(self.node, timeout_sec=min(left_s, _SPIN_S))
        return True

    def _wait(self, from_ns: int, limit_s: float, done: Callable[[], bool]) -> None:
        """Spin until `done`, the clock going on from `from_ns`."""
        start_s = time.monotonic()
        while not done() and (waited_s := time.monotonic() - start_s) < limit_s:
            self._tick(from_ns + round(waited_s * 1e9))
            rclpy.spin_once(self.node, timeout_sec=_SPIN_S)

    def _on_sent(self, stamp_ns: int) -> None:
        self._sent_s[stamp_ns] = time.monotonic()

    def _tick(self, time_ns: int) -> None:
        seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
        self._clock.publish(Clock(clock=Time(sec=seconds, nanosec=nanoseconds)))

    def _record(self, topic: str, data: bytes) -> None:
        stamp_ns = ns_from_cdr(data)
        if stamp_ns not in self._sent_s or topic not in self._recorders:
            return
        self._recorders[topic](stamp_ns, data)
        if topic == OUTPUT_TOPICS[-1]:
            now_s = time.monotonic()
            self._processed_ns.add(stamp_ns)
            if self._arrived_s is not None:
                self._gaps_s.append(now_s - self._arrived_s)
            self._arrived_s = now_s
            self._totals.latency_ms.add((now_s - self._sent_s[stamp_ns]) * 1e3)

    def _on_status(self, status: DiagnosticStatus) -> None:
        self._status = status

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        self._diagnostics = tuple(array.status)
