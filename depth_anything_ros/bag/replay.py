"""Replay one camera of a bag through the pipeline: its images, its reference and tf, no DDS.

Everything happens in the order in which it was recorded, as for a node that keeps up: an image is
processed with what had been received by then, so a reference recorded after it is never used,
however near its stamp. Odometry is the exception, as poses are interpolated: what was recorded
within 0.1 s after an image is known by then, as in a node whose network takes that long. Only the
first static transform of each frame is known from the start: /tf_static is latched, and a node
that joins late receives it at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.bag.discovery import COMPRESSED_IMAGE, IMAGE, bgr_of, is_color
from depth_anything_ros.bag.odd_times import OddTimes
from depth_anything_ros.bag.reading import BagMessage, BagReader
from depth_anything_ros.bag.reasons import Reason
from depth_anything_ros.core.errors import DepthAnythingError, FrameError, SettingError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.parameters import Parameters, ReferenceParameters
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.metric_scale import Choose
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.messages.reference_messages import (
    REFERENCE_TYPES,
    camera_info_beside,
    kind_of_type,
)
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.messages.tf import put_transforms

__all__ = ['BagReplay', 'CameraTopics', 'ReplayedImage', 'used_topics']

_TF = '/tf'
_TF_TYPE = 'tf2_msgs/msg/TFMessage'

# A live node asks for the pose of an image once the network is done with it.
_NETWORK_NS = 100_000_000


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera; `reference` '' means none.

    A camera_info that is '' is looked for beside its image, and may be missing there. A `tf` that
    is '' is the one nearest to the image: of /robot1/camera/image /robot1/tf, or else /tf.
    """

    image: str
    camera_info: str = ''
    reference: str = ''
    tf: str = ''


class UsedTopics(NamedTuple):
    """The topics of one camera that its bag has, '' for others, and the kind of the reference.

    `reference_info` is the CameraInfo beside a depth image. With `tf` belongs `tf`_static.
    """

    image: str
    camera_info: str
    reference: str
    reference_info: str
    tf: str
    kind: ReferenceKind | None


@dataclass(frozen=True, eq=False)
class ReplayedImage:
    """One image of the bag, and the frame made of it, or the error that refused it.

    `header` is the image's, `info` the CameraInfo known then; either may be None.
    """

    receive_ns: int
    header: Any
    info: Any
    frame: Frame | None
    error: FrameError | None = None


