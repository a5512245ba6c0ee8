"""Several cameras on one network: what is counted, not how fast this machine is."""

from __future__ import annotations

import json

import pytest

from lab.claims.cameras import main


def test_each_camera_has_a_row_in_each_phase(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('lab.live_node._QUIET_S', 0.2)
    monkeypatch.setattr('lab.claims.cameras._PERIOD_S', 0.1)
    arguments = '--variant demo --device cpu --threads 1 --size 160x120 --rate 10 --seconds 0.5'
    assert main([*arguments.split(), '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    names = ['camera0', 'camera1', 'camera2']
    assert [(row['cameras'], row['camera']) for row in rows] == [
        (1, 'camera0'),
        *((3, name) for _ in range(3) for name in names),
    ]
    unplugged = [row for row in rows if row['phase'] == 'one unplugged']
    assert [row['sent'] for row in unplugged] == [0, 5, 5]
    assert all(row['sent'] == 5 for row in rows if row not in unplugged)
    assert all(0 < row['processed'] <= row['sent'] for row in rows if row['sent'])
