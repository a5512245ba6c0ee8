"""The benches of a node that runs: what they count, not how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from rig import Rig

from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.reports.plain_json import plain_json
from lab.claims.overload import bench_overload
from lab.claims.services import bench_services
from lab.claims.soak import (
    bench_soak,
    print_table,
    robust_slope,
)

ROOT = Path(__file__).resolve().parents[3]
SIZE = (160, 120)
DEMO = parameters_from_flat(
    {'variant': 'demo', 'device': 'cpu', 'threads': 1, 'diagnostics.period_s': 0.2}
)


def test_every_frame_of_a_soak_is_answered_or_accounted_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    soak = bench_soak(20, DEMO, size=SIZE)
    assert soak.sent == 20
    assert soak.answered + sum(soak.drops.values()) == 20
    assert soak.answered > 15
    assert soak.metric > 10
    assert 0 < soak.p50_ms <= soak.p95_ms <= soak.p99_ms
    assert [sample.frame for sample in soak.memory] == list(range(21))
    assert soak.memory[0].resident_kb > soak.memory[0].anonymous_kb > 10_000
    # Strict JSON: no NaN.
    assert json.loads(plain_json(soak), parse_constant=pytest.fail)['sent'] == 20
    print_table(soak)
    assert capsys.readouterr().out.startswith('frames      20 sent')


def test_only_ours_knows_what_it_dropped() -> None:
    ours, naive = bench_overload(1.5, 20.0, 0.1, SIZE)
    assert ours.sent == naive.sent == 70
    assert ours.answered < ours.sent
    # On a busy machine a few are replaced before the node wakes to take them.
    assert ours.superseded > 3 * ours.untold
    assert ours.invalid == ours.too_old == 0
    assert naive.untold == naive.sent - naive.answered > ours.untold
    assert ours.p50_ms < naive.p50_ms
    assert not naive.holds


def test_services_are_called_while_frames_flow() -> None:
    rows = bench_services(DEMO, 3, size=SIZE)
    assert [row.service for row in rows] == ['get_parameters', 'get_state']
    for row in rows:
        assert 0 < row.p50_ms <= row.p99_ms <= row.max_ms
        assert row.infer_ms > 0


def test_the_slope_does_not_follow_outliers() -> None:
    frames = list(range(0, 1000, 10))
    kb = [5000.0 + 0.25 * frame for frame in frames]
    kb[40] += 80_000
    assert robust_slope(frames, kb) == pytest.approx(0.25)
    assert robust_slope(frames[:1], kb[:1]) != robust_slope(frames[:1], kb[:1])


def test_the_aggregator_is_told_the_names_that_the_node_uses() -> None:
    text = (ROOT / 'config' / 'diagnostics_aggregator.yaml').read_text()
    parameters = yaml.safe_load(text)['analyzers']['ros__parameters']
    depth = parameters['depth']
    # The aggregator reads these as doubles and ends over an integer.
    assert type(parameters['pub_rate']) is type(depth['timeout']) is float
    assert depth['type'] == 'diagnostic_aggregator/GenericAnalyzer'
    with Rig({'diagnostics.period_s': 0.2}) as rig:
        (array,) = rig.until(lambda: rig.received['/diagnostics'][:1])
    names = [status.name for status in array.status]
    assert sorted(depth['expected']) == sorted(names)
    (prefix,) = depth['find_and_remove_prefix']
    assert all(name.startswith(prefix) for name in names)
