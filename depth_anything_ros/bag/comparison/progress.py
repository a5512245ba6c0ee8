"""How far a comparison has come: its length is known only bit by bit."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ['OnProgress', 'Progress']

OnProgress = Callable[[int, int], None]
"""Hears how many of how many messages are read."""


class Progress:
    """Counts the messages, or pairs of them, that were read, for whoever wants to hear."""

    def __init__(self, listener: OnProgress | None) -> None:
        self._listener = listener
        self._done = self._total = 0

    def expect(self, count: int) -> None:
        """Add to what is to be read."""
        self._total += count

    def step(self) -> None:
        """Hear that one more was read."""
        self._done += 1
        if self._listener is not None:
            self._listener(self._done, max(self._done, self._total))
