"""Checks of a camera's topics as the node would use them, in the node's own words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.normalization import check_image
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import time_went_back
from depth_anything_ros.messages.camera_info import distortion_doubt
from depth_anything_ros.messages.images import bgr_from_compressed, bgr_from_image
from depth_anything_ros.messages.reference_messages import camera_info_beside
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.references import Odometry
from depth_anything_ros.ros.listening import listening
from depth_anything_ros.ros.qos import (
    SENSOR,
    create_subscription,
    input_problem,
    pair_problem,
    type_name,
)
from depth_anything_ros.ros.reference_input import ReferenceInput
from depth_anything_ros.ros.telemetry import SequenceNumbers, clock_problem
from depth_anything_ros.ros.tf_listener import LiveTransforms, create_transforms
from depth_anything_ros.settings.share import profile_variable
from depth_anything_ros.studies.doctor.check import Check, fail, guarded, ok, warn
from depth_anything_ros.studies.doctor.dds import profile_path

__all__ = ['topic_checks']

_DISCOVERY_S = 8.0
_LISTEN_S = 6.0
_IMAGES = 60
_STEP_S = 0.1
_FEW_SAMPLES = 20
"""With fewer no alignment is tried (metric/alignment/aligner.py)."""


def topic_checks(
    image: str, camera_info: str, reference: str, parameters: Parameters
) -> Iterator[Check]:
    """Listen until all was heard, for some seconds at most, and yield what is wrong or right.

    `camera_info` is '' for the topic beside the image, `reference` '' where no topic is used.
    """
    remapped = ['-r', f'reference:={reference}'] if reference else []
    with listening('depth_anything_doctor', *remapped) as (node, spin):

        def until(met: Callable[[], object], limit_s: float) -> None:
            end_s = time.monotonic() + limit_s
            while not met() and time.monotonic() < end_s:
                spin(_STEP_S)

        until(lambda: node.count_publishers(image), _DISCOVERY_S)
        camera = _Camera(node, image, camera_info or camera_info_beside(image), parameters)
        if node.count_publishers(image):
            until(lambda: camera.has_heard(bool(reference)), _LISTEN_S)
        yield from camera.checks(bool(reference))
        camera.close()


class _Camera:
    """The subscriptions of one camera, and what they received."""

    def __init__(self, node: Node, image: str, info: str, parameters: Parameters) -> None:
        self._node, self._parameters = node, parameters
        types = [each.topic_type for each in node.get_publishers_info_by_topic(image)]
        compressed = type_name(CompressedImage) in types or image.endswith('/compressed')
        self._decode: Callable[[Any], Any] = bgr_from_compressed if compressed else bgr_from_image
        self._messages = SceneMessages()
        self._transforms: LiveTransforms | None = None
        self._numbers, self._lost, self._went_back = SequenceNumbers(), 0, False
        self._received: list[Any] = []
        self._start_s = time.monotonic()
        self._image = self._subscribe(
            CompressedImage if compressed else Image, image, self._receive
        )
        self._info = self._subscribe(CameraInfo, info, self._receive_info)
        self._reference = ReferenceInput(node, '', self._messages, self._need_transforms)
        self._reference.open(parameters.reference)
        if parameters.reference.fixed_frame:
            self._need_transforms()

    def has_heard(self, by_topic: bool) -> bool:
        """Return whether enough has arrived to judge it."""
        if len(self._received) < _IMAGES or self._messages.camera_info is None:
            return False
        return not by_topic or self._paired() is not None

    def checks(self, by_topic: bool) -> Iterator[Check]:
        """Yield what was found; `by_topic`: a topic of the reference was named."""
        yield guarded('image', self._image_check)
        yield guarded('qos', self._qos_check)
        if not self._received:
            return
        yield guarded('lost_images', self._transport_check)
        yield guarded('stamps', self._stamps_check)
        yield guarded('camera_info', self._info_check)
        yield guarded('reference', partial(self._reference_check, by_topic))

    def close(self) -> None:
        """Unsubscribe."""
        self._reference.close()
        if self._transforms is not None:
            self._transforms.close()

    def _image_check(self) -> Check:
        topic = self._image.topic_name
        if not self._received:
            problem = input_problem(self._node, self._image, 'image')
            problem = problem or f'the publisher of {topic} is silent'
            return fail(problem, 'start the camera, or --image-topic')
        message = self._received[-1]
        try:
            bgr = self._decode(message)
            check_image(bgr)
        except FrameError as error:
            return fail(f'{topic}: {error}')
        rate_hz = len(self._received) / (time.monotonic() - self._start_s)
        height, width = bgr.shape[:2]
        kind = getattr(message, 'encoding', '') or message.format
        text = f'{topic}: {width} x {height} {kind}, {rate_hz:.1f} a second'
        if not message.header.frame_id:
            return warn(f'{text}, without a frame_id', 'fix the driver, for tf')
        return ok(f'{text}, in {message.header.frame_id!r}')

    def _qos_check(self) -> Check:
        subscribed = [self._image, self._info, *self._reference.subscriptions]
        for topic in (each.topic_name for each in subscribed):
            if problem := pair_problem(self._node, topic):
                return warn(problem, 'change the QoS of one of them')
        return ok('publishers and subscribers of these topics fit each other')

    def _transport_check(self) -> Check:
        total = self._lost + len(self._received)
        text = f'{self._lost} of {total} images lost'
        fix = f'start the camera with {profile_variable()}={profile_path()}'
        return warn(text, fix) if self._lost else ok(text)

    def _stamps_check(self) -> Check:
        stamp_ns = ns_from_stamp(self._received[-1].header.stamp)
        behind_s = (self._node.get_clock().now().nanoseconds - stamp_ns) * 1e-9
        if problem := clock_problem(behind_s, stamp_ns):
            return fail(problem)
        if self._went_back:
            return fail('image stamps went back', 'one publisher on the topic only')
        return ok(f'{behind_s:.3f} s behind the clock when received')

    def _info_check(self) -> Check:
        info = self._messages.camera_info
        topic = self._info.topic_name
        if info is None:
            problem = input_problem(self._node, self._info) or f'{topic} is silent'
            return warn(f'no metric depth: {problem}', '--camera-info-topic')
        rectified = self._parameters.rectified
        try:
            camera = self._scene().camera()
        except FrameError as error:
            return fail(f'{topic}: {error}')
        if rectified and (doubt := distortion_doubt(info, self._image.topic_name)):
            return warn(doubt)
        return ok(f'{topic}: fx {camera.fx:.1f}, {camera.width} x {camera.height}')

    def _reference_check(self, by_topic: bool) -> Check:
        settings = self._parameters.reference
        if not by_topic and settings.type in ('auto', 'none'):
            return ok('not asked for: relative depth only')
        if problem := self._reference.problem(needed=True):
            return fail(problem)
        scene = self._scene()
        try:
            reference = scene.reference(None)
            assert reference is not None
            if isinstance(reference, Odometry):
                return ok('odometry reaches the stamp of the image')
            limits = settings.min_depth_m, settings.max_depth_m
            samples = reference.samples(scene.camera(), *limits)
        except (FrameError, SettingError) as error:
            return fail(str(error))
        kind = scene.kind.value if scene.kind else ''
        text = f'{kind}: {len(samples.depth_m)} samples in the image'
        if len(samples.depth_m) < _FEW_SAMPLES:
            return fail(text, 'check its frame, its extrinsics and where it looks')
        return ok(text)

    def _paired(self) -> Any:
        """Return the newest image with a reference near its stamp; None without one."""
        tolerance_s = self._parameters.reference.sync_tolerance_s
        for message in reversed(self._received):
            if self._messages.nearest(ns_from_stamp(message.header.stamp), tolerance_s):
                return message
        return None

    def _scene(self) -> MessageScene:
        """Return what is known around the newest image, one with a reference if there is one."""
        message = self._paired() or self._received[-1]
        bgr = self._decode(message)
        return MessageScene(
            self._messages,
            message.header.frame_id,
            ns_from_stamp(message.header.stamp),
            (bgr.shape[1], bgr.shape[0]),
            self._parameters,
        )

    def _subscribe(
        self, message_type: type, topic: str, callback: Callable[..., None]
    ) -> Subscription:
        return create_subscription(self._node, message_type, topic, SENSOR, callback)

    def _receive(self, message: Any, info: Mapping[str, Any]) -> None:
        if self._received:
            last_ns = ns_from_stamp(self._received[-1].header.stamp)
            self._went_back |= time_went_back(last_ns, ns_from_stamp(message.header.stamp))
        if self._image.get_publisher_count() == 1:
            self._lost += self._numbers.missed(info['publication_sequence_number'])
        self._received.append(message)

    def _receive_info(self, message: CameraInfo) -> None:
        self._messages.camera_info = message

    def _need_transforms(self) -> None:
        if self._transforms is None:
            self._transforms = create_transforms(self._node)
            self._messages.transforms = self._transforms
