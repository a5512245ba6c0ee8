"""One camera's inputs and outputs: messages in, frames to the worker, answers out."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.estimator.frame import DepthFrame, Wanted
from depth_anything_ros.messages.images import bgr_from_compressed, bgr_from_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.messages.surroundings import Surroundings
from depth_anything_ros.ros.outputs import Outputs
from depth_anything_ros.ros.qos import (
    SENSOR,
    create_subscriber,
    input_problem,
    is_remapped,
    type_name,
)
from depth_anything_ros.ros.references import ReferenceInput
from depth_anything_ros.ros.telemetry import CLOCKS_DISAGREE_S, Numbers, Telemetry

__all__ = ['Camera', 'Pipeline', 'ReceivedImage', 'Shot']


class Pipeline(Protocol):
    """What DepthPipeline does on either side of the network, which cameras share."""

    def look(self, bgr: BgrImage, stamp_ns: int, times: StageTimes, frame_id: str) -> Any:
        """Return what `answer` wants to know of the image; FrameError if it means nothing."""
        ...

    def answer(
        self,
        view: Any,
        inverse_depth: FloatImage,
        bgr: BgrImage,
        wanted: Wanted,
        times: StageTimes,
    ) -> DepthFrame:
        """Turn what the network gave into a frame; FrameError if that means nothing."""
        ...


@dataclass(frozen=True)
class ReceivedImage:
    """An image message on its way; `received_s` is time.monotonic(), `epoch` its activation."""

    message: Any
    received_s: float
    epoch: int


@dataclass(frozen=True)
class Shot:
    """An image ready for the network, and what came of it so far."""

    image: ReceivedImage
    bgr: BgrImage
    view: Any
    stamp_ns: int
    times: StageTimes


class Camera:
    """The topics of one camera.

    Subscriptions run on the executor's thread and only hand over; `take` and `answer`, before and
    after the network, run on the worker's.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        offer: Callable[[ReceivedImage], bool],
        parameters: Callable[[], Parameters],
        need_transforms: Callable[[], None],
        on_scale: Callable[[], None],
    ) -> None:
        """`name` goes before every topic, '' for a camera without one.

        `offer` leaves an image for the worker and says whether it replaced a waiting one.
        `need_transforms` is called before tf is needed, `on_scale`, on the worker's thread, when
        there are metres for the first time or no more, or for another reason.
        """
        self._node = node
        self._prefix = f'{name}/' if name else ''
        self._offer = offer
        self._parameters = parameters
        self._on_scale = on_scale
        self.telemetry = Telemetry()
        self.surroundings = Surroundings()
        self.outputs = Outputs(node, self._prefix)
        self.reference = ReferenceInput(node, self._prefix, self.surroundings, need_transforms)
        self._bad_camera_info = ''
        self._inputs: list[Any] = []  # of Subscriber
        self._numbers = Numbers()
        self._pipeline: Pipeline | None = None
        self._epoch = 0

    def open_inputs(self, pipeline: Pipeline) -> None:
        """Subscribe, with nothing remembered from an earlier activation."""
        self._epoch += 1
        self._pipeline = pipeline
        self.telemetry = Telemetry()
        self._numbers = Numbers()
        self.surroundings.forget()
        self._bad_camera_info = ''
        compressed = self.parameters.image_transport == 'compressed'
        self._subscribe(
            CompressedImage if compressed else Image,
            self._image_topic(compressed),
            self._on_image,
        )
        self._subscribe(CameraInfo, f'{self._prefix}camera_info', self._on_camera_info)
        self.reference.open(self.parameters.reference.type)

    def close_inputs(self) -> None:
        """Unsubscribe; a frame still in the network is not published any more."""
        self._epoch += 1
        self._pipeline = None
        inputs, self._inputs = self._inputs, []
        for subscriber in inputs:
            self._node.destroy_subscription(subscriber.sub)
        self.reference.close()

    @property
    def parameters(self) -> Parameters:
        """Those of this camera, in force."""
        return self._parameters()

    def problem(self) -> str:
        """Say what keeps this camera from receiving or from being heard; '' if nothing does."""
        return self._input_problem(0) or self.outputs.problem()

    def camera_info_problem(self) -> str:
        """Say why there are no intrinsics; '' if there are, or while not subscribed."""
        if self._inputs and self.surroundings.camera_info is None:
            return self._input_problem(1) or 'none received'
        return self._bad_camera_info

    def _input_problem(self, index: int) -> str:
        if not self._inputs:
            return ''
        subscription = self._inputs[index].sub
        topic = subscription.topic_name
        return input_problem(self._node, topic, type_name(subscription.msg_type))

    def input_topic(self) -> str:
        """Return the full name of the image topic; '' while not subscribed."""
        return str(self._inputs[0].sub.topic_name) if self._inputs else ''

    def take(self, image: ReceivedImage) -> Shot | None:
        """Make one image ready for the network; None if it is not to be answered."""
        pipeline, header = self._pipeline, image.message.header
        if pipeline is None or image.epoch != self._epoch:
            return None
        stamp_ns = ns_from_stamp(header.stamp)
        limit_s = self.parameters.max_image_age_s
        # Beyond that the clocks disagree, and an age by them means nothing.
        if limit_s and limit_s < self._age_s(stamp_ns) < CLOCKS_DISAGREE_S:
            self.telemetry.too_old()
            return None
        times = StageTimes()
        times.add('wait', (time.monotonic() - image.received_s) * 1e3)
        shot: Shot | None = None
        with self._guard(image):
            with times.stage('convert'):
                bgr = self._decode(image.message)
            self._check_camera_info(bgr.shape[1], bgr.shape[0])
            view = pipeline.look(bgr, stamp_ns, times, header.frame_id)
            shot = Shot(image, bgr, view, stamp_ns, times)
        return shot  # noqa: RET504  the guard may have ended the block before

    def answer(self, shot: Shot, inverse_depth: FloatImage | Exception) -> None:
        """Publish what follows from what the network gave, or refuse the image for its error."""
        image, pipeline, times = shot.image, self._pipeline, shot.times
        if pipeline is None or image.epoch != self._epoch:
            return
        with self._guard(image):
            if isinstance(inverse_depth, Exception):
                raise inverse_depth
            wanted = self.outputs.wanted()
            frame = pipeline.answer(shot.view, inverse_depth, shot.bgr, wanted, times)
            self.outputs.publish(
                frame,
                image.message.header,
                self.surroundings.camera_info,
                self.parameters,
                lambda: image.epoch == self._epoch,
            )
            if image.epoch != self._epoch:
                return
            if self.telemetry.scaled(frame.scale, frame.missing):
                self._on_scale()
            self.telemetry.published(
                image.received_s, shot.stamp_ns * 1e-9, self._age_s(shot.stamp_ns), times.ms
            )

    @contextmanager
    def _guard(self, image: ReceivedImage) -> Iterator[None]:
        """Refuse the image for whatever is raised: one bad frame must not end the stream."""
        try:
            yield
        except FrameError as error:
            self._refuse(error)
        except Exception as error:  # noqa: BLE001  see above
            # Topics that went away under a last frame are no fault: rclpy's own signal handler
            # ends the context before anybody here hears of it.
            if image.epoch == self._epoch and self._node.context.ok():
                told = FrameError('internal_error', f'{type(error).__name__}: {error}')
                self._refuse(told, traceback.format_exc())

    def _subscribe(self, message_type: type, topic: str, callback: Callable[..., None]) -> None:
        subscriber = create_subscriber(self._node, message_type, topic, SENSOR)
        subscriber.registerCallback(callback)
        self._inputs.append(subscriber)

    def _image_topic(self, compressed: bool) -> str:
        """Follow image_transport: the transport's name goes behind the remapped base topic."""
        topic = f'{self._prefix}image'
        if not compressed:
            return topic
        own = f'{topic}/compressed'
        if is_remapped(self._node, own):
            return own
        return self._node.resolve_topic_name(topic) + '/compressed'

    def _on_image(self, message: Any) -> None:
        subscriber = self._inputs[0]
        if subscriber.sub.get_publisher_count() == 1:
            self.telemetry.lost(self._numbers.missed(subscriber.number))
        else:
            self._numbers = Numbers()
        self.telemetry.received()
        if not self.outputs.wanted():
            self.telemetry.skipped_idle()
        elif self._offer(ReceivedImage(message, time.monotonic(), self._epoch)):
            self.telemetry.superseded()

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.surroundings.camera_info = message

    def _decode(self, message: Any) -> BgrImage:
        max_pixels = round(self.parameters.max_image_megapixels * 1e6)
        if isinstance(message, CompressedImage):
            return bgr_from_compressed(message, max_pixels=max_pixels)
        return bgr_from_image(message, max_pixels=max_pixels)

    def _check_camera_info(self, width: int, height: int) -> None:
        if self.surroundings.camera_info is None:
            return
        try:
            rectified = self.parameters.rectified
            self.surroundings.camera(width, height, rectified)
            self._bad_camera_info = self._distortion_doubt() if rectified else ''
        except FrameError as error:
            self._bad_camera_info = str(error)

    def _distortion_doubt(self) -> str:
        """Say that an image taken as rectified looks as if it were not; '' if it does not."""
        topic = self.input_topic()
        if 'image_raw' not in topic or not any(self.surroundings.camera_info.d):
            return ''
        return (
            f'{topic} looks raw and its camera_info has distortion, but rectified is true: set '
            'rectified to false, or take the rectified image'
        )

    def _refuse(self, error: FrameError, details: str = '') -> None:
        if self.telemetry.invalid(error.reason, str(error)):
            self._node.get_logger().warning(
                f'image on {self.input_topic()} refused: {error} (further ones are counted in '
                f'/diagnostics as dropped_invalid_{error.reason})\n{details}'.rstrip()
            )

    def _age_s(self, stamp_ns: int) -> float:
        return float(self._node.get_clock().now().nanoseconds - stamp_ns) * 1e-9
