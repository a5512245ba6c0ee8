"""The bench of the node's latency: what it counts, not how fast this machine is."""

from __future__ import annotations

import json

import pytest

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import parameters_from_flat
from lab.claims import node
from lab.claims.node import CameraLoad, NodeTimes, bench_node, main, table_text

CAMERA = CameraLoad(10.0, 1.5, (160, 120), metric=True)
DEMO = {
    'variant': 'demo',
    'backend': 'torch',
    'precision': 'fp32',
    'device': 'cpu',
    'threads': 1,
    'diagnostics.period_s': 0.2,
}


def test_every_part_of_the_latency_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('lab.live_node._QUIET_S', 0.2)
    monkeypatch.setattr('lab.claims.node._SETTLE_S', 0.5)
    network = '--variant demo --backend torch --precision fp32 --device cpu --threads 1'
    camera = '--rate 10 --seconds 1.5 --size 160x120 --metric'
    assert main([*network.split(), *camera.split(), '--json']) == 0
    (found,) = json.loads(capsys.readouterr().out)
    row = NodeTimes(**found)
    assert (row.variant, row.precision, row.input_size) == ('demo', 'fp32', 126)
    # Of 20 those of the first half second do not count, as a busy machine sends them.
    assert 0 < row.sent < 20
    assert 0 < row.complete <= row.sent
    assert 0 < row.latency_p50_ms <= row.latency_p95_ms <= row.latency_p99_ms
    assert 0 < row.infer_p50_ms < row.age_p95_ms
    assert 0 < row.outside_p50_ms < row.age_p99_ms
    assert row.output_hz > 0
    head, line, *_ = table_text([row]).splitlines()
    assert head.startswith('variant  backend')
    assert line.startswith('demo     torch')


def test_random_weights_are_refused_where_metres_are_asked_for() -> None:
    with pytest.raises(SettingError, match='give no metres'):
        bench_node(parameters_from_flat(DEMO | {'weights': 'random'}), CAMERA)


def test_what_cannot_run_is_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--variant', 'vits', '--metric']) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('left out: vits') and 'random weights of vits give no metres' in line


def test_a_frame_that_took_no_network_has_no_time_of_it() -> None:
    # The first equals the frame before, so the node did not run the network on it.
    published_ns = {0: 10_000_000, 1: 20_000_001}
    stages = {0: {'wait_ms': 0.0}, 1: {'wait_ms': 2.0, 'infer_ms': 5.0}}
    found = node._delivery(published_ns, stages)
    assert (found['complete'], found['infer_p50_ms'], found['wait_p50_ms']) == (2, 5.0, 2.0)
    assert found['age_p50_ms'] == pytest.approx(15.0)
    assert found['outside_p50_ms'] == pytest.approx(13.0)
