from __future__ import annotations

import json

import pytest

from lab.claims.metric import main


def test_every_stage_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ['--samples', '200', '--rounds', '2', '--size', '160x120']
    assert main([*arguments, '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]['stage'] == 'align 200 samples'
    assert all(0 < row['min_ms'] <= row['p50_ms'] <= row['p95_ms'] for row in rows)
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith('stage ')
    assert main(['--rounds', '0']) == 2
    assert 'give 1 or more' in capsys.readouterr().err
