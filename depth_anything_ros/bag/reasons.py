"""What was left out or went wrong, counted by name."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

__all__ = ['Reason']


@dataclass
class Reason:
    """Something that went wrong `count` times; `message` is that of the first time."""

    name: str
    count: int
    message: str

    @staticmethod
    def add(reasons: list[Reason], name: str, message: str, count: int = 1) -> None:
        """Count a reason once more, or `count` times; they are sorted by name."""
        known = next((each for each in reasons if each.name == name), None)
        if known is None:
            known = Reason(name, 0, message)
            insort(reasons, known, key=lambda each: each.name)
        known.count += count
