"""What came of a bag, in figures and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from depth_anything_ros.reports.plain_json import plain_json
from depth_anything_ros.reports.text_table import aligned

__all__ = ['BagSummary', 'Reason', 'State', 'bag_name', 'json_text', 'table']


class State(str, Enum):
    """How it ended."""

    DONE = 'done'
    WAS_THERE = 'was there'
    """Finished by an earlier run, and left as it is."""
    STOPPED = 'stopped'
    FAILED = 'failed'


@dataclass(frozen=True)
class Reason:
    """A name for something that went wrong `count` times; `message` says the first time."""

    name: str
    count: int
    message: str


@dataclass(frozen=True)
class BagSummary:
    """What was made of `bag`: it lies in `out`, None where nothing was kept.

    `images` were read, `frames` of them answered, `metric` of these with metres; `refused` are
    the others. `no_metres` are the frames without metres where a reference was to give them.
    `rate_hz` is images per second, of this run alone where it went on after an earlier one. `why`
    says what stopped it; `notes` what could not be used on the way.
    """

    bag: Path
    out: Path | None
    state: State
    images: int = 0
    frames: int = 0
    metric: int = 0
    copied: int = 0
    rate_hz: float = 0.0
    refused: tuple[Reason, ...] = ()
    no_metres: tuple[Reason, ...] = ()
    why: str = ''
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the bag is finished, and has frames, with metres where these are asked for."""
        if self.state is State.DONE:
            return self.frames > 0 and (self.metric > 0 or not self.no_metres)
        return self.state is State.WAS_THERE

    @property
    def told(self) -> list[str]:
        """What is to be said of it, a line each."""
        lines = [self.why]
        if self.state is State.DONE and not self.images:
            lines.append('it has no images: name a topic that has some (--image)')
        lines += [
            f'{each.count} of {self.images} images refused: {each.message}'
            for each in self.refused
        ]
        lines += [
            f'{each.count} of {self.frames} frames without metres: {each.message}'
            for each in self.no_metres
        ]
        return [line for line in (*lines, *self.notes) if line]


def bag_name(bag: Path) -> str:
    """Return the name of a bag, also of one that is given as '.'."""
    return bag.resolve().name if bag.name in ('', '..') else bag.name


def table(summaries: Sequence[BagSummary]) -> str:
    """Return one line for each bag, and below them what is to be said."""
    rows: list[tuple[str, ...]] = [
        ('bag', 'state', 'images', 'frames', 'metric', 'copied', 'img/s', 'output')
    ]
    for each in summaries:
        figures = each.images, each.frames, each.metric, each.copied
        rate = f'{each.rate_hz:.1f}' if each.rate_hz else '-'
        out = str(each.out) if each.out is not None else '-'
        rows.append((bag_name(each.bag), each.state.value, *map(str, figures), rate, out))
    told: dict[str, list[str]] = {}
    for each in summaries:
        for text in each.told:
            told.setdefault(text, []).append(bag_name(each.bag))
    notes = [f'{", ".join(names)}: {text}' for text, names in told.items()]
    return '\n'.join((*aligned(rows), *notes))


def json_text(summaries: Sequence[BagSummary]) -> str:
    """Return the same as JSON."""
    rows = [asdict(each) | {'good': each.good} for each in summaries]
    return plain_json(rows)
