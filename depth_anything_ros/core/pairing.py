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
        self._items: list[Stamped[T]] = []
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, stamp_ns: int, value: T) -> None:
        """Store `value`, in place of one with the same stamp; the oldest beyond capacity goes.

        Where time went back (see `time_went_back`) everything before is dropped, so that one
        stamp from the far future does no lasting harm either.
        """
        with self._lock:
            if self._items and time_went_back(self._items[-1].stamp_ns, stamp_ns):
                self._items.clear()
            at = self._first_from(stamp_ns)
            if at < len(self._items) and self._items[at].stamp_ns == stamp_ns:
                self._items[at] = Stamped(stamp_ns, value)
            else:
                self._items.insert(at, Stamped(stamp_ns, value))
                del self._items[: -self._capacity]

    def nearest(self, stamp_ns: int, tolerance_ns: int) -> Stamped[T] | None:
        """Return the value whose stamp is nearest, the earlier of two; None beyond tolerance."""
        with self._lock:
            at = self._first_from(stamp_ns)
            around = self._items[max(at - 1, 0) : at + 1]
            best = min(around, key=lambda each: abs(each.stamp_ns - stamp_ns), default=None)
            if best is None or abs(best.stamp_ns - stamp_ns) > tolerance_ns:
                return None
            return best

    def around(self, stamp_ns: int) -> tuple[Stamped[T] | None, Stamped[T] | None]:
        """Return the newest value up to a stamp and the oldest from it on, None where none is."""
        with self._lock:
            at = self._first_from(stamp_ns)
            after = self._items[at] if at < len(self._items) else None
            if after is not None and after.stamp_ns == stamp_ns:
                return after, after
            return self._items[at - 1] if at else None, after

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._items.clear()

    def _first_from(self, stamp_ns: int) -> int:
        return bisect.bisect_left(self._items, stamp_ns, key=lambda each: each.stamp_ns)
