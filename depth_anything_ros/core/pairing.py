"""Which reference belongs to which image, by stamp."""

from __future__ import annotations

import bisect
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.timing import time_went_back

__all__ = ['Stamped', 'StampedRing']

T = TypeVar('T')


class Stamped(NamedTuple, Generic[T]):
    """A value and the stamp of its message in nanoseconds."""

    stamp_ns: int
    value: T


class StampedRing(Generic[T]):
    """The `capacity` newest values, sorted by stamp whatever their order of arrival.

    Threads may share one; no call waits for more than a few microseconds.
    """

    def __init__(self, capacity: int = 10) -> None:
        if capacity < 1:
            raise SettingError(f'capacity is {capacity}: a ring holds one value or more')
        self._capacity = capacity
        self._stamps: list[int] = []
        self._values: list[T] = []
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._stamps)

    def add(self, stamp_ns: int, value: T) -> None:
        """Store `value`, in place of one with the same stamp; the oldest beyond capacity goes.

        Where time went back (see `time_went_back`) everything before is dropped, so that one
        stamp from the far future does no lasting harm either.
        """
        with self._lock:
            if self._stamps and time_went_back(self._stamps[-1], stamp_ns):
                self._drop()
            at = bisect.bisect_left(self._stamps, stamp_ns)
            if at < len(self._stamps) and self._stamps[at] == stamp_ns:
                self._values[at] = value
                return
            self._stamps.insert(at, stamp_ns)
            self._values.insert(at, value)
            if len(self._stamps) > self._capacity:
                del self._stamps[0], self._values[0]

    def nearest(self, stamp_ns: int, tolerance_ns: int) -> Stamped[T] | None:
        """Return the value whose stamp is nearest, the earlier of two; None beyond tolerance."""
        with self._lock:
            after = bisect.bisect_left(self._stamps, stamp_ns)
            around = [at for at in (after - 1, after) if 0 <= at < len(self._stamps)]
            if not around:
                return None
            best = min(around, key=lambda at: abs(self._stamps[at] - stamp_ns))
            if abs(self._stamps[best] - stamp_ns) > tolerance_ns:
                return None
            return Stamped(self._stamps[best], self._values[best])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self._stamps.clear()
        self._values.clear()
