"""What to play and when, without ROS."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from depth_anything_ros.core.errors import SettingError

__all__ = ['PlayOptions', 'PlaySummary', 'Span', 'Timeline', 'span_of']


@dataclass(frozen=True)
class PlayOptions:
    """How to play; topics are named as in the bag, but `wait_for` and `lockstep` as published.

    No `topics` means all of them; `clock_hz` 0 means no /clock. `lockstep` names the topic of
    the answers, '' for none. An answer may take `timeout_s`, a first subscriber `wait_s`.
    """

    topics: tuple[str, ...] = ()
    remap: Mapping[str, str] = field(default_factory=dict)
    rate: float = 1.0
    clock_hz: float = 0.0
    loop: bool = False
    start_offset_s: float = 0.0
    duration_s: float = math.inf
    wait_for: tuple[str, ...] = ()
    lockstep: str = ''
    timeout_s: float = 10.0
    wait_s: float = 120.0

    def __post_init__(self) -> None:
        """Raise SettingError for a number out of range."""
        for name in ('rate', 'timeout_s', 'wait_s'):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingError(f'{name} is {getattr(self, name):g}: give a positive number')
        for name in ('clock_hz', 'start_offset_s'):
            if not 0 <= getattr(self, name) < math.inf:
                raise SettingError(f'{name} is {getattr(self, name):g}: give 0 or more')
        if not self.duration_s > 0:
            raise SettingError(f'duration_s is {self.duration_s:g}: give a positive number')


@dataclass(frozen=True)
class PlaySummary:
    """What was played; `unanswered` holds the stamps, in nanoseconds, that lockstep gave up."""

    messages: int
    rounds: int
    seconds: float
    unanswered: tuple[int, ...] = ()
    interrupted: bool = False


class Span(NamedTuple):
    """The part of a bag to play, both ends included, by time of receipt in nanoseconds."""

    first_ns: int
    last_ns: int


def span_of(start_ns: int, end_ns: int, offset_s: float, duration_s: float) -> Span:
    """Cut a bag to the part asked for; SettingError where nothing is left of it."""
    length_s = (end_ns - start_ns) * 1e-9
    if offset_s > length_s:
        raise SettingError(
            f'start offset is {offset_s:g} s, but the bag lasts {length_s:.3f} s: start earlier'
        )
    first_ns = start_ns + round(offset_s * 1e9)
    # The product of an infinite duration has no integer.
    stop_ns = end_ns if duration_s > length_s else first_ns + round(duration_s * 1e9)
    return Span(first_ns, min(end_ns, stop_ns))


class Timeline:
    """Bag time over the steady clock; every deadline counts from the start, so none drifts."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._bag_ns, self._start_s = 0, 0.0

    def start(self, bag_ns: int, now_s: float) -> None:
        """Let it be `bag_ns` at `now_s`."""
        self._bag_ns, self._start_s = bag_ns, now_s

    def hold(self, seconds: float) -> None:
        """Take out a time during which the bag stood still."""
        self._start_s += seconds

    def due_s(self, bag_ns: int) -> float:
        """Return the moment of the steady clock for a time of the bag."""
        return self._start_s + (bag_ns - self._bag_ns) * 1e-9 / self._rate

    def bag_ns(self, now_s: float) -> int:
        """Return the time of the bag at a moment of the steady clock."""
        return self._bag_ns + round((now_s - self._start_s) * 1e9 * self._rate)
