"""Times in a recording that do not fit each other: told, and nothing is left out for them."""

from __future__ import annotations

__all__ = ['Gaps', 'OddTimes']

_GAP_S, _LEAP_S = 60.0, 10.0


class Gaps:
    """Pauses between messages by their times of receipt, and leaps of these."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._gaps: list[tuple[float, int]] = []

    def add(self, receive_ns: int) -> None:
        """Note a message."""
        last_ns, self._last_ns = self._last_ns, receive_ns
        if last_ns is not None and (gap_s := (receive_ns - last_ns) * 1e-9) > _GAP_S:
            self._gaps.append((gap_s, last_ns))

    def notes(self) -> list[str]:
        """Return a line, or nothing."""
        if not self._gaps:
            return []
        longest_s, after_ns = max(self._gaps)
        return [
            f'{len(self._gaps)} gaps of more than {_GAP_S:.0f} s between messages, the longest of '
            f'{longest_s:.0f} s after {after_ns * 1e-9:.3f} s: a player waits as long'
        ]


class OddTimes:
    """Stamps of the images of a topic against their times of receipt."""

    def __init__(self, topic: str) -> None:
        self._topic, self._first = topic, ''
        self._last_ns: tuple[int, int] | None = None
        self._leaps = self._repeated = 0

    def add(self, receive_ns: int, stamp_ns: int) -> None:
        """Note an image."""
        receive_before_ns, stamp_before_ns = self._last_ns or (receive_ns, stamp_ns - 1)
        self._last_ns = receive_ns, stamp_ns
        self._repeated += stamp_ns == stamp_before_ns
        stamped_s = (stamp_ns - stamp_before_ns) * 1e-9
        received_s = (receive_ns - receive_before_ns) * 1e-9
        if abs(stamped_s - received_s) > _LEAP_S:
            self._leaps += 1
            first = f'{stamped_s:+.3f} s while {received_s:.3f} s passed'
            self._first = self._first or first

    def notes(self) -> list[str]:
        """Return a line on leaps, and one on stamps that come twice."""
        leaps = f'stamps of {self._topic} leap {self._leaps} times against their receipt: by '
        repeated = f'{self._repeated} images of {self._topic} have the stamp of the one before'
        return [leaps + self._first] * bool(self._leaps) + [repeated] * bool(self._repeated)
