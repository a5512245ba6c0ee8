"""Rows of words in columns."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ['aligned']


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Give a line for each row, every column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
