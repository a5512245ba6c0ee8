"""JSON that every reader takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

from depth_anything_ros.reports.text import cell, plain_json


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


@pytest.mark.parametrize(
    ('value', 'shown'),
    [(5.7224e-5, '5.7e-05'), (0.98765, '0.9877'), (12345.6, '12346'), (0.0, '0'), (None, '-')],
)
def test_a_cell_has_digits_that_say_something(value: float | None, shown: str) -> None:
    assert cell(value) == shown
