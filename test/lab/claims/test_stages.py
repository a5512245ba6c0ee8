"""The bench of the stages: what it counts, not how fast this machine is."""

from __future__ import annotations

import json
import math

import pytest

from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.messages.outputs import OUTPUTS
from lab.claims.stages import bench_stages, main

FIXED = {'variant': 'demo', 'device': 'cpu', 'threads': 1}
RELATIVE = ['convert', 'health', 'preprocess', 'infer', 'postprocess', 'align', 'publish']


def test_every_stage_is_timed_and_the_network_left_out_of_the_sum() -> None:
    seen: list[tuple[float, float]] = []
    parameters = parameters_from_flat(FIXED)
    rows = bench_stages(parameters, 3, (160, 120), lambda *at: seen.append(at))
    of = {
        name: {row.stage: row for row in rows if row.outputs == name}
        for name in ('relative', 'metric')
    }
    whole = 'outside the network'
    assert list(of['relative']) == [*RELATIVE, whole]
    assert list(of['metric']) == [*RELATIVE[:-1], 'cloud', 'publish', whole]
    assert {row.frames for row in rows} == {3}
    assert seen[-1] == (5, 5)
    for stages in of.values():
        assert all(0.0 < row.p50_ms <= row.p95_ms for row in stages.values())
        # Of no stage but the sum a budget is known.
        assert [name for name in stages if not math.isnan(stages[name].budget_ms)] == [whole]
        slowest = max(row.p50_ms for name, row in stages.items() if name not in ('infer', whole))
        assert stages[whole].p95_ms >= slowest
    assert of['relative'][whole].budget_ms < of['metric'][whole].budget_ms


def test_the_command_times_every_output(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = '--variant demo --device cpu --threads 1 --size 160x120 --rounds 2 --json'
    # The demo variant brings its weights; metres need none that were trained.
    assert main(arguments.split()) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row['outputs'] for row in rows} == {'relative', 'metric', 'each output', '16UC1'}
    of = {row['stage']: row for row in rows if row['outputs'] == 'each output'}
    assert list(of) == [output.name for output in OUTPUTS]
    assert all(0.0 < row['p50_ms'] <= row['p95_ms'] and row['cpu_ms'] > 0.0 for row in of.values())
    in_millimetres = [row['stage'] for row in rows if row['outputs'] == '16UC1']
    assert in_millimetres == ['depth/image', 'depth/image/compressedDepth']


def test_no_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--rounds', '0']) == 2
    assert 'give 1 or more' in capsys.readouterr().err
