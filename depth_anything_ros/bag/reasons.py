"""What was left out or went wrong, counted by name."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

__all__ = ['Reason']


@dataclass
class Reason:
    """Something that went wrong `count` times; `message` is that of the first time.

    `camera` is the topic of the images that it counts, '' where there is but one.
    """

    name: str
    count: int
    message: str
    camera: str = ''

    @staticmethod
    def add(
        reasons: list[Reason], name: str, message: str, count: int = 1, camera: str = ''
    ) -> None:
        """Count a reason once more, or `count` times; they are sorted by name."""
        known = next((x for x in reasons if (x.name, x.camera) == (name, camera)), None)
        if known is None:
            known = Reason(name, 0, message, camera)
            insort(reasons, known, key=lambda each: (each.name, each.camera))
        known.count += count

    @property
    def of_camera(self) -> str:
        """Which camera it is about, behind the word images or frames."""
        return f' on {self.camera}' if self.camera else ''