class BagReplay:
    """Iterate over it once; or pass it the messages of `topics` in their order with `process`.

    `left_out` counts the messages that could not be used, by topic; `odd_times` says what is odd
    about stamps, `notes` what else is worth knowing. `transforms` are those heard so far.
    """

    def __init__(
        self,
        reader: BagReader,
        topics: CameraTopics,
        backend: DepthBackend,
        parameters: Parameters,
        choose: Choose = lambda samples, camera: samples,
    ) -> None:
        """`reader` is an open bag, `choose` as for DepthStream.

        SettingError where the bag lacks a topic, or has it of no use.
        """
        self.left_out: list[Reason] = []
        self.notes: list[str] = []
        self.odd_times = OddTimes(topics.image)
        self._reader, self._parameters = reader, parameters
        self.transforms = TransformBuffer()
        self._scene = scene = SceneMessages(self.transforms)
        used = used_topics(reader, topics, parameters.reference)
        scene.kind = used.kind
        self._image = used.image
        self._max_pixels = round(parameters.max_image_megapixels * 1e6)
        self._stream = DepthStream(backend, parameters, choose=choose)
        self._stretched = False
        self._listeners: defaultdict[str, list[Callable[[Any], None]]] = defaultdict(list)
        # Else nothing asks for intrinsics, and a chunk without images need not be unpacked.
        if used.kind is not None or backend.info.output.metric:
            for topic, listener in (
                (used.camera_info, partial(setattr, scene, 'camera_info')),
                (used.reference, scene.add_reference),
                (used.reference_info, partial(setattr, scene, 'reference_info')),
            ):
                if topic:
                    self._listeners[topic].append(listener)
            if not used.camera_info:
                beside = camera_info_beside(topics.image)
                why = f'the bag has no {beside}: name the camera_info of {topics.image}'
                self.notes.append(f'{why} (--camera-info)')
            self._listen_to_tf(used.tf)
        odometry = {used.reference or used.tf} if used.kind is ReferenceKind.ODOMETRY else set()
        self._early = frozenset(odometry.intersection(self._listeners))
        self._ahead = _messages_of(reader.path, self._early)
        self._next = next(self._ahead, None)

    @property
    def topics(self) -> frozenset[str]:
        """The topics that are used."""
        return frozenset((self._image, *self._listeners))

    @property
    def kind(self) -> ReferenceKind | None:
        """What measures metres; None where nothing does."""
        return self._scene.kind

    def __iter__(self) -> Iterator[ReplayedImage]:
        for message in self._reader.messages(self.topics):
            image = self.process(message)
            if image is not None:
                yield image

    def process(self, message: BagMessage) -> ReplayedImage | None:
        """Process one message of the bag, of any topic; return the result of an image."""
        if message.topic == self._image:
            return self._process_image(message)
        if message.topic not in self._early:
            self._hear(message)
        return None

    def _hear(self, message: BagMessage) -> None:
        listeners = self._listeners.get(message.topic)
        if listeners:
            try:
                content = message.read()
                for listener in listeners:
                    listener(content)
            except DepthAnythingError as error:
                Reason.add(self.left_out, message.topic, str(error))

    def _hear_odometry(self, until_ns: int) -> None:
        while self._next is not None and self._next.receive_ns <= until_ns:
            self._hear(self._next)
            self._next = next(self._ahead, None)

    def _listen_to_tf(self, tf: str) -> None:
        static = f'{tf}_static'
        for topic in (tf, static):
            if topic not in self._reader.topics:
                continue
            found = self._reader.require(topic)
            if found.kind != _TF_TYPE:
                why = f'{topic} is not used: it is {found.kind}, no TFMessage'
                Reason.add(self.left_out, topic, why, found.count)
            else:
                put = partial(self._put_transforms, topic=topic, static=topic == static)
                self._listeners[topic].append(put)
        if static not in self._listeners:
            return
        known: set[str] = set()
        for message in self._reader.messages([static]):
            try:
                items = message.read().transforms
            except DepthAnythingError:
                # Noted when its turn comes.
                continue
            first = [item for item in items if item.child_frame_id not in known]
            known.update(item.child_frame_id for item in first)
            put_transforms(self.transforms, first, static=True)

    def _put_transforms(self, message: Any, *, topic: str, static: bool) -> None:
        for error in put_transforms(self.transforms, message.transforms, static=static):
            Reason.add(self.left_out, topic, f'transform on {topic} refused: {error}')

    def _process_image(self, message: BagMessage) -> ReplayedImage:
        self._hear_odometry(message.receive_ns + _NETWORK_NS)
        info = self._scene.camera_info
        header = None
        try:
            image = _read_image(message)
            header = image.header
            levels = self._stream.levels
            bgr = bgr_of(message.kind, image, self._max_pixels, levels)
            if levels.note and not self._stretched:
                self._stretched = True
                self.notes.append(f'images on {self._image}: {levels.note}')
            stamp_ns = ns_from_stamp(header.stamp)
            self.odd_times.add(message.receive_ns, stamp_ns)
            size = bgr.shape[1], bgr.shape[0]
            scene = MessageScene(self._scene, header.frame_id, stamp_ns, size, self._parameters)
            frame = self._stream.process(bgr, stamp_ns, scene)
        except FrameError as error:
            return ReplayedImage(message.receive_ns, header, info, None, error)
        return ReplayedImage(message.receive_ns, header, info, frame)


def _messages_of(path: Path, topics: frozenset[str]) -> Iterator[BagMessage]:
    """Read some topics of a bag beside whoever reads it already, perhaps on another thread."""
    if topics:
        with BagReader(path) as reader:
            yield from reader.messages(topics)


