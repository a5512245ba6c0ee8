"""What a report holds: sections of text, tables, pictures and graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_anything_ros.core.types import BgrImage

__all__ = [
    'COLOURS',
    'Block',
    'Cell',
    'Graph',
    'Picture',
    'Report',
    'Section',
    'Steps',
    'Table',
    'Text',
]

COLOURS = ('#0072B2', '#E69F00', '#009E73', '#D55E00', '#CC79A7', '#56B4E9', '#F0E442', '#000000')
"""Apart for readers who see no red or no green (Okabe and Ito)."""

Cell = str | int | float | None
"""Of a table. None, and a number that is not finite, is shown as '-'."""


@dataclass(frozen=True)
class Text:
    """A paragraph; a warning stands out."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of which is the head."""

    rows: Sequence[Sequence[Cell]]
    caption: str = ''

    @classmethod
    def of(cls, what: str, figures: Mapping[str, Mapping[str, Cell]], caption: str = '') -> Table:
        """Return a row for each name of a `what`; the columns are those of the first."""
        columns = list(next(iter(figures.values())))
        rows = [[name, *(of[each] for each in columns)] for name, of in figures.items()]
        return cls([[what, *columns], *rows], caption)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, uint8 (H, W, 3) BGR, written as `name`.png; or a PNG file in the report's folder.

    `name` may begin with folders.
    """

    image: BgrImage | Path
    name: str = ''
    caption: str = ''


@dataclass(frozen=True, eq=False)
class Graph:
    """A figure of plotly, as the JSON that it takes: 'data' and 'layout'."""

    figure: Mapping[str, Any]
    caption: str = ''

    @classmethod
    def of(
        cls, data: Sequence[Mapping[str, Any]], x: str, y: str, caption: str = '', **y_axis: str
    ) -> Graph:
        """Return traces over axes of these titles; `y_axis` says more of the second."""
        layout = {'xaxis': {'title': {'text': x}}, 'yaxis': {'title': {'text': y}, **y_axis}}
        return cls({'data': data, 'layout': layout}, caption)


@dataclass(frozen=True)
class Steps:
    """Titled groups of blocks, of which the page shows one at a time."""

    steps: Sequence[tuple[str, Sequence[Block]]]


Block = Text | Table | Picture | Graph | Steps


@dataclass(frozen=True)
class Section:
    """Blocks below a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """A page. `facts`: what all figures rest on, such as weights and machine, by name."""

    title: str
    command: str
    facts: Mapping[str, str]
    sections: Sequence[Section]
