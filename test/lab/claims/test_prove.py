"""Every reference of a small bag, from end to end, against the truth in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.claims.prove import main
from lab.sample import write_sample_bag

REFERENCES = {
    '/depth_camera/depth/image_raw': 0.08,
    '/lidar/points': 0.08,
    '/scan': 0.1,
    'ground plane': 0.1,
}


def test_each_reference_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = tmp_path / 'road'
    write_sample_bag(bag, 'road', 1.5, 10.0, (160, 120), 1, 'mcap')
    assert main([str(bag), '--json']) == 0
    rows = {row['reference']: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(REFERENCES)
    for name, most in REFERENCES.items():
        row = rows[name]
        assert row['images'] == 15
        assert row['published'] > 0.5, row
        assert row['abs_rel'] < most, row
        assert row['delta1'] > 0.5, row
        # A sigma that says nothing would hold all of the errors, or none.
        assert 0.02 < row['within_1_sigma'] < 0.95, row
        assert row['within_2_sigma'] > row['within_1_sigma']


def test_a_bag_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / 'none')]) == 2
    assert 'none' in capsys.readouterr().err