def used_topics(reader: BagReader, topics: CameraTopics, asked: ReferenceParameters) -> UsedTopics:
    """Return what BagReplay uses of `topics`, as the reference parameters ask.

    SettingError for a topic that the bag lacks, or has with a type of no use.
    """
    kind = _reference_kind(reader, topics.reference, asked)
    found = reader.require(topics.image).kind
    if found not in (IMAGE, COMPRESSED_IMAGE):
        raise SettingError(
            f'topic {topics.image} of bag {reader.path} is {found}: name one of type Image or '
            'CompressedImage'
        )
    by_tf = kind is ReferenceKind.ODOMETRY and asked.fixed_frame
    depth = kind is ReferenceKind.DEPTH_IMAGE
    return UsedTopics(
        topics.image,
        _info_topic(reader, topics.camera_info, topics.image),
        topics.reference if kind in REFERENCE_TYPES.values() and not by_tf else '',
        _info_topic(reader, '', topics.reference) if depth else '',
        _tf_topic(reader, topics.tf, topics.image),
        kind,
    )


def _tf_topic(reader: BagReader, named: str, image: str) -> str:
    """Return the tf topic of a camera, by its namespaces from the inner to the outer."""
    if named:
        if f'{named}_static' not in reader.topics:
            reader.require(named)
        return named
    spaces = image.split('/')
    found = ('/'.join(spaces[:end]) + _TF for end in range(len(spaces) - 1, 0, -1))
    return next((tf for tf in found if not {tf, f'{tf}_static'}.isdisjoint(reader.topics)), _TF)


def _info_topic(reader: BagReader, named: str, image: str) -> str:
    """Return the camera_info topic of an image, '' where none was named and there is none."""
    topic = named or camera_info_beside(image)
    if not named and topic not in reader.topics:
        return ''
    found = reader.require(topic)
    if found.kind == 'sensor_msgs/msg/CameraInfo':
        return topic
    if named:
        raise SettingError(
            f'topic {topic} of bag {reader.path} is {found.kind}, no CameraInfo: name one of type '
            f'CameraInfo, or none to take the one beside {image}'
        )
    return ''


def _reference_kind(
    reader: BagReader, topic: str, parameters: ReferenceParameters
) -> ReferenceKind | None:
    """Return the kind of the reference, by the parameter reference.type and its topic's type."""
    asked = parameters.type
    if asked == 'none':
        return None
    if asked == ReferenceKind.GROUND_PLANE.value:
        return ReferenceKind.GROUND_PLANE
    if asked == ReferenceKind.ODOMETRY.value and parameters.fixed_frame:
        return ReferenceKind.ODOMETRY
    if not topic:
        if asked == 'auto':
            return None
        if asked == ReferenceKind.ODOMETRY.value:
            raise SettingError(
                'reference.type is odometry: set reference.fixed_frame to the odometry frame in '
                'tf (--set reference.fixed_frame=odom), or name a topic of type '
                'nav_msgs/msg/Odometry (--reference)'
            )
        raise SettingError(
            f'reference.type is {asked}, and no reference topic is named: give --reference'
        )
    found = reader.require(topic).kind
    kind = kind_of_type(found, f'reference topic {topic} of bag {reader.path}')
    if asked not in ('auto', kind.value):
        raise SettingError(
            f'reference.type is {asked}, and topic {topic} is a {kind.value} ({found}): set '
            'reference.type to auto, or name another topic'
        )
    if kind is ReferenceKind.DEPTH_IMAGE and _shows_colour(reader, topic):
        raise SettingError(
            f'reference topic {topic} of bag {reader.path} has pictures, no depth (16UC1, 32FC1): '
            'name another topic'
        )
    return kind


def _shows_colour(reader: BagReader, topic: str) -> bool:
    """Return whether the first image of a topic is a colour image; False if it is damaged."""
    first = next(reader.messages([topic]), None)
    with suppress(DepthAnythingError):
        return first is not None and is_color(first)
    return False


def _read_image(message: BagMessage) -> Any:
    """Deserialise an image; one that is damaged must not end the others."""
    try:
        return message.read()
    except DepthAnythingError as err:
        raise FrameError('damaged_message', str(err)) from err
