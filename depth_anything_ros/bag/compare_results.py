"""Limits of a comparison of two bags, and its results, as text and as JSON."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from depth_anything_ros.core.errors import SettingError, one_line
from depth_anything_ros.reports.text import aligned, plain_json

__all__ = [
    'GROUND_TRUTH',
    'NAMED',
    'CompareLimits',
    'CompareProgress',
    'Comparison',
    'Failure',
    'Figure',
    'FigureStats',
    'GroundTruthResult',
    'Limits',
    'OnProgress',
    'TopicResult',
    'is_minimum',
    'limit',
    'seconds',
]

GROUND_TRUTH = '/ground_truth/depth/image'
"""The default topic of true depth."""

NAMED = 3
"""How many frames a failure names."""

OnProgress = Callable[[int, int], None]
"""Called with how many of how many messages are read."""


def limit(default: float, text: str, minimum: bool = False) -> float:
    """Return a field of limits: its default, its `help`, whether it is the least allowed."""
    value: float = field(default=default, metadata={'help': text, 'minimum': minimum})
    return value


class Limits:
    """Fields made by `limit`, each 0 or more."""

    def __post_init__(self) -> None:
        for each in fields(cast('Any', self)):
            value = getattr(self, each.name)
            if not value >= 0.0:
                raise SettingError(
                    f'limit {each.name} is {value:g}: give 0 or more, or inf to allow anything'
                )


@dataclass(frozen=True)
class CompareLimits(Limits):
    """The limits of every frame or topic; the metadata of each field has its `help`.

    Infinity allows anything, and so does 0 where more is better.
    """

    abs_rel: float = limit(0.01, 'metric depth and scans: mean |error| / depth')
    rmse_m: float = limit(math.inf, 'metric depth and scans: root mean square error, metres')
    delta1: float = limit(
        0.98, 'metric depth and scans: least share within a factor of 1.25', minimum=True
    )
    sigma_rel: float = limit(0.05, 'sigma: mean |difference| / sigma')
    ssi_error: float = limit(0.05, 'relative depth: rest of the best affine fit, per spread')
    rank_correlation: float = limit(0.98, "relative depth: least of Spearman's", minimum=True)
    flicker: float = limit(0.02, 'relative depth: growth of the flicker since the frame before')
    cloud_m: float = limit(0.1, 'clouds: mean distance to the nearest point, metres')
    cloud_rel: float = limit(0.01, 'clouds: the same per mean range')
    coverage: float = limit(
        0.95, 'least share of known pixels, points or beams in common', minimum=True
    )
    missing: float = limit(0, 'frames of a topic that only A has')
    extra: float = limit(0, 'frames of a topic that only B has')
    latency_ms: float = limit(50.0, 'growth of the median from stamp to receipt, ms')
    truth_worse: float = limit(0.01, 'growth of the mean error against ground truth')


def is_minimum(name: str) -> bool:
    """Return whether the limit of that name is the least allowed, and not the most."""
    return bool(CompareLimits.__dataclass_fields__[name].metadata['minimum'])


@dataclass(frozen=True)
class Figure:
    """One figure over the frames of a topic; `worst` are (stamp in nanoseconds, value)."""

    mean: float
    limit: float
    frames: int
    beyond: int
    worst: tuple[tuple[int, float], ...]


@dataclass
class TopicResult:
    """One topic that both bags have; latencies are medians from stamp to receipt.

    `measured` is '' where only stamps and frames were compared. `missing`, `extra` and the
    latencies are None where not even those can be: messages without a header.
    """

    topic: str
    kind: str
    measured: str
    frames_a: int
    frames_b: int
    missing: int | None = None
    extra: int | None = None
    latency_a_ms: float | None = None
    latency_b_ms: float | None = None
    figures: dict[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class GroundTruthResult:
    """Means of one depth topic against ground truth, of A and B; None where the bag lacks it."""

    topic: str
    measured: str
    frames: int
    a: dict[str, float] | None
    b: dict[str, float] | None


@dataclass(frozen=True)
class Failure:
    """One check that failed; `worst` are the frames to look at, (stamp in ns, value)."""

    topic: str
    what: str
    message: str
    worst: tuple[tuple[int, float | None], ...] = ()

    def __str__(self) -> str:
        frames = [
            seconds(stamp) + ('' if value is None else f' ({value:.4g})')
            for stamp, value in self.worst
        ]
        return f'{self.topic} {self.message}' + (f': {", ".join(frames)}' if frames else '')


class FigureStats:
    """Sums up one figure frame by frame, and keeps the worst frames."""

    def __init__(self, name: str, limit: float) -> None:
        self._limit, self._is_minimum = limit, is_minimum(name)
        self._total, self._frames, self._beyond = 0.0, 0, 0
        self._worst: list[tuple[float, int, float]] = []

    def add(self, stamp_ns: int, value: float) -> None:
        """Add the figure of one frame."""
        self._total += value
        self._frames += 1
        self._beyond += value < self._limit if self._is_minimum else value > self._limit
        badness = -value if self._is_minimum else value
        # Of equally bad frames the first is the one to look at.
        heapq.heappush(self._worst, (badness, -stamp_ns, value))
        if len(self._worst) > NAMED:
            heapq.heappop(self._worst)

    def figure(self) -> Figure:
        """Return mean, count and worst frames."""
        worst = tuple((-stamp, value) for _, stamp, value in sorted(self._worst, reverse=True))
        mean = self._total / self._frames
        return Figure(mean, self._limit, self._frames, self._beyond, worst)


class CompareProgress:
    """Counts the messages, or pairs of them, that were read, and reports each."""

    def __init__(self, listener: OnProgress | None) -> None:
        self._listener = listener
        self._done = self._total = 0

    def expect(self, count: int) -> None:
        """Add to what is to be read."""
        self._total += count

    def step(self) -> None:
        """Count one more as read."""
        self._done += 1
        if self._listener is not None:
            self._listener(self._done, max(self._done, self._total))


@dataclass(frozen=True)
class Comparison:
    """The outcome for the bags `a` and `b`; it is good where nothing failed.

    `notes` are lines on what was not judged, `left_out` on what of the bags cannot be read.
    """

    a: Path
    b: Path
    topics: tuple[TopicResult, ...]
    truth: tuple[GroundTruthResult, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def table(self) -> str:
        """Return every topic, the figures as mean and worst, then failures, notes and verdict."""
        head = (
            'topic',
            'measured',
            'A',
            'B',
            'missing',
            'extra',
            'latency_ms',
            '',
            'mean (worst)',
        )
        bad = {failure.topic for failure in self.failures}
        rows = [
            (
                each.topic,
                each.measured or ('-' if each.missing is None else 'stamps'),
                str(each.frames_a),
                str(each.frames_b),
                _number(each.missing),
                _number(each.extra),
                _shift(each),
                'FAIL' if each.topic in bad else 'ok',
                _figures(each.figures),
            )
            for each in self.topics
        ]
        lines = aligned([head, *rows])
        if self.truth:
            titles = ('against ground truth', 'measured', 'frames', 'A', 'B')
            judged = [
                (x.topic, x.measured, str(x.frames), _means(x.a), _means(x.b)) for x in self.truth
            ]
            lines += ['', *aligned([titles, *judged])]
        lines += ['', *(f'FAIL  {failure}' for failure in self.failures)]
        kinds = [('left out' if note in self.left_out else 'note', note) for note in self.notes]
        lines += [f'{kind}  {note}' for kind, note in kinds]
        lines += self._unmeasured(bad)
        count = len(self.failures)
        what = 'what can be read of B' if self.left_out else 'B'
        good = f'{what} is as good as A, within the limits'
        lines.append(f'{count} check{"s" * (count > 1)} failed' if count else good)
        return '\n'.join(map(one_line, lines))

    def _unmeasured(self, bad: Collection[str]) -> list[str]:
        """Return lines on the topics that did not fail and whose content was not compared."""
        rest = [x for x in self.topics if not x.measured and x.topic not in bad]
        stamped = [x.topic for x in rest if x.missing is not None]
        counted = [x.topic for x in rest if x.missing is None]
        remarks = ('only stamps compared', stamped), ('only counted', counted)
        return [f'{what}: {", ".join(names)}' for what, names in remarks if names]

    def to_json(self) -> str:
        """Return everything as JSON, with null for what is not finite."""
        return plain_json({'passed': not self.failures, **asdict(self)})


def seconds(stamp_ns: int) -> str:
    """Write a stamp as seconds with all of its nanoseconds."""
    whole, rest = divmod(stamp_ns, 10**9)
    return f'{whole}.{rest:09d}'


def _number(value: int | None) -> str:
    return '-' if value is None else str(value)


def _shift(each: TopicResult) -> str:
    if each.latency_a_ms is None or each.latency_b_ms is None:
        return '-'
    return f'{each.latency_b_ms - each.latency_a_ms:+.1f}'


def _figures(figures: dict[str, Figure]) -> str:
    return ', '.join(f'{name} {x.mean:.4g} ({x.worst[0][1]:.4g})' for name, x in figures.items())


def _means(means: dict[str, float] | None) -> str:
    return ', '.join(f'{name} {mean:.4g}' for name, mean in (means or {}).items()) or '-'
