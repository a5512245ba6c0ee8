"""What a camera's stream went through: counts, rates, latencies, as diagnostics report them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.timing import Jitter, Rate, Window, time_went_back
from depth_anything_ros.metric.scale import NO_SCALE, Scale

__all__ = ['CLOCKS_DISAGREE_S', 'Outcome', 'SequenceNumbers', 'Telemetry', 'clock_problem']

CLOCKS_DISAGREE_S = 10.0
"""An image this much older or newer than the node's clock means that the clocks disagree."""

_COUNTS = (
    'frames_in',
    'frames_out',
    'skipped_idle',
    'dropped_superseded',
    'dropped_too_old',
    'dropped_invalid',
    'lost_in_transport',
)


class Outcome(Enum):
    """What became of an image."""

    NONE = auto()
    PUBLISHED = auto()
    IDLE = auto()
    TOO_OLD = auto()
    INVALID = auto()


def clock_problem(offset_s: float, stamp_ns: int | None) -> str:
    """Return that stamps like `stamp_ns`, `offset_s` behind the clock, are not of it, or ''."""
    if abs(offset_s) <= CLOCKS_DISAGREE_S:
        return ''
    if stamp_ns == 0:
        return 'image stamps are 0: fix the driver, metric depth needs them'
    side = 'behind' if offset_s > 0 else 'ahead of'
    return (
        f'image stamps are {abs(offset_s):.0f} s {side} the clock of this node: for a bag play '
        '/clock and set use_sim_time, else synchronise the clocks'
    )


class SequenceNumbers:
    """The numbers that one publisher gives its messages, counting on from the first one seen."""

    def __init__(self) -> None:
        self._last: int | None = None

    def missed(self, number: int | None) -> int:
        """Return how many messages are missing before `number`; None where it is not known."""
        last, self._last = self._last, number
        # A smaller one is that of a publisher which began anew.
        return max(0, number - last - 1) if number is not None and last is not None else 0


