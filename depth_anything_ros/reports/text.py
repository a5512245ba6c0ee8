"""Figures as text: rows in columns, Markdown, and JSON that every reader takes."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from depth_anything_ros.core.errors import one_line

__all__ = ['aligned', 'cell', 'markdown', 'plain_json']


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, every column as wide as its longest cell."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; the first row is its head."""
    head, *rest = ([cell.replace('|', r'\|') for cell in row] for row in rows)
    lines = [head, ['---'] * len(head), *rest]
    return [f'| {" | ".join(line)} |' for line in lines]


def cell(value: str | int | float | None) -> str:
    """Return the text of a value in a table: four digits, '-' for what is not known.

    Two digits below a thousandth, where more are noise.
    """
    # Of all values, NaN alone is not itself.
    if value is None or value != value:
        return '-'
    if not isinstance(value, float):
        return str(value)
    if 1e4 <= abs(value) < 1e9:
        return f'{value:.0f}'
    return f'{value:.2g}' if abs(value) < 1e-3 else f'{value:.4g}'


def plain_json(content: Any, indent: int | None = 2) -> str:
    """Return dataclasses, mappings and sequences as JSON, null for what is no finite number.

    On one line where `indent` is None.
    """
    return json.dumps(_plain(content), indent=indent, default=str, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
