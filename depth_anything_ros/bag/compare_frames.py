"""Stamps, times of receipt and headers of the frames of two bags: matched, and checked.

Numbers only: the messages themselves are read again, one pair at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Nodetype

from depth_anything_ros.bag.compare_results import (
    NAMED,
    CompareLimits,
    CompareProgress,
    Failure,
    seconds,
)
from depth_anything_ros.bag.reading import BagMessage, BagReader
from depth_anything_ros.messages.stamps import ns_from_stamp

__all__ = [
    'CAMERA_INFO',
    'Match',
    'TopicFrames',
    'check_labels',
    'check_latency',
    'check_presence',
    'index_frames',
    'latencies_ms',
    'match',
    'paired',
]

CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'

Integers = npt.NDArray[np.int64]

# Beyond this the stamps and the receiver have different clocks, as in the node's diagnostics.
_SAME_CLOCK_MS = 10_000.0

_HEADER = ('header', (Nodetype.NAME, 'std_msgs/msg/Header'))


class Label(NamedTuple):
    """What the header of a frame says; '' where it does not.

    Only images have an `encoding`, and only a camera_info the rest: its numbers to six digits.
    """

    frame_id: str
    encoding: str
    size: str = ''
    distortion_model: str = ''
    K: str = ''
    D: str = ''
    P: str = ''


@dataclass
class TopicFrames:
    """The frames of one topic in the order of the bag; `labels` are places in `names`."""

    bag: BagReader
    topic: str
    stamps_ns: array[int] = field(default_factory=lambda: array('q'))
    receive_ns: array[int] = field(default_factory=lambda: array('q'))
    labels: array[int] = field(default_factory=lambda: array('q'))
    names: list[Label] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The type of the messages."""
        return self.bag.topics[self.topic].kind

    def add(self, message: BagMessage) -> None:
        """Note one message."""
        content = message.read()
        header = content.header
        encoding = getattr(content, 'encoding', None) or getattr(content, 'format', '')
        calibration = _calibration(content) if self.kind == CAMERA_INFO else ()
        label = Label(str(header.frame_id), str(encoding), *calibration)
        if label not in self.names:
            self.names.append(label)
        self.stamps_ns.append(ns_from_stamp(header.stamp))
        self.receive_ns.append(message.receive_ns)
        self.labels.append(self.names.index(label))

    def label(self, place: int) -> Label:
        """Return what the frame at that place says in its header."""
        return self.names[self.labels[place]]

    def latency_ms(self) -> float:
        """Return the median from stamp to receipt in milliseconds."""
        late = np.asarray(self.receive_ns, np.int64) - np.asarray(self.stamps_ns, np.int64)
        return float(np.median(late)) * 1e-6


class Match(NamedTuple):
    """Places of the frames in A and B that share a stamp, and of those that only one has."""

    a: Integers
    b: Integers
    missing: Integers
    extra: Integers


def index_frames(
    bag: BagReader, topics: Collection[str], progress: CompareProgress
) -> dict[str, TopicFrames]:
    """Read the headers of the topics that have messages, and of a type that begins with one."""
    indexes = {}
    for name in topics:
        _, members = bag.store.fielddefs.get(bag.topics[name].kind, ([], []))
        if members and members[0] == _HEADER:
            indexes[name] = TopicFrames(bag, name)
    progress.expect(sum(bag.topics[name].count for name in indexes))
    if indexes:
        for message in bag.messages(indexes):
            indexes[message.topic].add(message)
            progress.step()
    return {name: frames for name, frames in indexes.items() if frames.stamps_ns}


def match(a: TopicFrames, b: TopicFrames) -> Match:
    """Match frames by stamp; of several with one stamp the first goes with the first."""
    stamps = [np.asarray(x.stamps_ns, np.int64) for x in (a, b)]
    keys = _keys(stamps[0]), _keys(stamps[1])
    _, in_a, in_b = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    missing, extra = (
        np.setdiff1d(np.arange(len(x)), found)
        for x, found in zip(stamps, (in_a, in_b), strict=True)
    )
    return Match(in_a, in_b, missing, extra)


