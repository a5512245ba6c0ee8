"""What became of a bag that was processed: counts, reasons, a table and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path

from depth_anything_ros.bag.reasons import Reason
from depth_anything_ros.core.errors import one_line
from depth_anything_ros.reports.text import aligned, plain_json

__all__ = ['BagState', 'BagSummary', 'bag_name', 'json_text', 'table']


class BagState(str, Enum):
    """How the processing of a bag ended."""

    DONE = 'done'
    WAS_THERE = 'was there'
    """Finished by an earlier run, and left as it is."""
    STOPPED = 'stopped'
    FAILED = 'failed'


@dataclass
class BagSummary:
    """What became of `bag`; `out` is the output bag, None where none was kept.

    `images` were read, `frames` of them processed, `metric` of these with metric depth; `refused`
    counts the other images by reason. `no_metres` counts the frames without metric depth, by
    reason, where a reference was to give it. `left_out` counts what else is missing in the output:
    files, cameras and messages, by name. `rate_hz` is images per second. `why` says what stopped
    it; `notes` what else is worth knowing.
    """

    bag: Path
    out: Path | None
    state: BagState
    images: int = 0
    frames: int = 0
    metric: int = 0
    copied: int = 0
    rate_hz: float = 0.0
    refused: list[Reason] = field(default_factory=list)
    no_metres: list[Reason] = field(default_factory=list)
    left_out: list[Reason] = field(default_factory=list)
    why: str = ''
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the bag is finished and has frames, with metric depth where it was asked for."""
        if self.state is BagState.DONE:
            return self.frames > 0 and (self.metric > 0 or not self.no_metres)
        return self.state is BagState.WAS_THERE

    @property
    def complete(self) -> bool:
        """Whether nothing of the bag is left out."""
        return not (self.refused or self.left_out)

    @property
    def remarks(self) -> list[str]:
        """What to print about it, a line each."""
        lines = [self.why]
        if self.state is BagState.DONE and not self.images:
            lines.append('it has no images: name a topic that has some (--image)')
        lines += [
            f'{each.count} of {self.images} images refused{each.of_camera}: {each.message}'
            for each in self.refused
        ]
        lines += [
            f'{each.count} of {self.frames} frames without metres{each.of_camera}: {each.message}'
            for each in self.no_metres
        ]
        lines += [
            f'left out: {each.message}' + (f' ({each.count} messages)' if each.count > 1 else '')
            for each in self.left_out
        ]
        return [line for line in (*lines, *self.notes) if line]


def bag_name(bag: Path) -> str:
    """Return the name of a bag, also of one that is given as '.'."""
    return bag.resolve().name if bag.name in ('', '..') else bag.name


def table(summaries: Sequence[BagSummary]) -> str:
    """Return a table with one row per bag, and their remarks below it."""
    rows: list[tuple[str, ...]] = [
        ('bag', 'state', 'images', 'frames', 'metric', 'copied', 'img/s', 'output')
    ]
    for each in summaries:
        figures = each.images, each.frames, each.metric, each.copied
        rate = f'{each.rate_hz:.1f}' if each.rate_hz else '-'
        out = str(each.out) if each.out is not None else '-'
        rows.append((bag_name(each.bag), each.state.value, *map(str, figures), rate, out))
    remarks: dict[str, list[str]] = {}
    for each in summaries:
        for text in each.remarks:
            remarks.setdefault(text, []).append(bag_name(each.bag))
    notes = [one_line(f'{", ".join(names)}: {text}') for text, names in remarks.items()]
    return '\n'.join((*aligned(rows), *notes))


def json_text(summaries: Sequence[BagSummary]) -> str:
    """Return the summaries as JSON."""
    rows = [asdict(each) | {'good': each.good, 'complete': each.complete} for each in summaries]
    return plain_json(rows)
