"""What came of the images of a bag, counted on the way and kept for the run that goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from depth_anything_ros.bag.processing.results import Reason

__all__ = ['Counts', 'Tally']


@dataclass
class Tally:
    """How often each reason came up, with the words of its first time."""

    counts: dict[str, int] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, message: str) -> None:
        """Count it once more."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.messages.setdefault(reason, message)

    def reasons(self) -> tuple[Reason, ...]:
        """Return them by name."""
        return tuple(
            Reason(name, count, self.messages[name]) for name, count in sorted(self.counts.items())
        )


@dataclass
class Counts:
    """Images so far, and what became of them, as in `BagSummary`."""

    images: int = 0
    frames: int = 0
    metric: int = 0
    copied: int = 0
    refused: Tally = field(default_factory=Tally)
    no_metres: Tally = field(default_factory=Tally)
