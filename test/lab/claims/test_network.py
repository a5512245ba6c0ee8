from __future__ import annotations

from functools import partial

import pytest
from in_process import bench_in_process

from depth_anything_ros.studies.bench.measure import BenchPlan
from depth_anything_ros.studies.bench.starts import measure_starts
from lab.claims import network


def test_three_tables_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench_in_process(monkeypatch)
    plan = partial(BenchPlan, has_peak=False, has_agreement=False)
    monkeypatch.setattr(network, 'BenchPlan', plan)
    monkeypatch.setattr(network, 'measure_starts', partial(measure_starts, repeats=1))
    shape = '--variant demo --backend torch --precision fp32 --baseline torch:fp32 --device cpu'
    how = '--threads 1 --size 160x120 --frames 1 --markdown'
    assert network.main([*shape.split(), *how.split()]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith('###')] == [
        '### Networks, in turn with the baseline',
        '### Batches of 4, in turn with single images',
        '### From start to first result',
    ]
    assert sum(line.startswith('| demo') for line in lines) >= 2
