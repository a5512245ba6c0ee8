"""One camera of the node: its topics, its counters, and what is wrong with either."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_anything_ros.core.camera_health import CameraHealth
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.messages.camera_info import distortion_doubt
from depth_anything_ros.messages.scene_messages import SceneMessages
from depth_anything_ros.ros.publishers import Outputs
from depth_anything_ros.ros.qos import SENSOR, create_subscription, input_problem, is_remapped
from depth_anything_ros.ros.reference_input import ReferenceInput
from depth_anything_ros.ros.telemetry import SequenceNumbers, Telemetry

__all__ = ['NodeCamera', 'ReceivedImage']


@dataclass(frozen=True)
class ReceivedImage:
    """An image message of a camera on its way to the network; `received_s` is time.monotonic().

    `topic` is where it came from, `stream` is that of the activation in which it arrived.
    """

    camera: NodeCamera
    message: Any
    received_s: float
    stream: DepthStream
    topic: str = ''

    def is_current(self) -> bool:
        """Whether the activation in which it arrived goes on."""
        return self.stream is self.camera.stream


class NodeCamera:
    """The topics of one camera; `stream` turns its images into frames while the node is active."""

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        parameters: Parameters,
        offer: Callable[[str, ReceivedImage], bool],
        need_transforms: Callable[[], None],
    ) -> None:
        """`name` goes before every topic, '' for a camera without one.

        `offer` leaves an image for the worker, and returns whether it replaced a waiting one.
        `need_transforms` is called before tf is needed.
        """
        self.name = name
        self.parameters = parameters
        """Those in force; whoever changes them changes those of `stream` too."""
        self.messages = SceneMessages()
        self.stream: DepthStream | None = None
        prefix = f'{name}/' if name else ''
        self.outputs = Outputs(node, prefix)
        self.messages.metres_wanted = self.outputs.metric_wanted
        self.reference = ReferenceInput(node, prefix, self.messages, need_transforms)
        self._node = node
        self._prefix = prefix
        self._offer = offer
        self._image_input: Subscription | None = None
        self._info_input: Subscription | None = None
        self._forget()

    def _forget(self) -> None:
        self.telemetry = Telemetry()
        self.health = CameraHealth()
        self.last_output: FloatImage | None = None
        """The network's output for the last image; None where there was none."""
        self.messages.clear()
        self._numbers = SequenceNumbers()
        self._info_problem = ''
        self._levels_noted = False

    def open_inputs(self, stream: DepthStream) -> None:
        """Subscribe, with nothing remembered from an earlier activation."""
        self.stream = stream
        self._forget()
        compressed = self.parameters.image_transport == 'compressed'
        self._image_input = create_subscription(
            self._node,
            CompressedImage if compressed else Image,
            self._subscribed_topic(compressed),
            SENSOR,
            self._receive,
        )
        self._info_input = create_subscription(
            self._node, CameraInfo, f'{self._prefix}camera_info', SENSOR, self._receive_info
        )
        self.reference.open(self.parameters.reference)

    def close_inputs(self) -> None:
        """Unsubscribe; a frame still in the network is not published any more."""
        self.stream = None
        for subscription in (self._image_input, self._info_input):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._image_input = self._info_input = None
        self.reference.close()

    def image_topic(self) -> str:
        """Return the full name of the image topic; '' while not subscribed."""
        return str(self._image_input.topic_name) if self._image_input else ''

    def problem(self) -> str:
        """Return what keeps images from arriving or outputs from subscribers; '' for nothing."""
        if self._image_input is None:
            return ''
        problem = input_problem(self._node, self._image_input, f'{self._prefix}image')
        return problem if problem or self.is_silent() else self.outputs.problem()

    def is_silent(self) -> bool:
        """Return whether no image has come for longer than it should take."""
        return self.telemetry.silent_s() > self.parameters.diagnostics.stale_after_s

    def camera_info_problem(self) -> str:
        """Return why there are no intrinsics; '' if there are, or while not subscribed."""
        if self._info_input is not None and self.messages.camera_info is None:
            return input_problem(self._node, self._info_input) or 'none received'
        return self._info_problem

    def check_camera_info(self, width: int, height: int) -> None:
        """Note whether camera_info fits an image of this size, for `camera_info_problem`."""
        if self.messages.camera_info is None:
            return
        rectified = self.parameters.rectified
        try:
            self.messages.camera(width, height, rectified)
            info = self.messages.camera_info
            self._info_problem = distortion_doubt(info, self.image_topic()) if rectified else ''
        except FrameError as error:
            self._info_problem = str(error)

    def note_levels(self, image: ReceivedImage) -> None:
        """Log once in an activation that images of 16 bits are stretched."""
        note = image.stream.levels.note
        if note and not self._levels_noted:
            self._levels_noted = True
            self._node.get_logger().info(f'images on {self.image_topic()}: {note}')

    def refuse(self, image: ReceivedImage, error: Exception) -> None:
        """Count an image that cannot be used, and log the first of its kind.

        One bad frame must not end the stream, whatever `error` is.
        """
        details = ''
        if not isinstance(error, FrameError):
            # Topics that went away under a last frame are no fault: rclpy's own signal handler
            # ends the context before anybody here hears of it.
            if not image.is_current() or not self._node.context.ok():
                return
            details = '\n' + ''.join(traceback.format_exception(error)).rstrip()
            error = FrameError('internal_error', f'{type(error).__name__}: {error}')
        if self.telemetry.invalid(error.reason, str(error)):
            self._node.get_logger().warning(
                f'image on {self.image_topic()} refused: {error} (further ones are counted in '
                f'/diagnostics as dropped_invalid_{error.reason}){details}'
            )

    def _receive(self, message: Any, info: Mapping[str, Any]) -> None:
        """Hand an image on to the worker; rclpy sees in this signature that `info` is wanted."""
        subscription, stream = self._image_input, self.stream
        if subscription is None or stream is None:
            return
        if subscription.get_publisher_count() == 1:
            number = info['publication_sequence_number']
            self.telemetry.lost(self._numbers.missed(number))
        else:
            self._numbers = SequenceNumbers()
        self.telemetry.received()
        if not self.outputs.wanted():
            self.telemetry.skipped_idle()
            return
        topic = str(subscription.topic_name)
        image = ReceivedImage(self, message, time.monotonic(), stream, topic)
        if self._offer(self.name, image):
            self.telemetry.replaced()

    def _receive_info(self, message: CameraInfo) -> None:
        self.messages.camera_info = message

    def _subscribed_topic(self, compressed: bool) -> str:
        """Follow image_transport: the transport's name goes behind the remapped base topic."""
        topic = f'{self._prefix}image'
        if not compressed:
            return topic
        own = f'{topic}/compressed'
        if is_remapped(self._node, own):
            return own
        return self._node.resolve_topic_name(topic) + '/compressed'
