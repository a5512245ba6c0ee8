"""Figures of matched frames of two topics, one pair in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from depth_anything_ros.bag.comparison.frames import Match, TopicFrames, paired
from depth_anything_ros.bag.comparison.limits import Limits, is_floor
from depth_anything_ros.bag.comparison.progress import Progress
from depth_anything_ros.bag.comparison.results import NAMED, Failure, Tally
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import FrameError

__all__ = ['Content', 'Side', 'compare_content']


class Side(NamedTuple):
    """One topic of one bag."""

    bag: BagReader
    topic: str
    frames: TopicFrames


@dataclass
class Content:
    """Figures by name, and the stamps of frames without, by the reason."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    unread: dict[str, list[int]] = field(default_factory=dict)

    def failures(self, topic: str) -> Iterator[Failure]:
        """Return a failure for each figure beyond its limit and each reason."""
        for reason, stamps in self.unread.items():
            text = f'cannot be compared in {len(stamps)} frames: {reason}; first'
            named = tuple((stamp, None) for stamp in stamps[:NAMED])
            yield Failure(topic, 'unreadable', text, named)
        for name, tally in self.tallies.items():
            figure = tally.figure()
            if figure.beyond:
                where = 'below' if is_floor(name) else 'beyond'
                text = f'{name} is {where} {figure.limit:g} in {figure.beyond} of {figure.frames} '
                text += f'frames, mean {figure.mean:.4g}, worst'
                yield Failure(topic, name, text, figure.worst)


def compare_content(
    a: Side,
    b: Side,
    places: Match,
    figures: Callable[[Any, Any], dict[str, float]],
    limits: Limits,
    progress: Progress,
) -> Content:
    """Run `figures` on the messages of each matched pair; it may raise FrameError."""
    content = Content()
    progress.expect(len(places.a))
    for place, mine, other in paired((a.bag, a.topic), (b.bag, b.topic), places):
        stamp_ns = a.frames.stamps_ns[place]
        try:
            found = figures(mine.read(), other.read())
        except FrameError as err:
            content.unread.setdefault(str(err), []).append(stamp_ns)
            found = {}
        for name, value in found.items():
            tally = content.tallies.setdefault(name, Tally(name, getattr(limits, name)))
            tally.add(stamp_ns, value)
        progress.step()
    return content
