"""What a bag knows at an image besides its reference: other sensors, odometry, true depth."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from depth_anything_ros.bag.compare_results import GROUND_TRUTH
from depth_anything_ros.bag.discovery import is_color
from depth_anything_ros.bag.plan import NODE
from depth_anything_ros.bag.reading import BagMessage, BagReader
from depth_anything_ros.bag.replay import BagReplay, ReplayedImage
from depth_anything_ros.core.errors import DepthAnythingError, FrameError, SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.messages.reference_messages import REFERENCE_TYPES, camera_info_beside
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.metric.references import Reference

__all__ = ['Beside', 'Candidate', 'candidates', 'measures']


class Candidate(NamedTuple):
    """One reference of a bag: what it is called, its topic or '', and the parameters with it."""

    name: str
    kind: ReferenceKind
    topic: str
    parameters: Parameters


class Beside:
    """A sensor or odometry, heard beside a replay: it takes every message of `topics`."""

    def __init__(self, reader: BagReader, replay: BagReplay, source: Candidate) -> None:
        self.name, self._parameters = source.name, source.parameters
        self._messages = SceneMessages(replay.transforms)
        self._messages.kind = source.kind
        self._topic, self._info = source.topic, camera_info_beside(source.topic)
        self.topics = {self._topic, self._info}.intersection(reader.topics)

    def hear(self, message: BagMessage) -> None:
        """Take a message of any topic; one that is damaged is left out."""
        with suppress(DepthAnythingError):
            if message.topic == self._topic:
                self._messages.add_reference(message.read())
            elif message.topic == self._info:
                self._messages.reference_info = message.read()

    def scene(self, image: ReplayedImage) -> MessageScene:
        """Return what surrounds an image with a frame, to be read once later messages came."""
        assert image.frame is not None
        self._messages.camera_info = image.info
        about = image.header.frame_id, image.frame.stamp_ns, image.frame.image_size
        return MessageScene(self._messages, *about, self._parameters)

    def read(self, scene: MessageScene) -> Reference | None:
        """Return what was measured nearest to an image; None where nothing was."""
        with suppress(FrameError):
            return scene.reference(None)
        return None


def candidates(
    reader: BagReader, parameters: Parameters, named: tuple[str, ...] = ()
) -> list[Candidate]:
    """Return the references of a bag, its sensors and what its tf makes possible; or those named.

    True depth, and what this package wrote, are none. `named` are topics or kinds; SettingError
    for one that the bag lacks, and for a fixed frame that is not in its tf.
    """
    asked, frames = parameters.reference, _frames(reader)
    fixed = asked.fixed_frame or 'odom'
    if fixed not in frames:
        every = _frames(reader, None) if asked.fixed_frame else set()
        if every and fixed not in every:
            raise SettingError(
                f'tf of bag {reader.path} has no frame {fixed}: it has {", ".join(sorted(every))}'
            )
        fixed = fixed if every else ''
    found: list[Candidate] = []

    def add(name: str, kind: ReferenceKind, topic: str = '', frame: str = '') -> None:
        given = replace(asked, type=kind.value, fixed_frame=frame or asked.fixed_frame)
        found.append(Candidate(name, kind, topic, replace(parameters, reference=given)))

    for topic in reader.of_type(*REFERENCE_TYPES):
        kind = REFERENCE_TYPES[reader.topics[topic].kind]
        # The same images packed would judge themselves.
        twin = topic.removesuffix('/compressedDepth') in reader.topics.keys() - {topic}
        if twin or topic == GROUND_TRUTH or f'{NODE}/' in topic:
            continue
        if measures(reader, topic) or (kind is ReferenceKind.ODOMETRY and not fixed):
            add(topic, kind, topic)
    if fixed:
        add(f'odometry (tf, {fixed})', ReferenceKind.ODOMETRY, frame=fixed)
    if asked.ground_frame in frames or asked.camera_height_m:
        add('ground plane', ReferenceKind.GROUND_PLANE)
    known = ', '.join(each.topic or each.kind.value for each in found) or reader.listing()
    for name in named or ([] if found else ['of metric depth']):
        if not any(name in (each.topic, each.kind.value) for each in found):
            raise SettingError(f'bag {reader.path} has no reference {name}: it has {known}')
    return [each for each in found if not named or {each.topic, each.kind.value} & set(named)]


def measures(reader: BagReader, topic: str) -> bool:
    """Return whether a topic holds clouds, scans or depth images, of one type."""
    found = reader.topics[topic]
    kind = None if found.other_kinds else REFERENCE_TYPES.get(found.kind)
    if kind is ReferenceKind.DEPTH_IMAGE:
        first = next(reader.messages([topic]), None)
        with suppress(DepthAnythingError):
            return first is not None and not is_color(first)
    return kind in (ReferenceKind.POINT_CLOUD, ReferenceKind.LASER_SCAN)


def _frames(reader: BagReader, most: int | None = 500) -> set[str]:
    """Return the frames in the first messages of tf, `most` of each topic."""
    frames: set[str] = set()
    for topic in reader.of_type('tf2_msgs/msg/TFMessage'):
        # Of a moving frame the first transforms tell that it is there.
        for message in islice(reader.messages([topic]), most):
            with suppress(DepthAnythingError):
                for each in message.read().transforms:
                    frames.update((each.header.frame_id, each.child_frame_id))
    return frames
