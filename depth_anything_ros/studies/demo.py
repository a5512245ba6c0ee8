"""The product's face: pictures through DDS and the running node, and what came back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.parameters import Parameters, flatten
from depth_anything_ros.core.timing import Window
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.messages.images import bgr_from_image, fill_image
from depth_anything_ros.ros.isolation import isolated_domain
from depth_anything_ros.ros.qos import LATCHED, SENSOR

__all__ = ['run']

_START_S = 120.0
"""Longest wait for the node to become active, in seconds: vitl on a slow disk."""


@dataclass
class _Record:
    """What was seen at the far end: pictures by stamp, and milliseconds from publishing."""

    sent_s: dict[int, float] = field(default_factory=dict)
    pictures: dict[int, BgrImage] = field(default_factory=dict)
    latency_ms: Window = field(default_factory=lambda: Window(100_000))
    arrived_s: list[float] = field(default_factory=list)
    status: DiagnosticStatus | None = None
    diagnostics: DiagnosticArray | None = None


def run(parameters: Parameters, out: Path, seconds: float, rate_hz: float) -> int:
    """Publish photographs at `rate_hz` to the node in a process of its own; write a sheet.

    Gives 0, or 1 if no depth came back. Raises DepthAnythingError if the node does not start.
    """
    photographs = _photographs()
    out.mkdir(parents=True, exist_ok=True)
    with isolated_domain(), _node_process(parameters) as process:
        rclpy.init()
        try:
            node = rclpy.create_node('depth_anything_demo')
            record = _publish_and_record(node, process, photographs, seconds, rate_hz)
            node.destroy_node()
        finally:
            rclpy.try_shutdown()
    _print_summary(record, seconds, rate_hz)
    if not record.pictures:
        print('no depth came back', file=sys.stderr)
        return 1
    sheet = out / 'demo.png'
    cv2.imwrite(str(sheet), _sheet(photographs, record))
    print(f'\nwrote {sheet}')
    print('next: ros2 launch depth_anything_ros depth.launch.py variant:=vits')
    print('      depth_anything run YOUR_PICTURES OUT_FOLDER')
    return 0


def _photographs(width: int = 640, height: int = 480) -> list[BgrImage]:
    """Real photographs, cropped to one size, from the wheel of scikit-image."""
    found = find_spec('skimage')
    if found is None or found.origin is None:
        raise DepthAnythingError('the demo shows the photographs of scikit-image: pip install it')
    images = []
    for name in ('coffee.png', 'chelsea.png', 'astronaut.png', 'rocket.jpg'):
        image = cv2.imread(str(Path(found.origin).parent / 'data' / name), cv2.IMREAD_COLOR)
        if image is None:
            continue
        scale = max(width / image.shape[1], height / image.shape[0])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        images.append(np.array(image[top : top + height, left : left + width], np.uint8))
    return images


@contextmanager
def _node_process(parameters: Parameters) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ['--ros-args']
    for name, value in flatten(parameters).items():
        # YAML: an empty or numeric text must stay a text.
        text = f"'{value}'" if isinstance(value, str) else str(value).lower()
        arguments += ['-p', f'{name}:={text}']
    # With sys.executable, because the start-up hook of the wheels has already run here.
    command = [sys.executable, '-m', 'depth_anything_ros.node', *arguments]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _publish_and_record(
    node: Node,
    process: subprocess.Popen[bytes],
    photographs: list[BgrImage],
    seconds: float,
    rate_hz: float,
) -> _Record:
    record = _Record()
    publisher = node.create_publisher(Image, 'image', SENSOR)

    def on_picture(message: Image) -> None:
        stamp_ns = _stamp_ns(message.header.stamp)
        if stamp_ns in record.sent_s:
            now_s = time.monotonic()
            record.arrived_s.append(now_s)
            record.latency_ms.add((now_s - record.sent_s[stamp_ns]) * 1e3)
            record.pictures[stamp_ns] = bgr_from_image(message)

    def keep(name: str) -> Callable[[Any], None]:
        return lambda message: setattr(record, name, message)

    node.create_subscription(Image, 'depth_anything/relative/image_color', on_picture, 10)
    node.create_subscription(DiagnosticStatus, 'depth_anything/status', keep('status'), LATCHED)
    node.create_subscription(DiagnosticArray, '/diagnostics', keep('diagnostics'), 10)
    _wait_until_active(node, process, record, publisher)

    start_s = time.monotonic()
    count = max(1, round(seconds * rate_hz))
    for index in range(count):
        while (wait_s := start_s + index / rate_hz - time.monotonic()) > 0:
            rclpy.spin_once(node, timeout_sec=wait_s)
        stamp = node.get_clock().now().to_msg()
        message = Image(header=Header(stamp=stamp, frame_id='camera_optical_frame'))
        # A second each, as a person would look at them.
        shown = int(index * len(photographs) / count)
        fill_image(message, photographs[shown], 'bgr8')
        record.sent_s[_stamp_ns(stamp)] = time.monotonic()
        publisher.publish(message)
    # The answer to the last image may still be on its way.
    last_ns = max(record.sent_s)
    deadline_s = time.monotonic() + 5.0
    while last_ns not in record.pictures and time.monotonic() < deadline_s:
        rclpy.spin_once(node, timeout_sec=0.1)
    return record


def _wait_until_active(
    node: Node, process: subprocess.Popen[bytes], record: _Record, publisher: Any
) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        rclpy.spin_once(node, timeout_sec=0.1)
        if process.poll() is not None:
            raise DepthAnythingError(f'the node ended with status {process.returncode}: see above')
        if record.status is None:
            continue
        if record.status.level == DiagnosticStatus.ERROR:
            raise DepthAnythingError(f'the node says: {record.status.message}')
        values = {pair.key: pair.value for pair in record.status.values}
        heard = values['state'] == 'active' and values['idle'] == 'False'
        if heard and publisher.get_subscription_count():
            return
    raise DepthAnythingError(f'the node was not active within {_START_S:.0f} s')


def _print_summary(record: _Record, seconds: float, rate_hz: float) -> None:
    sent, got = len(record.sent_s), len(record.pictures)
    p50, p95 = record.latency_ms.percentiles(50, 95)
    span_s = record.arrived_s[-1] - record.arrived_s[0] if got > 1 else float('nan')
    print(f'\nimages sent      {sent:5d}   {rate_hz:6.1f} Hz')
    print(f'depth received   {got:5d}   {(got - 1) / span_s:6.1f} Hz')
    print(f'publish to depth  p50 {p50:.0f} ms, p95 {p95:.0f} ms')
    for status in record.diagnostics.status if record.diagnostics else []:
        print(f'{status.name}: {status.message}')


def _sheet(photographs: list[BgrImage], record: _Record) -> BgrImage:
    """Image above colour, one column for each photograph that was answered."""
    stamps = sorted(record.sent_s)
    columns = []
    for index, photograph in enumerate(photographs):
        sent = [
            s for i, s in enumerate(stamps) if int(i * len(photographs) / len(stamps)) == index
        ]
        answered = [s for s in sent if s in record.pictures]
        if answered:
            columns.append(np.vstack([photograph, record.pictures[answered[-1]]]))
    return np.hstack(columns)


def _stamp_ns(stamp: Time) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
