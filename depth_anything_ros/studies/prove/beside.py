"""What else a bag knows at each image: other sensors, the motion of the camera, true depth."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from depth_anything_ros.bag.compare_results import GROUND_TRUTH
from depth_anything_ros.bag.discovery import is_color
from depth_anything_ros.bag.plan import NODE
from depth_anything_ros.bag.reading import BagMessage, BagReader
from depth_anything_ros.bag.replay import BagReplay, ReplayedImage
from depth_anything_ros.core.errors import DepthAnythingError, FrameError, SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.messages.reference_messages import (
    REFERENCE_TYPES,
    camera_info_beside,
    kind_of_type,
)
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.metric.references import Reference

__all__ = ['Beside', 'Candidate', 'candidates', 'ranging_topics']

_ODOM = 'odom'
_TF_TYPE = 'tf2_msgs/msg/TFMessage'
# Of a moving frame the first transforms tell that it is there.
_TF_READ = 500


class Candidate(NamedTuple):
    """One reference of a bag: what it is called, its topic or '', and the parameters with it."""

    name: str
    kind: ReferenceKind
    topic: str
    parameters: Parameters


class Beside:
    """One sensor, or odometry, heard beside a replay and read at its images.

    Pass it every message of `topics`. `why` says how often it could not be read, by reason.
    """

    def __init__(self, reader: BagReader, replay: BagReplay, source: Candidate) -> None:
        self._messages = SceneMessages(replay.transforms)
        self._messages.kind = source.kind
        self._topic, self._info = source.topic, ''
        self._parameters = source.parameters
        if source.kind is ReferenceKind.DEPTH_IMAGE:
            info = camera_info_beside(source.topic)
            self._info = info if info in reader.topics else ''
        self.topics = frozenset(filter(None, (self._topic, self._info)))
        self.why: dict[str, int] = {}

    def hear(self, message: BagMessage) -> None:
        """Take a message of any topic."""
        if message.topic == self._topic:
            self._messages.add_reference(message.read())
        elif message.topic == self._info:
            self._messages.reference_info = message.read()

    def at(self, image: ReplayedImage) -> Reference | None:
        """Return what was measured with an image that has a frame; None where nothing was."""
        if image.frame is None:
            return None
        frame, self._messages.camera_info = image.frame, image.info
        scene = MessageScene(
            self._messages,
            image.header.frame_id,
            frame.stamp_ns,
            frame.image_size,
            self._parameters,
        )
        try:
            return scene.reference(None)
        except FrameError as error:
            self.why[error.reason] = self.why.get(error.reason, 0) + 1
            return None


def candidates(
    reader: BagReader, parameters: Parameters, named: tuple[str, ...] = ()
) -> list[Candidate]:
    """Return the references of a bag: its sensors, and what its tf makes possible.

    `named` are topics or kinds; SettingError for one that the bag lacks.
    """
    found = [_candidate(topic, topic, reader, parameters) for topic in ranging_topics(reader)]
    asked, frames = parameters.reference, _frames(reader)
    fixed = asked.fixed_frame or (_ODOM if _ODOM in frames else '')
    odometry = ReferenceKind.ODOMETRY
    if fixed in frames:
        by_tf = replace(asked, type=odometry.value, fixed_frame=fixed)
        given = replace(parameters, reference=by_tf)
        found.append(Candidate(f'odometry (tf, {fixed})', odometry, '', given))
    else:
        topics = reader.of_type('nav_msgs/msg/Odometry')
        found += [_candidate(topic, topic, reader, parameters) for topic in topics]
    if asked.ground_frame in frames or asked.camera_height_m:
        kind = ReferenceKind.GROUND_PLANE
        given = replace(parameters, reference=replace(asked, type=kind.value))
        found.append(Candidate('ground plane', kind, '', given))
    if not named:
        if not found:
            raise SettingError(
                f'bag {reader.path} has nothing that measures metres: no cloud, scan, depth image '
                f'or odometry, and no tf to {asked.ground_frame}; it has {reader.listing()}'
            )
        return found
    for name in named:
        if not any(name in (each.topic, each.kind.value) for each in found):
            known = ', '.join(f'{each.topic or each.kind.value}' for each in found)
            raise SettingError(
                f'--reference {name}: bag {reader.path} has no such topic or kind of reference; '
                f'it has {known or "none"}'
            )
    return [each for each in found if {each.topic, each.kind.value} & set(named)]


def ranging_topics(reader: BagReader, named: str = '') -> list[str]:
    """Return the topics of clouds, scans and depth images; or only `named`, where it is one.

    True depth, and what this package wrote, measure nothing.
    SettingError where `named` is not in the bag, or of another type.
    """
    if named:
        kind = kind_of_type(reader.require(named).kind, f'topic {named} of bag {reader.path}')
        if kind is not ReferenceKind.ODOMETRY and not _shows_colour(reader, named):
            return [named]
        raise SettingError(f'topic {named} measures no depth: name a cloud, scan or depth image')
    return [
        topic
        for topic in reader.of_type(*REFERENCE_TYPES)
        if REFERENCE_TYPES[reader.topics[topic].kind] is not ReferenceKind.ODOMETRY
        and topic != GROUND_TRUTH
        and f'{NODE}/' not in topic
        and not _shows_colour(reader, topic)
    ]


def _shows_colour(reader: BagReader, topic: str) -> bool:
    if REFERENCE_TYPES[reader.topics[topic].kind] is not ReferenceKind.DEPTH_IMAGE:
        return False
    first = next(reader.messages([topic]), None)
    with suppress(DepthAnythingError):
        return first is None or is_color(first)
    return False


def _candidate(name: str, topic: str, reader: BagReader, parameters: Parameters) -> Candidate:
    kind = REFERENCE_TYPES[reader.topics[topic].kind]
    given = replace(parameters, reference=replace(parameters.reference, type=kind.value))
    return Candidate(name, kind, topic, given)


def _frames(reader: BagReader) -> set[str]:
    """Return the frames in tf."""
    frames: set[str] = set()
    for topic in reader.of_type(_TF_TYPE):
        for _, message in zip(range(_TF_READ), reader.messages([topic]), strict=False):
            for each in message.read().transforms:
                frames.update((each.header.frame_id, each.child_frame_id))
    return frames
