from __future__ import annotations

import json

import pytest

from depth_anything_ros.reports.text import plain_json
from lab.claims import alignment, alignment_baselines
from lab.claims.alignment import print_table, run
from lab.claims.alignment_baselines import NotInstalledError
from lab.claims.alignment_references import CORRUPTIONS, REFERENCES


def test_every_reference_gives_a_row_per_method(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(q: object, z: object) -> tuple[float, float]:
        raise NotInstalledError('scikit-learn')

    monkeypatch.setitem(alignment_baselines.BASELINES, 'RANSAC', missing)
    progress: list[tuple[int, int]] = []
    faults = (*CORRUPTIONS[:2], CORRUPTIONS[-1])
    rows = run(1, ('road',), faults=faults, on_progress=lambda *at: progress.append(at))
    assert progress == [(1, 1)]
    assert {row.reference for row in rows} == {reference.name for reference in REFERENCES}
    found = {(row.reference, row.fault, row.method): row for row in rows}
    ours = found['500 pixels', '30% scattered', 'robust']
    # The mean over scenes is within 5 %, a single one need not be.
    assert ours.abs_rel < 1.1 * found['500 pixels', '30% scattered', 'oracle'].abs_rel
    assert found['500 pixels', 'clean', 'RANSAC'].note == 'not installed'
    assert ('laser scan', 'clean', 'refined') not in found
    assert found['500 pixels', 'negated', 'robust'].refusals == '1 contradicts_network'
    assert ours.silent == 0.0
    # Strict JSON: no NaN.
    assert len(json.loads(plain_json(rows), parse_constant=pytest.fail)) == len(rows)
    print_table(rows)
    table = capsys.readouterr().out
    assert table.startswith('scenes of seeds 7000 to 7000; constants were chosen on 0 to 63')
    assert 'not installed' in table
    assert 'depth camera' in table


def test_the_command_prints_a_table_or_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = run(1, families=('road',), references=REFERENCES[:1], faults=CORRUPTIONS[:1])
    monkeypatch.setattr(alignment, 'run', lambda *_, **__: rows)
    assert alignment.main(['--scenes', '1']) == 0
    assert capsys.readouterr().out.startswith('scenes of seeds 7000 to 7000')
    assert alignment.main(['--scenes', '1', '--json']) == 0
    assert {row['family'] for row in json.loads(capsys.readouterr().out)} == {'road'}
    assert alignment.main(['--scenes', '0']) == 2
    assert 'give 1 or more' in capsys.readouterr().err
