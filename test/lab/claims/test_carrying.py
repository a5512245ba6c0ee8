from __future__ import annotations

import json
from functools import partial

import pytest

from lab.claims import carrying
from lab.claims.alignment_references import ON_THE_WAY
from lab.claims.carrying import bench_carrying


def test_a_carried_scale_gets_worse_slowly_and_refined_stays_the_better_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(bench_carrying, families=('room',))
    monkeypatch.setattr(carrying, 'bench_carrying', small)
    assert carrying.main(['--drives', '2', '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row['reference'] for row in rows} == {each.name for each in ON_THE_WAY}
    assert {row['drives'] for row in rows} == {2}
    of = {(row['reference'], row['fit']): row for row in rows}
    for reference in ('depth camera', 'lidar'):
        plain, refined = of[reference, 'robust'], of[reference, 'refined']
        assert refined['abs_rel_0'] < 0.7 * plain['abs_rel_0']
        assert refined['abs_rel_0'] < refined['abs_rel_5'] < plain['abs_rel_5']
        assert plain['taken_back'] == refined['taken_back'] == 1.0
    assert carrying.main(['--drives', '0']) == 2
