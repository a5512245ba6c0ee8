"""How large the input of the network may be: as large as time and memory allow."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

__all__ = ['InputSize', 'input_sizes']

_PATCH = 14
_STEP = 0.84
"""From one size to the next: 30 % fewer pixels."""

_LATE_S = 2.0
"""So long the rate is missed before the size goes down."""

_EARLY_S = 10.0
"""So long a size lasts before a larger one is tried; doubled whenever that proves too early."""

_LONGEST_S = 320.0
_SPARE = 0.85
"""Share of the time that the larger size may take, by what is expected of it."""

_FEWEST = 3
_GAP_S = 5.0


def input_sizes(full: int) -> tuple[int, ...]:
    """Return sizes that `full` may be lowered to, itself first: multiples of 14 down to half."""
    sizes = [full]
    while (smaller := int(sizes[-1] * _STEP) // _PATCH * _PATCH) >= full / 2:
        sizes.append(smaller)
    return tuple(sizes)


class InputSize:
    """Steps down `sizes`, largest first, under load and when memory ends, and up again after.

    Seconds are steady time.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = tuple(sizes)
        self._largest = 0
        self._index = 0
        self._recent: deque[tuple[float, float, float]] = deque()
        self._since_s: float | None = None
        self._early_s = _EARLY_S
        self._rose = False

    @property
    def full(self) -> int:
        """What was asked for."""
        return self._sizes[0]

    @property
    def current(self) -> int:
        """What to run at."""
        return self._sizes[self._index]

    @property
    def short_of_memory(self) -> bool:
        """Whether memory ended at a larger size, which is not tried again."""
        return self._largest > 0

    def restore(self) -> bool:
        """Go back to the largest size that memory allows; True if that is a change."""
        return self._move(self._largest)

    def out_of_memory(self) -> bool:
        """Go one size down for good; False if there is none."""
        if self._index + 1 == len(self._sizes):
            return False
        self._largest = self._index + 1
        return self._move(self._largest)

    def update(self, now_s: float, busy_s: float, infer_s: float, needed_hz: float) -> bool:
        """Note a batch that took `busy_s`, `infer_s` of it in the network; True for a change.

        `needed_hz` is the rate to hold.
        """
        if self._recent and now_s - self._recent[-1][0] > _GAP_S:
            self._forget()
        if self._since_s is None:
            self._since_s = now_s
        self._recent.append((now_s, busy_s, infer_s))
        while now_s - self._recent[0][0] > _LATE_S and len(self._recent) > _FEWEST:
            self._recent.popleft()
        lasted_s = now_s - self._since_s
        if lasted_s < _LATE_S or len(self._recent) < _FEWEST or needed_hz <= 0.0:
            return False
        budget_s = 1.0 / needed_hz
        busy_s = median(each[1] for each in self._recent)
        if busy_s > budget_s:
            return self._lower(lasted_s)
        if lasted_s < self._early_s or self._index == self._largest:
            return False
        growth = (self._sizes[self._index - 1] / self.current) ** 2
        expected_s = busy_s + (growth - 1.0) * median(each[2] for each in self._recent)
        return expected_s < _SPARE * budget_s and self._move(self._index - 1)

    def _lower(self, lasted_s: float) -> bool:
        if self._index + 1 == len(self._sizes):
            return False
        if self._rose:
            # One that did not last was tried too early.
            quick = lasted_s < 3.0 * _EARLY_S
            self._early_s = min(2.0 * self._early_s, _LONGEST_S) if quick else _EARLY_S
        return self._move(self._index + 1)

    def _move(self, index: int) -> bool:
        self._rose = index < self._index
        changed, self._index = index != self._index, index
        if changed:
            self._forget()
        return changed

    def _forget(self) -> None:
        self._recent.clear()
        self._since_s = None
