"""What came of a bag, in figures and in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

__all__ = ['BagSummary', 'State', 'json_text', 'table']


class State(str, Enum):
    """How it ended."""

    DONE = 'done'
    WAS_THERE = 'was there'
    """Finished by an earlier run, and left as it is."""
    STOPPED = 'stopped'
    FAILED = 'failed'


@dataclass(frozen=True)
class BagSummary:
    """What was made of `bag`: it lies in `out`, None where nothing was kept.

    `images` were read, `frames` of them answered, `metric` of these with metres; `refused` counts
    the others by reason. `rate_hz` is images per second, of this run alone where it went on after
    an earlier one. `why` says what stopped it; `notes` what could not be used on the way.
    """

    bag: Path
    out: Path | None
    state: State
    images: int = 0
    frames: int = 0
    metric: int = 0
    copied: int = 0
    rate_hz: float = 0.0
    refused: tuple[tuple[str, int], ...] = ()
    why: str = ''
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the bag is finished."""
        return self.state in (State.DONE, State.WAS_THERE)


def table(summaries: Sequence[BagSummary]) -> str:
    """Give one line for each bag, and below them what is to be said."""
    rows: list[tuple[str, ...]] = [
        ('bag', 'state', 'images', 'frames', 'metric', 'copied', 'img/s', 'output')
    ]
    for each in summaries:
        figures = each.images, each.frames, each.metric, each.copied
        rate = f'{each.rate_hz:.1f}' if each.rate_hz else '-'
        out = str(each.out) if each.out is not None else '-'
        rows.append((each.bag.name, each.state.value, *map(str, figures), rate, out))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    told: dict[str, list[str]] = {}
    for each in summaries:
        refused = [f'{count} images refused: {reason}' for reason, count in each.refused]
        for text in filter(None, (each.why, *refused, *each.notes)):
            told.setdefault(text, []).append(each.bag.name)
    lines += [f'{", ".join(names)}: {text}' for text, names in told.items()]
    return '\n'.join(lines)


def json_text(summaries: Sequence[BagSummary]) -> str:
    """Give the same as JSON."""
    rows = [asdict(each) | {'refused': dict(each.refused)} for each in summaries]
    return json.dumps(rows, indent=2, default=str)
