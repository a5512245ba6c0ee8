from __future__ import annotations

import json

import pytest

from lab.claims.startup import main


def test_both_figures_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--rounds', '1', '--json']) == 0
    package, command = json.loads(capsys.readouterr().out)
    assert (package['what'], package['budget_s']) == ('import depth_anything_ros', 0.1)
    assert (command['what'], command['budget_s']) == ('depth_anything --help', 0.3)
    for row in (package, command):
        assert row['p50_s'] > 0
        assert row['heavy'] == ''
