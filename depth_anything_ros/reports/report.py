"""What a report holds: sections of text, tables, pictures and graphs.

`reports.writing` writes one as an HTML page, as Markdown and as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_anything_ros.core.types import BgrImage

__all__ = ['Block', 'Cell', 'Graph', 'Picture', 'Report', 'Section', 'Steps', 'Table', 'Text']

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


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, uint8 (H, W, 3) BGR, or a file in the folder of the report; `name` is its file.

    `name` has no ending and may name a folder, as in 'layers/conv1'.
    """

    image: BgrImage | Path
    name: str = ''
    caption: str = ''


@dataclass(frozen=True, eq=False)
class Graph:
    """A plotly figure, which can be turned and zoomed in the page."""

    figure: Any
    caption: str = ''


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
    """A page: what was run, by which command, on what, and what came out.

    `facts`: name and value of what all figures rest on, such as the weights and the machine.
    """

    title: str
    command: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