class Telemetry:
    """Counters and windows of one camera, written by two threads and read by a third.

    Every method holds a lock for microseconds only. Ages and stamps are seconds of the node's
    clock, everything else is steady time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._unscaled: Counter[str] = Counter()
        self._input = Rate()
        self._output = Rate()
        self._latency = Window()
        self._age = Window()
        self._jitter = Jitter()
        self._stages: dict[str, Window] = {}
        self._last_received_s = time.monotonic()
        self._refused_in_a_row = 0
        self.last_outcome = Outcome.NONE
        """What became of the image decided on last."""
        self.last_invalid = ('', '')
        """Reason and message of the image refused last, each '' if none was."""
        self.newest_ns: int | None = None
        """The newest stamp of a frame since time went back; None before the first."""
        self.scale = NO_SCALE
        """What the metres of the frame published last rest on."""
        self.missing: Mapping[str, FrameError] = {}
        """Why its cloud or scan is not there, by name, although it had metres."""

    def received(self) -> None:
        """Count an image that arrived."""
        with self._lock:
            now_s = time.monotonic()
            self._counts['frames_in'] += 1
            self._input.tick(now_s)
            self._last_received_s = now_s

    def lost(self, count: int) -> None:
        """Count images that a publisher sent and this node never saw."""
        with self._lock:
            self._counts['lost_in_transport'] += count

    def skipped_idle(self) -> None:
        """Count an image that came while no output had a subscriber."""
        with self._lock:
            self._counts['skipped_idle'] += 1
            self.last_outcome = Outcome.IDLE
            self._refused_in_a_row = 0

    def replaced(self) -> None:
        """Count an image that a newer one replaced before the network was free."""
        with self._lock:
            self._counts['dropped_superseded'] += 1

    def too_old(self) -> None:
        """Count an image dropped for its age."""
        with self._lock:
            self._counts['dropped_too_old'] += 1
            self.last_outcome = Outcome.TOO_OLD

    def invalid(self, reason: str, message: str) -> bool:
        """Count a refused image; True the first time for this reason."""
        with self._lock:
            self._counts['dropped_invalid'] += 1
            self._refused[reason] += 1
            self.last_invalid = reason, message
            self.last_outcome = Outcome.INVALID
            self._refused_in_a_row += 1
            return self._refused[reason] == 1

    def scaled(self, scale: Scale, missing: Mapping[str, FrameError]) -> bool:
        """Note the scale of a frame; True where its reasons differ from the frame before."""
        with self._lock:
            before = _reasons(self.scale, self.missing)
            if scale.reason:
                self._unscaled[scale.reason] += 1
            self.scale, self.missing = scale, missing
        return _reasons(scale, missing) != before

    def published(
        self, received_s: float, stamp_s: float, age_s: float, stages_ms: Mapping[str, float]
    ) -> None:
        """Count a frame whose outputs have just been published.

        `received_s` is time.monotonic() at its arrival, `age_s` the node's clock minus its stamp.
        """
        with self._lock:
            now_s = time.monotonic()
            stamp_ns = round(stamp_s * 1e9)
            if self.newest_ns is not None and time_went_back(self.newest_ns, stamp_ns):
                for each in (self._input, self._output, self._latency, self._age, self._jitter):
                    each.clear()
                self._stages.clear()
                self.newest_ns = None
            self.newest_ns = max(stamp_ns, self.newest_ns or stamp_ns)
            self._counts['frames_out'] += 1
            self.last_outcome = Outcome.PUBLISHED
            self._refused_in_a_row = 0
            self._output.tick(now_s)
            self._latency.add((now_s - received_s) * 1e3)
            self._age.add(age_s * 1e3)
            self._jitter.add(now_s, stamp_s)
            for name, ms in stages_ms.items():
                self._stages.setdefault(name, Window()).add(ms)

    def silent_s(self) -> float:
        """Seconds since the last image arrived, or since the beginning."""
        return time.monotonic() - self._last_received_s

    def every_image_refused(self) -> bool:
        """Whether nothing but refusals came of the last images, two or more."""
        return self._refused_in_a_row > 1

    def input_hz(self) -> float:
        """Images per second that arrive."""
        with self._lock:
            return self._input.hz(time.monotonic())

    def output_hz(self) -> float:
        """Frames per second that are published."""
        with self._lock:
            return self._output.hz(time.monotonic())

    def throughput(self) -> dict[str, float]:
        """Rates in Hz and counts."""
        with self._lock:
            now_s = time.monotonic()
            return {
                'input_hz': self._input.hz(now_s),
                'output_hz': self._output.hz(now_s),
                **{name: self._counts[name] for name in _COUNTS},
                **{f'dropped_invalid_{name}': n for name, n in sorted(self._refused.items())},
            }

    def latency(self) -> dict[str, float]:
        """Milliseconds of the last frames: receive to publish, stamp to publish, by stage."""
        with self._lock:
            figures: dict[str, float] = {}
            for name, window in (('latency', self._latency), ('age', self._age)):
                for percent, value in zip(
                    (50, 95, 99), window.percentiles(50, 95, 99), strict=True
                ):
                    figures[f'{name}_p{percent}_ms'] = value
            figures['latency_cov_percent'] = self._latency.cov_percent()
            figures['jitter_ms'] = self._jitter.ms
            for name, window in self._stages.items():
                figures[f'{name}_ms'] = window.percentiles(50)[0]
            return figures

    def unscaled(self) -> dict[str, int]:
        """Count the frames without a reference of their own, by reason."""
        with self._lock:
            return {f'refused_{name}': n for name, n in sorted(self._unscaled.items())}

    def clock_offset_s(self) -> float:
        """Return node's clock minus the stamps on arrival, the median; NaN before any frame."""
        with self._lock:
            return (self._age.percentiles(50)[0] - self._latency.percentiles(50)[0]) * 1e-3


def _reasons(scale: Scale, missing: Mapping[str, FrameError]) -> tuple[object, ...]:
    named = tuple((name, error.reason) for name, error in missing.items())
    return scale.valid, scale.source, scale.reason, named
