"""The node in a process of its own, the camera before it, and what comes back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.parameters import Parameters, flatten
from depth_anything_ros.core.timing import Window
from depth_anything_ros.ros.qos import LATCHED
from lab.camera_views import CameraMessages
from lab.feeder import ns_from_cdr

__all__ = ['NODE', 'Peer', 'hz', 'latencies_ms', 'node_arguments', 'process']

NODE = '/depth_anything'
_START_S = 120.0
"""Longest wait for the first output, in seconds: a large network on a slow machine."""

_QUIET_S = 1.0
_INPUTS = {
    'info': (CameraInfo, 'camera_info'),
    'depth': (Image, 'reference'),
    'image': (Image, 'image'),
}


def hz(times_ns: Sequence[int]) -> float:
    """Return the rate of events at these times; 0 for fewer than two."""
    if len(times_ns) < 2:
        return 0.0
    return (len(times_ns) - 1) / (max(times_ns) - min(times_ns)) * 1e9


def latencies_ms(published_ns: Mapping[int, int]) -> Window:
    """Return the milliseconds from each stamp to the time that it maps to."""
    window = Window(max(1, len(published_ns)))
    for stamp_ns, at_ns in published_ns.items():
        window.add((at_ns - stamp_ns) * 1e-6)
    return window


def node_arguments(parameters: Parameters) -> list[str]:
    """Return the command-line arguments that start the node with `parameters`."""
    arguments = ['--ros-args']
    for name, value in flatten(parameters).items():
        # JSON is YAML in which an empty or numeric text stays a text.
        arguments += ['-p', f'{name}:={json.dumps(value)}']
    return arguments


@contextmanager
def process(module: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module as a process, and end it as a terminal does."""
    # With sys.executable, because the start-up hook of the wheels has already run here.
    child = subprocess.Popen([sys.executable, '-m', module, *arguments])
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(10.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class Peer:
    """A camera and a subscriber of `outputs`, full topic names with their message types.

    With `reference` also a depth camera, whose images are metric ground truth for the node;
    `camera` is its name where several share the node. Use it as a context manager, inside
    `isolated_domain`. `published[topic]` maps the stamp of a frame to when its output was
    published, both in nanoseconds of this machine's clock.
    """

    def __init__(
        self, outputs: Mapping[str, type], *, reference: bool = False, camera: str = ''
    ) -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = Node(camera or 'camera', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._camera = camera
        self._publishers: dict[str, Publisher] = {}
        self._sent = ('info', 'depth', 'image') if reference else ('info', 'image')
        self.plug_in()
        self.published: dict[str, dict[int, int]] = {topic: {} for topic in outputs}
        for topic, message_type in outputs.items():
            # Any: the annotation in rclpy does not know callbacks that take the info as well.
            note: Any = self._noted(topic)
            self.node.create_subscription(message_type, topic, note, 10, raw=True)
        self._diagnostics: DiagnosticArray | None = None
        self._failure = ''
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.node.create_subscription(DiagnosticStatus, f'{NODE}/status', self._on_status, LATCHED)
        self._last_ns = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def plug_in(self) -> None:
        """Create the publishers of a connected camera."""
        prefix = f'{self._camera}/' if self._camera else ''
        for part in self._sent:
            kind, topic = _INPUTS[part]
            # Reliable, with a queue: what camera drivers offer, and any subscriber can take.
            self._publishers[part] = self.node.create_publisher(kind, prefix + topic, 10)

    def unplug(self) -> None:
        """Destroy the publishers."""
        publishers, self._publishers = self._publishers, {}
        for publisher in publishers.values():
            self.node.destroy_publisher(publisher)

    def send(self, view: CameraMessages) -> int:
        """Publish an image, stamped now, after what belongs to it; return the stamp."""
        self._last_ns = stamp_ns = max(time.time_ns(), self._last_ns + 1)
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        # The image last: whatever it needs has then been on its way for longer.
        for part in self._sent:
            message = getattr(view, part)
            message.header.stamp = Time(sec=seconds, nanosec=nanoseconds)
            self._publishers[part].publish(message)
        return stamp_ns

    def stream(
        self,
        views: Sequence[CameraMessages],
        rate_hz: float,
        seconds: float,
        on_progress: Callable[[float, float], None] = lambda done, total: None,
    ) -> list[int]:
        """Send `views` in turn at `rate_hz`; return the stamps. `on_progress` gets seconds."""
        sent_ns = []
        start_s = time.monotonic()
        for index in range(round(seconds * rate_hz)):
            self.spin_until(start_s + index / rate_hz)
            sent_ns.append(self.send(views[index % len(views)]))
            on_progress(index / rate_hz, seconds)
        return sent_ns

    def until(self, done: Callable[[], Any], limit_s: float) -> bool:
        """Spin until `done`; False if that took longer than `limit_s` seconds."""
        deadline_s = time.monotonic() + limit_s
        while not done():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(left_s, 0.1))
        return True

    def spin_until(self, time_s: float) -> None:
        """Spin until the steady clock shows `time_s`."""
        self.until(lambda: False, time_s - time.monotonic())

    def until_published(
        self, children: Sequence[subprocess.Popen[bytes]], send: Callable[[], object]
    ) -> None:
        """Call `send` until something has come on every output, and let it become quiet.

        Raises DepthAnythingError if one of `children` ends or nothing comes.
        """
        deadline_s = time.monotonic() + _START_S
        while not all(self.published.values()):
            for child in children:
                if child.poll() is not None:
                    raise DepthAnythingError(f'a node ended with {child.returncode}: see above')
            if self._failure:
                raise DepthAnythingError(f'the node says: {self._failure}')
            if time.monotonic() > deadline_s:
                silent = ', '.join(topic for topic, got in self.published.items() if not got)
                raise DepthAnythingError(f'nothing came on {silent} within {_START_S:.0f} s')
            send()
            self.spin_until(time.monotonic() + 0.2)
        # What was sent here must be through before anyone counts.
        self.spin_until(time.monotonic() + _QUIET_S)

    def diagnostics_of(self, part: str) -> DiagnosticStatus:
        """Return `part` of /diagnostics, at least one whole period from now."""
        for _ in range(2):
            self._diagnostics = None
            if not self.until(lambda: self._diagnostics is not None, 10.0):
                raise DepthAnythingError('nothing came on /diagnostics for 10 s')
        assert self._diagnostics is not None
        name = f'{NODE}: {self._camera} {part}' if self._camera else f'{NODE}: {part}'
        return next(status for status in self._diagnostics.status if status.name == name)

    def figures(self, part: str) -> dict[str, str]:
        """Return the values of `diagnostics_of`."""
        return {pair.key: pair.value for pair in self.diagnostics_of(part).values}

    def counts(self) -> dict[str, int]:
        """Return the counters of the node's throughput."""
        figures = self.figures('throughput')
        return {name: int(text) for name, text in figures.items() if not name.endswith('_hz')}

    def _noted(self, topic: str) -> Callable[[bytes, dict[str, int]], None]:
        published = self.published[topic]

        def note(data: bytes, info: dict[str, int]) -> None:
            published[ns_from_cdr(data)] = info['source_timestamp']

        return note

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._diagnostics = message

    def _on_status(self, status: DiagnosticStatus) -> None:
        self._failure = status.message if status.level == DiagnosticStatus.ERROR else ''