def paired(
    a: TopicFrames, b: TopicFrames, places: Match
) -> Iterator[tuple[int, BagMessage, BagMessage]]:
    """Read the matched messages of two topics, with the place in A.

    One of each is held, and of B those that come earlier there than in A.
    """
    partners = dict(zip(places.a.tolist(), places.b.tolist(), strict=True))
    wanted = set(partners.values())
    others = enumerate(b.bag.messages([b.topic]))
    held: dict[int, BagMessage] = {}
    for place, message in enumerate(a.bag.messages([a.topic])):
        partner = partners.get(place)
        if partner is None:
            continue
        while partner not in held:
            other, candidate = next(others)
            if other in wanted:
                held[other] = candidate
        yield place, message, held.pop(partner)


def check_presence(
    a: TopicFrames, b: TopicFrames, places: Match, limits: CompareLimits
) -> Iterator[Failure]:
    """Find frames that only one of the bags has."""
    if not len(places.a):
        first = f'{seconds(a.stamps_ns[0])} and {seconds(b.stamps_ns[0])}'
        text = f'has no stamp in common: the first of A and of B are {first}'
        yield Failure(a.topic, 'unmatched', text)
        return
    for what, frames, lacking, bag, limit in (
        ('missing', a, places.missing, 'A', limits.missing),
        ('extra', b, places.extra, 'B', limits.extra),
    ):
        if len(lacking) > limit:
            text = f'has {len(lacking)} of {len(frames.stamps_ns)} frames only in {bag}, first'
            yield Failure(a.topic, what, text, _named(frames, lacking[:NAMED].tolist()))


def check_labels(a: TopicFrames, b: TopicFrames, places: Match) -> Iterator[Failure]:
    """Find changes of frame_id, encoding and calibration."""
    both = zip(places.a.tolist(), places.b.tolist(), strict=True)
    pairs = [(at, a.label(at), b.label(other)) for at, other in both]
    for name in Label._fields:
        values = [(at, getattr(was, name), getattr(now, name)) for at, was, now in pairs]
        changed = [each for each in values if each[1] != each[2]]
        if changed:
            _, was, now = changed[0]
            share = f'{len(changed)} of {len(pairs)} frames'
            text = f'has {name} {now!r} and not {was!r} in {share}, first'
            yield Failure(a.topic, name, text, _named(a, [at for at, _, _ in changed[:NAMED]]))


def latencies_ms(a: TopicFrames, b: TopicFrames) -> tuple[float, float] | None:
    """Return the medians from stamp to receipt, or None where stamps are of another clock."""
    late = a.latency_ms(), b.latency_ms()
    return late if max(map(abs, late)) <= _SAME_CLOCK_MS else None


def check_latency(a: TopicFrames, b: TopicFrames, limits: CompareLimits) -> Iterator[Failure]:
    """Find whether the messages of B come later after their stamps."""
    late = latencies_ms(a, b)
    if late is not None and late[1] - late[0] > limits.latency_ms:
        text = f'comes {late[1]:.1f} ms after its stamps, in A {late[0]:.1f} ms (medians)'
        text += f': more than {limits.latency_ms:g} ms later'
        yield Failure(a.topic, 'latency_ms', text)


def _named(frames: TopicFrames, places: list[int]) -> tuple[tuple[int, None], ...]:
    return tuple((frames.stamps_ns[place], None) for place in places)


def _calibration(info: Any) -> tuple[str, ...]:
    """Return size, distortion model, K, D and P as words."""
    numbers = (' '.join(f'{x:.6g}' for x in values) for values in (info.k, info.d, info.p))
    return f'{info.width}x{info.height}', str(info.distortion_model), *numbers


def _keys(stamps_ns: Integers) -> npt.NDArray[np.void]:
    """Return (stamp, how many with that stamp came before) for each frame."""
    order = np.argsort(stamps_ns, kind='stable')
    ascending = stamps_ns[order]
    keys = np.zeros(len(stamps_ns), [('stamp', np.int64), ('nth', np.int64)])
    keys['stamp'] = stamps_ns
    keys['nth'][order] = np.arange(len(stamps_ns)) - np.searchsorted(ascending, ascending)
    return keys
