"""One camera's inputs and outputs: messages in, frames to the worker, answers out."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.frame import DepthFrame, Wanted
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.telemetry import CLOCKS_DISAGREE_S, Telemetry
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.messages.camera_info import camera_from_info
from depth_anything_ros.messages.images import (
    bgr_from_compressed,
    bgr_from_image,
    fill_compressed,
    fill_image,
)
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.ros.qos import (
    OUTPUT,
    SENSOR,
    create_managed_publisher,
    create_subscriber,
    input_problem,
    output_problem,
)

__all__ = ['Camera', 'Process', 'ReceivedImage']

Process = Callable[[BgrImage, int, Wanted, StageTimes], DepthFrame]
"""DepthPipeline.process: image, stamp in nanoseconds, wanted parts, times to add to."""

_OUTPUTS: dict[str, tuple[type, Wanted]] = {
    '~/relative/raw': (Image, Wanted.DISPARITY),
    '~/relative/image': (Image, Wanted.NORMALIZED),
    '~/relative/image_color': (Image, Wanted.COLOR),
    '~/relative/image_color/compressed': (CompressedImage, Wanted.COLOR),
}


@dataclass(frozen=True)
class ReceivedImage:
    """An image message on its way; `received_s` is time.monotonic(), `epoch` its activation."""

    message: Any
    received_s: float
    epoch: int


class Camera:
    """The topics of one camera.

    Subscriptions run on the executor's thread and only hand over; `process` runs on the worker's.
    """

    def __init__(
        self,
        node: LifecycleNode,
        offer: Callable[[ReceivedImage], bool],
        parameters: Callable[[], Parameters],
    ) -> None:
        """`offer` leaves an image for the worker and says whether it replaced a waiting one."""
        self._node = node
        self._offer = offer
        self._parameters = parameters
        self.telemetry = Telemetry()
        self._bad_camera_info = ''
        self._inputs: list[Any] = []  # of Subscriber
        self._outputs: dict[str, LifecyclePublisher] = {}
        self._answer: Process | None = None
        self._info: CameraInfo | None = None
        self._epoch = 0

    def open_outputs(self) -> None:
        """Create the publishers; they stay silent until the node is active."""
        for name, (message_type, _) in _OUTPUTS.items():
            self._outputs[name] = create_managed_publisher(self._node, message_type, name, OUTPUT)

    def close_outputs(self) -> None:
        """Destroy the publishers."""
        outputs, self._outputs = self._outputs, {}
        for publisher in outputs.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def open_inputs(self, answer: Process) -> None:
        """Subscribe, with nothing remembered from an earlier activation."""
        self._epoch += 1
        self._answer = answer
        self.telemetry = Telemetry()
        self._info = None
        self._bad_camera_info = ''
        compressed = self._parameters().image_transport == 'compressed'
        self._subscribe(
            CompressedImage if compressed else Image,
            self._image_topic(compressed),
            self._on_image,
        )
        self._subscribe(CameraInfo, 'camera_info', self._on_camera_info)

    def close_inputs(self) -> None:
        """Unsubscribe; a frame still in the network is not published any more."""
        self._epoch += 1
        self._answer = None
        inputs, self._inputs = self._inputs, []
        for subscriber in inputs:
            self._node.destroy_subscription(subscriber.sub)

    def wanted(self) -> Wanted:
        """Tell which parts of a frame have a subscriber."""
        wanted = Wanted.NONE
        for name, publisher in self._outputs.items():
            if publisher.get_subscription_count():
                wanted |= _OUTPUTS[name][1]
        return wanted

    def problem(self) -> str:
        """Say what keeps this camera from receiving or from being heard; '' if nothing does."""
        problem = self._input_problem(0)
        if problem:
            return problem
        for publisher in self._outputs.values():
            problem = output_problem(self._node, publisher.topic_name)
            if problem:
                return problem
        return ''

    def camera_info_problem(self) -> str:
        """Say why there are no intrinsics; '' if there are, or while not subscribed."""
        if self._inputs and self._info is None:
            return self._input_problem(1) or 'none received'
        return self._bad_camera_info

    def _input_problem(self, index: int) -> str:
        if not self._inputs:
            return ''
        subscription = self._inputs[index].sub
        topic = subscription.topic_name
        return input_problem(self._node, topic, _type_name(subscription.msg_type))

    def input_topic(self) -> str:
        """Give the full name of the image topic; '' while not subscribed."""
        return str(self._inputs[0].sub.topic_name) if self._inputs else ''

    def process(self, image: ReceivedImage) -> None:
        """Answer one image, on the worker's thread."""
        answer = self._answer
        if answer is None or image.epoch != self._epoch:
            return
        header = image.message.header
        stamp_ns = ns_from_stamp(header.stamp)
        times = StageTimes()
        times.add('wait', (time.monotonic() - image.received_s) * 1e3)
        try:
            with times.stage('convert'):
                bgr = self._decode(image.message)
            self._check_camera_info(bgr.shape[1], bgr.shape[0])
            frame = answer(bgr, stamp_ns, self.wanted(), times)
            with times.stage('publish'):
                self._publish(frame, header, image.epoch)
        except FrameError as error:
            self._refuse(error)
            return
        except Exception as error:  # noqa: BLE001  one bad frame must not end the stream
            # Topics that went away under a last frame are no fault.
            if image.epoch == self._epoch:
                told = FrameError('internal_error', f'{type(error).__name__}: {error}')
                self._refuse(told, traceback.format_exc())
            return
        if image.epoch != self._epoch:
            return
        self.telemetry.published(
            image.received_s, stamp_ns * 1e-9, self._age_s(stamp_ns), times.ms
        )

    def _subscribe(self, message_type: type, topic: str, callback: Callable[..., None]) -> None:
        subscriber = create_subscriber(self._node, message_type, topic, SENSOR)
        subscriber.registerCallback(callback)
        self._inputs.append(subscriber)

    def _image_topic(self, compressed: bool) -> str:
        """Follow image_transport: the transport's name goes behind the remapped base topic."""
        if not compressed:
            return 'image'
        own = self._node.resolve_topic_name('image/compressed')
        if own != self._node.resolve_topic_name('image/compressed', only_expand=True):
            return 'image/compressed'
        return self._node.resolve_topic_name('image') + '/compressed'

    def _on_image(self, message: Any) -> None:
        self.telemetry.received()
        if not self.wanted():
            self.telemetry.skipped_idle()
            return
        stamp_ns = ns_from_stamp(message.header.stamp)
        limit_s = self._parameters().max_image_age_s
        # Beyond that the clocks disagree, and an age by them means nothing.
        if limit_s and limit_s < self._age_s(stamp_ns) < CLOCKS_DISAGREE_S:
            self.telemetry.too_old()
            return
        if self._offer(ReceivedImage(message, time.monotonic(), self._epoch)):
            self.telemetry.superseded()

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._info = message

    def _decode(self, message: Any) -> BgrImage:
        max_pixels = round(self._parameters().max_image_megapixels * 1e6)
        if isinstance(message, CompressedImage):
            return bgr_from_compressed(message, max_pixels=max_pixels)
        return bgr_from_image(message, max_pixels=max_pixels)

    def _check_camera_info(self, width: int, height: int) -> None:
        if self._info is None:
            return
        try:
            camera_from_info(self._info, width, height, self._parameters().rectified)
            self._bad_camera_info = ''
        except FrameError as error:
            self._bad_camera_info = str(error)

    def _refuse(self, error: FrameError, details: str = '') -> None:
        if self.telemetry.invalid(error.reason, str(error)):
            self._node.get_logger().warning(
                f'image on {self.input_topic()} refused: {error} (further ones are counted in '
                f'/diagnostics as dropped_invalid_{error.reason})\n{details}'.rstrip()
            )

    def _publish(self, frame: DepthFrame, header: Any, epoch: int) -> None:
        images = {
            '~/relative/raw': (frame.disparity, '32FC1'),
            '~/relative/image': (frame.normalized, '32FC1'),
            '~/relative/image_color': (frame.color, 'bgr8'),
        }
        outputs = self._outputs
        for name, (pixels, encoding) in images.items():
            if pixels is not None and epoch == self._epoch and _heard(outputs.get(name)):
                message = Image(header=header)
                fill_image(message, pixels, encoding)
                outputs[name].publish(message)
        jpeg = '~/relative/image_color/compressed'
        if frame.color is not None and epoch == self._epoch and _heard(outputs.get(jpeg)):
            compressed = CompressedImage(header=header)
            fill_compressed(compressed, frame.color, self._parameters().output.jpeg_quality)
            outputs[jpeg].publish(compressed)

    def _age_s(self, stamp_ns: int) -> float:
        return float(self._node.get_clock().now().nanoseconds - stamp_ns) * 1e-9


def _heard(publisher: LifecyclePublisher | None) -> bool:
    return publisher is not None and publisher.get_subscription_count() > 0


def _type_name(message_type: Any) -> str:
    package = message_type.__module__.split('.')[0]
    return f'{package}/msg/{message_type.__name__}'
