"""One camera's publishers: what is wanted, and a frame out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2, PointField

from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.messages.outputs import OUTPUTS, Output, OutputWriter
from depth_anything_ros.ros.qos import OUTPUT, create_managed_publisher, output_problem, type_name

__all__ = ['TYPES', 'Outputs']

_MESSAGES = (Image, CompressedImage, CameraInfo, PointCloud2, PointField, LaserScan)
_DIAGNOSTICS = (DiagnosticArray, DiagnosticStatus, KeyValue)
TYPES: dict[str, type] = {type_name(each): each for each in (*_MESSAGES, *_DIAGNOSTICS)}
"""The classes of the messages, by type name."""


class Outputs:
    """Publishers that stay silent until the node is active."""

    def __init__(self, node: LifecycleNode, prefix: str) -> None:
        """`prefix` goes before every topic, '' or that of a camera as in 'front/'."""
        self._node = node
        self._prefix = prefix
        self._publishers: dict[Output, LifecyclePublisher] = {}
        self._writer = OutputWriter(TYPES, node.get_fully_qualified_name())

    def open(self) -> None:
        """Create the publishers."""
        for output in OUTPUTS:
            self._publishers[output] = create_managed_publisher(
                self._node, TYPES[output.type], f'~/{self._prefix}{output.name}', OUTPUT
            )

    def close(self) -> None:
        """Destroy the publishers."""
        publishers, self._publishers = self._publishers, {}
        for publisher in publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def wanted(self) -> bool:
        """Return whether any output has a subscriber."""
        return any(map(_has_subscriber, self._publishers.values()))

    def metric_wanted(self) -> bool:
        """Return whether an output in metres has a subscriber."""
        return any(
            output.metric and _has_subscriber(publisher)
            for output, publisher in self._publishers.items()
        )

    def problem(self) -> str:
        """Return which subscriber cannot receive what is published; '' if none."""
        for publisher in self._publishers.values():
            problem = output_problem(self._node, publisher.topic_name)
            if problem:
                return problem
        return ''

    def publish(
        self, frame: Frame, header: Any, info: Any, is_current: Callable[[], bool]
    ) -> None:
        """Publish what has a subscriber, as long as `is_current` holds.

        `header` is that of the image, `info` its CameraInfo or None.
        """
        for output, publisher in [*self._publishers.items()]:
            if not _has_subscriber(publisher):
                continue
            message = self._writer.message(output, frame, header, info)
            if message is not None and is_current():
                with frame.times.stage('publish'):
                    publisher.publish(message)


def _has_subscriber(publisher: LifecyclePublisher) -> bool:
    return bool(publisher.get_subscription_count() > 0)
