"""What held-out samples say, beside the ground truth of the same bag."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.claims.prove import main
from lab.sample import write_sample_bag


def test_held_out_samples_say_what_the_truth_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags = []
    for scene in ('room', 'road'):
        bags.append(str(tmp_path / scene))
        write_sample_bag(bags[-1], scene, 0.5, 10.0, (160, 120), 1)
    assert main([*bags, '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row['bag'] for row in rows] == ['room', 'room', 'road', 'road']
    for row in rows:
        assert row['images'] == 4
        assert 0.85 < row['ratio'] < 1.15, row


def test_a_bag_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / 'none')]) == 2
    assert 'none' in capsys.readouterr().err
