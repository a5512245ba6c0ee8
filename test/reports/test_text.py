"""JSON that every reader takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

from depth_anything_ros.reports.text import plain_json


class Colour(str, Enum):
    RED = 'red'


@dataclass
class Row:
    name: Path
    colour: Colour
    values: tuple[float, ...]


def test_what_json_does_not_know_becomes_text_or_null() -> None:
    rows = [Row(Path('a/b'), Colour.RED, (1.5, float('nan'), float('inf')))]
    content = json.loads(plain_json({'rows': rows, 'count': 1}), parse_constant=pytest.fail)
    row = {'name': 'a/b', 'colour': 'red', 'values': [1.5, None, None]}
    assert content == {'rows': [row], 'count': 1}
