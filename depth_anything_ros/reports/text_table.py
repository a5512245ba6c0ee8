"""Rows of words in columns."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ['aligned', 'markdown']


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, every column as wide as its longest cell."""
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
