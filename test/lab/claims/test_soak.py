"""The benches of a node that runs: what they count, not how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from rig import Rig

from lab.claims.overload import Overload
from lab.claims.overload import main as overload_main
from lab.claims.services import ServiceTimes
from lab.claims.services import main as services_main
from lab.claims.soak import Soak, print_table, robust_slope
from lab.claims.soak import main as soak_main
from lab.process_memory import MemorySample

ROOT = Path(__file__).resolve().parents[3]
NETWORK = ['--device', 'cpu', '--threads', '1', '--size', '160x120']


@pytest.fixture(autouse=True)
def _soon_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('lab.live_node._QUIET_S', 0.2)


def test_every_frame_of_a_soak_is_processed_or_accounted_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert soak_main(['--frames', '20', *NETWORK, '--json']) == 0
    # Strict JSON: no NaN.
    content = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    memory = tuple(MemorySample(**sample) for sample in content.pop('memory'))
    soak = Soak(**content, memory=memory)
    assert soak.sent == 20
    assert soak.processed + sum(soak.drops.values()) == 20
    assert soak.processed > 15
    assert soak.metric > 10
    assert 0 < soak.p50_ms <= soak.p95_ms <= soak.p99_ms
    assert [sample.frame for sample in soak.memory] == list(range(21))
    assert soak.memory[0].resident_kb > soak.memory[0].anonymous_kb > 10_000
    print_table(soak)
    assert capsys.readouterr().out.startswith('frames      20 sent')


def test_only_ours_knows_what_it_dropped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The queue of ten is full after half a second: 30 images come, 10 are taken.
    monkeypatch.setattr('lab.claims.overload._SETTLE_S', 0.5)
    assert overload_main(['--seconds', '1', '--size', '160x120', '--json']) == 0
    ours, naive = (Overload(**row) for row in json.loads(capsys.readouterr().out))
    # 30 Hz, for half a second that does not count and this one.
    assert ours.sent == naive.sent == 45
    assert ours.processed < ours.sent
    # On a busy machine a few are replaced before the node wakes to take them.
    assert ours.superseded > 3 * ours.unaccounted
    assert ours.invalid == ours.too_old == 0
    assert naive.unaccounted == naive.sent - naive.processed > ours.unaccounted
    assert ours.p50_ms < naive.p50_ms
    assert not naive.holds


def test_services_are_called_while_frames_flow(capsys: pytest.CaptureFixture[str]) -> None:
    assert services_main(['--variant', 'demo', '--calls', '3', *NETWORK, '--json']) == 0
    rows = [ServiceTimes(**row) for row in json.loads(capsys.readouterr().out)]
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
