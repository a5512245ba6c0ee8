from __future__ import annotations

import json
from functools import partial

import pytest

from lab.claims import polarity
from lab.claims.alignment_references import ON_THE_WAY
from lab.claims.polarity import bench_polarity


def test_no_negated_drive_has_metres_and_every_right_one_has() -> None:
    progress: list[tuple[int, int]] = []
    rows = bench_polarity(1, 3.0, ('room',), lambda *at: progress.append(at))
    assert progress == [(1, 1)]
    assert [row.reference for row in rows] == [each.name for each in ON_THE_WAY]
    for row in rows:
        assert (row.drives, row.negated) == (1, 0.0), row
        assert row.within_1_s <= row.within_3_s <= row.ever
        assert row.ever == 1.0, row
        assert 0.0 < row.frames <= 1.0


def test_the_command_prints_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(bench_polarity, seconds=0.5, families=('room',))
    monkeypatch.setattr(polarity, 'bench_polarity', small)
    assert polarity.main(['--drives', '1', '--json']) == 0
    assert {row['drives'] for row in json.loads(capsys.readouterr().out)} == {1}
    assert polarity.main(['--drives', '0']) == 2
    assert 'give 1 or more' in capsys.readouterr().err
