from __future__ import annotations

import json
from pathlib import Path

import pytest
from in_process import bench_in_process

from lab.claims.accuracy import main


def test_accuracy_is_held_against_float32_and_the_truth(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    for name in ('openvino', 'nncf'):
        pytest.importorskip(name)
    bench_in_process(monkeypatch)
    monkeypatch.setattr('lab.claims.accuracy._CALIBRATION_PICTURES', 4)
    shape = ['--variant', 'demo', '--device', 'cpu', '--scenes', '2']
    how = ['--backend', 'torch,openvino', '--precision', 'fp32,int8', '--json']
    assert main([*shape, *how]) == 0
    exact, refused, other, quantized = json.loads(capsys.readouterr().out)
    assert exact['ratio'] == 1 and exact['diff_p99_percent'] == 0
    assert 0.02 < exact['abs_rel'] < 0.2
    assert 'int8 runs on backend' in refused['note']
    assert other['diff_p99_percent'] < 0.01
    assert other['diff_p99_percent'] < quantized['diff_p50_percent'] < 2
    assert 0.8 < quantized['ratio'] < 1.25
    # What was calibrated on rendered pictures is not for the node.
    assert not list(tmp_path.rglob('*int8*'))
