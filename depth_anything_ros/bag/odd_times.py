"""Times in a recording that do not fit each other; told, and nothing is left out for them."""

from __future__ import annotations

__all__ = ['Gaps', 'OddTimes']

_GAP_S = 60.0
_LEAP_S = 10.0


class Gaps:
    """Pauses between messages by their times of receipt, and leaps of these."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._count, self._longest_s, self._after_ns = 0, 0.0, 0

    def add(self, receive_ns: int) -> None:
        """Note a message."""
        last_ns, self._last_ns = self._last_ns, receive_ns
        gap_s = 0.0 if last_ns is None else (receive_ns - last_ns) * 1e-9
        if last_ns is not None and gap_s > _GAP_S:
            self._count += 1
            if gap_s > self._longest_s:
                self._longest_s, self._after_ns = gap_s, last_ns

    def notes(self) -> list[str]:
        """Return a line, or nothing."""
        if not self._count:
            return []
        return [
            f'{self._count} gaps of more than {_GAP_S:.0f} s between messages, the longest of '
            f'{self._longest_s:.0f} s after {self._after_ns * 1e-9:.3f} s: a player waits as long'
        ]


class OddTimes:
    """Stamps of the images of a topic against their times of receipt."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._last: tuple[int, int] | None = None
        self._leaps, self._repeated = 0, 0
        self._first = ''

    def add(self, receive_ns: int, stamp_ns: int) -> None:
        """Note an image."""
        last, self._last = self._last, (receive_ns, stamp_ns)
        if last is None:
            return
        received_s, stamped_s = (receive_ns - last[0]) * 1e-9, (stamp_ns - last[1]) * 1e-9
        self._repeated += stamped_s == 0.0
        if abs(stamped_s - received_s) > _LEAP_S:
            self._leaps += 1
            self._first = self._first or (
                f'{stamped_s:+.3f} s to the stamp {stamp_ns * 1e-9:.3f} s, while '
                f'{received_s:.3f} s passed'
            )

    def notes(self) -> list[str]:
        """Return a line on leaps, and one on stamps that come twice."""
        lines = []
        if self._leaps:
            lines.append(f'stamps of {self._topic} leap {self._leaps} times: by {self._first}')
        if self._repeated:
            lines.append(
                f'{self._repeated} images of {self._topic} have the stamp of the one before'
            )
        return lines
