"""Reads what QMainWindow::saveState writes, as qdockarealayout.cpp of Qt 5 does."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

LEFT, RIGHT = 0, 1


@dataclass(frozen=True)
class Dock:
    """A dock widget, by its place and size along its row or column, in pixels."""

    name: str
    visible: bool
    at: int
    size: int


@dataclass
class Line:
    """Docks and lines beside each other (`across`) or below each other."""

    across: bool
    items: list[Dock | Line] = field(default_factory=list)

    def docks(self) -> list[Dock]:
        """Every dock in it, in order."""
        return [
            dock
            for item in self.items
            for dock in ([item] if isinstance(item, Dock) else item.docks())
        ]


class _Stream:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, layout: str) -> Any:
        values = struct.unpack_from('>' + layout, self.data, self.at)
        self.at += struct.calcsize('>' + layout)
        return values[0] if len(values) == 1 else values

    def text(self) -> str:
        size = self.take('I')
        return self.take(f'{size}s').decode('utf-16-be')


def docks_of(state: str) -> dict[int, Line]:
    """Return the line in each dock area of a state in hex; ValueError where it is none."""
    stream = _Stream(bytes.fromhex(state))
    _require(stream.take('iiB') == (0xFF, 0, 0xFD), 'the beginning')
    areas = {}
    for _ in range(stream.take('i')):
        area, _width, _height = stream.take('iii')
        areas[area] = _line(stream)
    stream.take('ii')  # of the middle
    _require(sorted(stream.take('4i')) == [4, 4, 8, 8], 'the corners')
    _require(stream.take('Biii') == (0xFC, 1, 2, 1) and stream.text() == 'Tools', 'the tool bar')
    stream.take('Biiii')
    _require(stream.at == len(stream.data), 'the end')
    return areas


def _line(stream: _Stream) -> Line:
    marker, direction, count = stream.take('BBi')
    _require(marker == 0xFC and direction in (1, 2), 'a line')
    line = Line(direction == 1)
    for _ in range(count):
        marker = stream.take('B')
        if marker == 0xFC:
            stream.take('4i')
            line.items.append(_line(stream))
            continue
        _require(marker == 0xFB, 'a dock')
        name, flags = stream.text(), stream.take('B')
        at, size, _least, _most = stream.take('4i')
        line.items.append(Dock(name, bool(flags & 1), at, size))
    return line


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f'{what} is not as Qt writes it')
