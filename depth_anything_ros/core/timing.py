"""Time as this package measures it: stamps, stages of a frame, rates, percentiles, jitter."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

__all__ = [
    'JUMP_BACK_NS',
    'NOMINAL_INTERVAL_S',
    'Jitter',
    'Rate',
    'StageTimes',
    'Window',
    'interval_s',
    'time_went_back',
]

JUMP_BACK_NS = 1_000_000_000
"""A stamp further than this before the newest one means that time went back."""

NOMINAL_INTERVAL_S = 1.0 / 30.0
"""Time between two frames that is assumed where their stamps give none."""


def time_went_back(newest_ns: int, stamp_ns: int) -> bool:
    """Return whether `stamp_ns` means that time went back: a bag loops, a simulation restarts.

    It lies more than a second before `newest_ns`, the newest stamp so far. Less than that is a
    late message.
    """
    return stamp_ns < newest_ns - JUMP_BACK_NS


def interval_s(newest_ns: int, stamp_ns: int) -> float:
    """Return the seconds from the newest frame, stamped `newest_ns`, to the one at `stamp_ns`.

    Where the stamp does not advance (a driver that sends 0, a late message) it is the nominal
    interval between frames. Call `time_went_back` first.
    """
    return (stamp_ns - newest_ns) * 1e-9 if stamp_ns > newest_ns else NOMINAL_INTERVAL_S


class StageTimes:
    """Milliseconds that one frame spent in each named stage; a stage inside another counts once.

    >>> times = StageTimes()
    >>> with times.stage('infer'):
    ...     pass
    >>> sorted(times.ms)
    ['infer']
    """

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._inner_ms = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall time of the `with` block, less that of stages inside it, to `name`."""
        start, before_ms, self._inner_ms = time.perf_counter(), self._inner_ms, 0.0
        try:
            yield
        finally:
            spent_ms = (time.perf_counter() - start) * 1e3
            self.add(name, spent_ms - self._inner_ms)
            self._inner_ms = before_ms + spent_ms

    def add(self, name: str, ms: float) -> None:
        """Add `ms` milliseconds to stage `name`."""
        self.ms[name] = self.ms.get(name, 0.0) + ms


class Window:
    """The last `size` samples of one figure, with its order statistics."""

    def __init__(self, size: int = 300) -> None:
        self._samples: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        """Append one sample; the oldest goes once the window is full."""
        self._samples.append(value)

    def clear(self) -> None:
        """Forget every sample."""
        self._samples.clear()

    def __len__(self) -> int:
        return len(self._samples)

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """Return one value per percent, linearly interpolated; NaN for an empty window."""
        if not self._samples:
            return tuple(float('nan') for _ in percents)
        return tuple(float(value) for value in np.percentile(list(self._samples), percents))

    def cov_percent(self) -> float:
        """Return the coefficient of variation, 100 * standard deviation / mean; NaN if empty."""
        if not self._samples:
            return float('nan')
        samples = list(self._samples)
        return 100.0 * float(np.std(samples) / max(float(np.mean(samples)), 1e-9))


class Rate:
    """Events per second over the last `period_s` seconds of a steady clock."""

    def __init__(self, period_s: float = 5.0) -> None:
        self._period_s = period_s
        self._times_s: deque[float] = deque()

    def tick(self, now_s: float) -> None:
        """Count one event at `now_s`, in seconds of a steady clock."""
        self._times_s.append(now_s)
        self._trim(now_s)

    def hz(self, now_s: float) -> float:
        """Return the rate at `now_s`; 0 with fewer than two events in the period."""
        self._trim(now_s)
        if len(self._times_s) < 2:
            return 0.0
        # A stalled source must not keep its last rate: the silence since counts too.
        span_s = self._times_s[-1] - self._times_s[0]
        gaps = len(self._times_s) - 1
        silence_s = max(0.0, now_s - self._times_s[-1] - span_s / gaps)
        return gaps / max(span_s + silence_s, 1e-9)

    def clear(self) -> None:
        """Forget every event."""
        self._times_s.clear()

    def _trim(self, now_s: float) -> None:
        while self._times_s and self._times_s[0] < now_s - self._period_s:
            self._times_s.popleft()


class Jitter:
    """Interarrival jitter of RFC 3550, section 6.4.1.

    Compares how far apart frames are published with how far apart their stamps are:
    J += (|D| - J) / 16.
    """

    def __init__(self) -> None:
        self.ms = 0.0
        self._last_transit_ms: float | None = None

    def add(self, published_s: float, stamp_s: float) -> None:
        """Count one frame published at `published_s`, stamped `stamp_s`, in seconds."""
        transit_ms = (published_s - stamp_s) * 1e3
        if self._last_transit_ms is not None:
            self.ms += (abs(transit_ms - self._last_transit_ms) - self.ms) / 16.0
        self._last_transit_ms = transit_ms

    def clear(self) -> None:
        """Forget the past, as after a clock jump."""
        self.ms = 0.0
        self._last_transit_ms = None
