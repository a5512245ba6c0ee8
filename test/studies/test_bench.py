"""The bench of the network: what it counts and says, not how fast this machine is."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import bench_in_process
from onnx_networks import KnownDepth, write_onnx

from depth_anything_ros import cli
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.input_format import InputFormat
from depth_anything_ros.model.network import random_network
from depth_anything_ros.model.variants import get_variant
from depth_anything_ros.studies.bench import work
from depth_anything_ros.studies.bench.bench_report import Conditions, json_text, tables, text
from depth_anything_ros.studies.bench.configuration import (
    Configuration,
    Engine,
    grid,
    with_weights,
)
from depth_anything_ros.studies.bench.largest_batch import largest_batch
from depth_anything_ros.studies.bench.measure import Bench, BenchPlan, measure, picture, with_cost
from depth_anything_ros.studies.bench.network_process import NetworkProcess
from depth_anything_ros.studies.bench.network_worker import NetworkWorker
from depth_anything_ros.studies.bench.peer_worker import PeerWorker
from depth_anything_ros.studies.bench.peers import PEERS, Peer, peer_configurations
from depth_anything_ros.studies.bench.row import Row, Sample, Timing, agreement
from depth_anything_ros.studies.bench.starts import measure_starts
from depth_anything_ros.studies.bench.suitability import Use, verdict
from depth_anything_ros.studies.bench.work import gflop_by_part, peak_gflops

SIZE = (160, 120)
DEMO = Configuration('demo', 'torch', 'fp32', 126, threads=1, device='cpu')
CONDITIONS = Conditions('a machine', SIZE, {'demo': 'released'})


def network_gflop(variant: str, size: tuple[int, int], input_size: int) -> float:
    return sum(gflop_by_part(variant, size, input_size).values())


def test_rows_run_in_turn_and_a_failure_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    bench_in_process(monkeypatch)
    # Tested below.
    monkeypatch.setattr(Bench, 'peak_gflops', lambda *_: None)
    wanted = grid(['demo'], [126], [1], ['torch'], ['fp32', 'bf16'], [1, 2], 'cpu')
    wanted += grid(['demo'], [126], [1], ['torch'], ['fp16'], [1], 'cpu')
    plan = BenchPlan(SIZE, frames=5, seconds=20.0, baseline=Engine('torch', 'fp32'))
    done = []
    rows = measure(wanted, plan, lambda *how_far: done.append(how_far))
    # fp32 one by one is the baseline itself.
    assert [(row.precision, row.batch) for row in rows] == [
        *(('fp32', 1), ('fp32', 2), ('bf16', 1), ('bf16', 2), ('fp16', 1))
    ]
    assert done[-1] == (5, 5)
    assert [row.is_baseline for row in rows] == [True] + 4 * [False]
    *ran, failed = rows
    assert failed.timing is None
    assert 'fp16 is slow' in failed.note
    for row in ran:
        assert row.timing is not None and row.agreement is not None
        assert row.timing.min_ms <= row.timing.p50_ms <= row.timing.p95_ms <= row.timing.p99_ms
        assert 0 < row.timing.infer_ms <= row.timing.p99_ms
        assert row.timing.fps == pytest.approx(row.batch * 1e3 / row.timing.p50_ms)
        assert row.agreement.pearson > 0.99
        assert row.start_s is not None and row.load_s is not None and row.start_s > row.load_s
        gflop = row.batch * network_gflop('demo', SIZE, 126)
        assert row.gflops == pytest.approx(gflop / row.timing.infer_ms * 1e3)
    assert ran[0].ratio is None
    assert all(row.ratio is not None and row.ratio > 0 for row in ran[1:])
    assert ran[0].agreement is not None and ran[0].agreement.diff_p99_percent < 1e-4
    assert ran[2].agreement is not None and 0.01 < ran[2].agreement.diff_p99_percent < 5


def test_without_its_baseline_a_row_has_no_ratio() -> None:
    plan = BenchPlan(
        SIZE, frames=2, baseline=Engine('upstream'), has_peak=False, has_agreement=False
    )
    missing, row = measure([DEMO], plan)
    assert missing.is_baseline
    assert "variant 'demo' is not upstream's" in missing.note
    assert row.timing is not None
    assert row.ratio is row.gflops is row.agreement is None
    # Torch alone is more than that, and its process far less than all of memory.
    assert row.resident_mb is not None and 100 < row.resident_mb < 5000
    assert row.start_s is not None and row.load_s is not None and row.start_s > row.load_s


def test_a_process_that_dies_says_so_in_the_row() -> None:
    with (
        NetworkProcess(environment={'PYTHONHOME': '/nonexistent'}) as process,
        pytest.raises(BackendError, match='ended with status 1: '),
    ):
        process.call(NetworkWorker.load, DEMO, picture(SIZE))


def test_the_operations_are_those_of_the_encoder_and_the_head() -> None:
    # 126x168 is 9 x 12 patches, and a class token.
    tokens, width, depth = 109, 144, 6
    linear = 2 * 12 * width**2 * tokens
    attention = 2 * 2 * tokens**2 * width
    patches = 2 * 108 * 3 * 14**2 * width
    encoder = (depth * (linear + attention) + patches) * 1e-9
    assert encoder < network_gflop('demo', SIZE, 126) < 20 * encoder
    parameters = {
        name: sum(value.numel() for value in random_network(get_variant(name)).parameters())
        for name in ('demo', 'vits')
    }
    # Nearly every parameter serves every one of 37 x 50 patches, some of the head's many times.
    assert network_gflop('vits', (640, 480), 518) > 2 * parameters['vits'] * 37 * 49 * 1e-9
    assert network_gflop('vits', SIZE, 518) > 10 * network_gflop('vits', SIZE, 140)


def test_a_peak_is_measured_or_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, '_MOST_S', 0.05)
    rate = peak_gflops('cpu', 'fp32')
    assert rate is not None and rate > 0.1
    assert peak_gflops('cpu', 'int4') is None


def test_agreement_knows_no_scale_and_shift_but_which_side_is_near() -> None:
    reference = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    same = agreement(3.0 * reference - 7.0, reference)
    assert same is not None
    assert same.diff_p99_percent < 1e-3
    assert same.pearson == pytest.approx(1.0)
    turned = agreement(-reference, reference)
    assert turned is not None
    assert turned.diff_p50_percent > 10
    assert turned.pearson == pytest.approx(-1.0)
    noise = np.random.default_rng(1).normal(0, 0.01, reference.shape).astype(np.float32)
    noisy = agreement(reference + noise, reference)
    # Of a spread of 0.96; half of a normal error is within 0.67 sigma, 99 % within 2.58.
    assert noisy is not None
    assert noisy.diff_p50_percent == pytest.approx(0.67 / 0.96, rel=0.15)
    assert noisy.diff_p99_percent == pytest.approx(2.58 / 0.96, rel=0.15)
    assert agreement(reference, np.zeros_like(reference)) is None
    reference[0, 0] = math.nan
    assert agreement(reference, noise) is None


def test_a_start_is_timed_with_and_without_what_was_kept() -> None:
    cold, failed = measure_starts([DEMO, Configuration('demo', 'torch', 'fp16')], SIZE, 1)
    assert cold.cold_s is not None and cold.warm_s is not None and cold.warm_load_s is not None
    assert 0 < cold.warm_load_s < cold.warm_s
    assert not cold.note
    assert failed.cold_s is None
    assert 'fp16' in failed.note


def test_weights_that_are_not_here_are_random_and_that_is_said() -> None:
    wanted = grid(['demo', 'vits'], [126], [1], ['torch'], ['fp32'], [1])
    chosen, said = with_weights(wanted)
    assert [one.weights for one in chosen] == ['', 'random']
    assert said == {
        'demo': 'released',
        'vits': 'random, as the released ones are not in the cache',
    }


def test_a_pinned_variant_is_timed_once() -> None:
    assert len(grid(['demo'], [126, 518], [1], ['torch'], ['fp32'], [1])) == 1


def test_an_engine_is_read_or_refused() -> None:
    assert Engine.read('torch:bf16') == Engine('torch', 'bf16')
    assert Engine.read('upstream') == Engine('upstream', 'auto')
    with pytest.raises(SettingError, match="'abacus' names no backend"):
        Engine.read('abacus')
    with pytest.raises(SettingError, match="'torch:fp64' names no engine: precision is 'fp64'"):
        Engine.read('torch:fp64')


@pytest.mark.parametrize(('precision', 'status'), [('fp32', 0), ('fp16', 1), ('fp16,bf16', 0)])
def test_a_baseline_alone_is_no_answer(
    precision: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = Timing.of([Sample(10.0, {'infer': 10.0})], 1)

    def group(_: Bench, configurations: list[Configuration]) -> list[Row]:
        """Run all but fp16; fp32 is the baseline."""
        rows = [Row.asked(one) for one in configurations if one.precision != 'fp32']
        rows = [row if row.precision == 'fp16' else replace(row, timing=timing) for row in rows]
        return [*rows, _row(timing=timing, is_baseline=True)]

    monkeypatch.setattr(Bench, 'group', group)
    arguments = '--variant demo --backend torch --baseline torch:fp32 --size 160x120'
    assert cli.main(['bench', *arguments.split(), '--precision', precision]) == status


def _row(**given: object) -> Row:
    return Row('demo', 'torch', 'fp32', 126, 1, 1, 'cpu', '', **given)  # type: ignore[arg-type]


def test_the_tables_lift_what_rows_share_and_give_reasons() -> None:
    timing = Timing.of([Sample(ms, {'infer': ms - 1.0}) for ms in (10.0, 12.0, 20.0)], 1)
    assert (timing.min_ms, timing.p50_ms, timing.infer_ms) == (10.0, 12.0, 11.0)
    slow, fast = (_row(timing=timing, is_baseline=True), _row(timing=timing, ratio=2.5))
    object.__setattr__(fast, 'precision', 'bf16')
    lost = _row(note='it needs abacus, which is not installed: pip install abacus')
    told = text([slow, fast, lost], CONDITIONS, as_markdown=False)
    assert told.startswith('a machine\nimage 160x120; weights of demo: released\n')
    assert 'variant demo, input_size 126, backend torch' in told
    lines = told.splitlines()
    assert lines[lines.index('Time of a call') + 1].startswith('precision  calls')
    # No GPU was there, and nothing was compared: empty columns and tables are not shown.
    assert 'GPU' not in told.split('p50 to p99:')[0] and 'Agreement' not in told
    # A terminal of 120 columns holds every table.
    assert max(map(len, lines)) <= 120
    assert any(line.startswith('fp32') and 'baseline' in line for line in lines)
    assert any(line.startswith('bf16') and '2.50' in line for line in lines)
    # 172,800 images of 12 ms are 35 minutes.
    (film,) = (line for line in lines if line.startswith('precision  1000 images s  film h'))
    assert lines[lines.index(film) + 1].split()[:3] == ['fp32', '12.0', '0.6']
    assert lines[-1].strip() == (
        'torch fp32 (demo): it needs abacus, which is not installed: pip install abacus'
    )
    shown = text([slow, fast, lost], CONDITIONS, as_markdown=True)
    assert '| precision | calls |' in shown
    # Strict JSON: no NaN.
    content = json.loads(json_text([slow, lost], CONDITIONS), parse_constant=pytest.fail)
    assert content['machine'] == 'a machine'
    assert content['rows'][1]['timing'] is None
    assert content['suitability'][0]['drone'] == 'too small'


def test_the_first_call_is_counted_apart() -> None:
    timing = Timing.of([Sample(10.0, {})] * 4, 1, first_ms=60.0)
    # 60 and four times 10: mean 20, standard deviation 20.
    assert timing.cov_percent == 0.0
    assert Timing.of([Sample(10.0, {})], 1).cov_percent is None
    assert timing.cov_with_first_percent == pytest.approx(100.0)


def test_cost_and_size_are_told_for_each_row() -> None:
    slow, fast = (Timing.of([Sample(ms, {})], 1) for ms in (20.0, 5.0))
    slow_row, fast_row, failed = with_cost([_row(timing=slow), _row(timing=fast), _row(note='x')])
    assert (slow_row.cost, fast_row.cost, failed.cost) == (4.0, 1.0, None)
    (cells,) = (
        dict(zip(*rows, strict=True))
        for title, rows in tables(
            [replace(slow_row, million_parameters=2.0, resident_mb=300.0)]
        ).items()
        if title == 'Use of the machine'
    )
    assert (cells['images/s/M'], cells['MB/M']) == ('25.000', '150.0')


class _Growing:
    """A process that holds 100 MB, 10 for each image, and at most so many images."""

    def __init__(self, most: int) -> None:
        self.tried: list[int] = []
        self._most = most

    def call(self, _: object, images: int) -> float:
        self.tried.append(images)
        if images > self._most:
            raise BackendError('its process ended with status -9, as where memory runs out')
        return 100.0 + 10.0 * images


@pytest.mark.parametrize(
    ('begin', 'memory_mb', 'most', 'found', 'tried', 'why'),
    [
        # 8 hold 180 MB, of which the last doubling brought 40: 16 would hold 260.
        (1, 250.0, 999, 8, [1, 2, 4, 8], '16 would hold 260 MB, 250 are allowed'),
        (1, 105.0, 999, 0, [1], '1 held 110 MB, 105 are'),
        # What it ran before is in the memory that is known: fewer cannot be told apart.
        (6, 150.0, 999, 0, [6], '6 held 160 MB, 150 are'),
        (1, 1e9, 4, 4, [1, 2, 4, 8], '8: its process ended with status -9'),
    ],
)
def test_the_largest_batch_is_found_by_doubling(
    begin: int, memory_mb: float, most: int, found: int, tried: list[int], why: str
) -> None:
    process = _Growing(most)
    images, limit = largest_batch(process, begin, memory_mb, 60.0)  # type: ignore[arg-type]
    assert images == found and process.tried == tried
    assert limit.startswith(why)


def test_a_use_needs_a_rate_and_an_input() -> None:
    live, film = Use('robot', 5.0, 126, True, ''), Use('film', 5.0, 126, False, '')
    timing = Timing.of([Sample(ms, {}) for ms in (100.0, 100.0, 1000.0)], 1)
    row = _row(timing=timing)
    # Half of the images come at 10 Hz, 95 of 100 only at about 1.
    assert verdict(row, live) == 'no 0.22x' and verdict(row, film) == 'yes 2x'
    assert verdict(replace(row, batch=2), live) == 'batch'
    assert verdict(row, replace(film, input_size=127)) == 'too small'


class _Tiny(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.layer(image)[:, 0],)


def test_peers_stand_in_the_table_for_speed_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench_in_process(monkeypatch)
    monkeypatch.setattr(work, '_MOST_S', 0.05)
    form = InputFormat('fixed', width=64, height=32)
    tiny = Peer('a stand-in', 'torch', 'BSD', form, 1.0, _Tiny)
    monkeypatch.setitem(PEERS, 'tiny', tiny)
    monkeypatch.setitem(PEERS, 'large', replace(tiny, memory_mb=1e9))
    monkeypatch.setitem(PEERS, 'absent', replace(tiny, library='abacus', licence='XYZ-1'))
    shape = '--variant demo --backend torch --precision fp32 --device cpu --threads 1'
    how = '--baseline none --frames 2 --size 160x120 --input-size 126 --batch 1,2'
    words = ['bench', *shape.split(), *how.split(), '--peers']
    # One that was asked for by name did not run.
    assert cli.main([*words, 'tiny,large,absent']) == 1
    said = capsys.readouterr().out
    assert 'tiny: a stand-in by torch ' in said and '(BSD), input 64x32, float32; random' in said
    table = said.partition('Time of a call\n')[2].splitlines()
    assert [line.split()[:3] for line in table[1:5]] == [
        *(['demo', '126', '1'], ['demo', '126', '2'], ['tiny', '32', '1'], ['tiny', '32', '2']),
    ]
    assert [line.split()[-1] for line in table[1:5]] == ['-', '-', 'only', 'only']
    left_out = said.partition('left out:\n')[2]
    assert 'torch fp32 (large): it takes about 1000000000 MB of memory, and ' in left_out
    assert 'pip install abacus (XYZ-1; in the extra peers)' in left_out
    assert cli.main([*words, 'tiny', '--json']) == 0
    printed = json.loads(capsys.readouterr().out)
    peer = printed['rows'][-1]
    assert (peer['variant'], peer['batch'], peer['random_weights']) == ('tiny', 2, True)
    assert peer['million_parameters'] == 28e-6 and peer['resident_mb'] and peer['cost']
    assert peer['agreement'] is peer['ratio'] is peer['gflops'] is None


def test_a_peer_is_as_large_as_published() -> None:
    pytest.importorskip('transformers', reason='needs the extra peers')
    (asked,) = peer_configurations(['dpt-swin2-tiny'], [1], [1], 'cpu')
    with NetworkProcess(1, worker=PeerWorker) as process:
        loaded = process.call(PeerWorker.load, asked, picture(SIZE))
    # model.safetensors of Intel/dpt-swinv2-tiny-256 has 164 MB.
    assert loaded.million_parameters == pytest.approx(164 / 4, rel=0.005)


def _accuracy(path: Path, title: str) -> Path:
    rows = [['', 'AbsRel', 'ms'], [title, 0.06, 20.0], [f'{title} at 126', 0.05, 30.0]]
    # Where nothing could be judged there is no figure.
    rows.append([f'{title} at 56', None, 3.0])
    block = {'rows': rows, 'caption': 'mine: 3 pairs'}
    path.write_text(json.dumps({'sections': [{'title': 'x', 'blocks': [{'text': 'y'}, block]}]}))
    return path


def test_quality_is_read_from_a_study_or_refused(tmp_path: Path) -> None:
    pytest.importorskip('matplotlib')
    from depth_anything_ros.studies.bench.quality import read_errors

    errors = read_errors(_accuracy(tmp_path / 'report.json', 'demo'), ['demo'])
    assert errors == {'demo': 0.06, 'demo at 126': 0.05}
    random = _accuracy(tmp_path / 'report.json', 'vits (random weights)')
    with pytest.raises(SettingError, match=r'judged vits \(random weights\), .* not vits: give'):
        read_errors(random, ['vits'])
    for content in ('[1]', '{"sections": []}', '{"sections": [{"blocks": ["x"]}]}'):
        (tmp_path / 'report.json').write_text(content)
        with pytest.raises(SettingError, match=r'is not a report\.json of `depth_anything study'):
            read_errors(tmp_path / 'report.json', ['vits'])


def test_a_page_holds_tables_and_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('matplotlib')
    from depth_anything_ros.studies.bench import bench_page, quality

    timing = Timing.of([Sample(10.0, {'infer': 9.0})], 1)
    found = _row(timing=timing, largest_batch=4, batch_limit='8 hold 9 MB of 8')
    peer = Row('yolo11n', 'ultralytics', 'fp32', 640, 1, 1, 'cpu', 'random', random_weights=True)
    rows = [found, replace(peer, timing=timing)]
    monkeypatch.setattr('depth_anything_ros.studies.bench.measure.measure', lambda *_: rows)
    drawn = []

    def plot_quality(shown: list[Row], *given: Any) -> None:
        drawn.extend(shown)
        quality.plot_quality(shown, *given)

    monkeypatch.setattr(bench_page, 'plot_quality', plot_quality)
    accuracy = _accuracy(tmp_path / 'accuracy.json', 'demo')
    words = f'bench --variant demo --out {tmp_path}/page --quality {accuracy} --peers yolo11n'
    assert cli.main(words.split()) == 0
    assert f'look at {tmp_path}/page/index.html' in capsys.readouterr().err
    page = (tmp_path / 'page' / 'report.md').read_text()
    meant = '| CoV | standard deviation over mean |'
    for said in (meant, '## Suitability', '(quality.png)', 'larger batches: 8 hold 9 MB of 8'):
        assert said in page
    # Random weights have no quality.
    assert drawn == [found]
    assert 'yolo11n: random weights: speed only.' in page
    assert '(AGPL-3.0), input longer side 640' in page and 'no depth' in page
    assert 'ultralytics' not in sys.modules
    assert (tmp_path / 'page' / 'quality.png').read_bytes().startswith(b'\x89PNG')


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip('matplotlib')
    from depth_anything_ros.studies.bench.bench_plot import plot

    timing = Timing.of([Sample(ms, {'infer': ms - 1.0}) for ms in (10.0, 12.0, 20.0)], 1)
    plot([_row(timing=timing, ratio=2.5)], CONDITIONS, tmp_path / 'rows.png')
    assert (tmp_path / 'rows.png').read_bytes().startswith(b'\x89PNG')
    with pytest.raises(SettingError, match='cannot be written'):
        plot([_row(timing=timing)], CONDITIONS, tmp_path / 'none' / 'rows.png')


def test_bench_prints_rows_as_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench_in_process(monkeypatch)
    monkeypatch.setattr(work, '_MOST_S', 0.05)
    shape = ['--variant', 'demo', '--device', 'cpu', '--threads', '1', '--size', '160x120']
    how = [
        '--backend',
        'torch',
        '--baseline',
        'torch:fp32',
        '--precision',
        'fp32,bf16',
        *('--frames', '2', '--largest-batch', '1', '--json'),
    ]
    assert cli.main(['bench', *shape, *how]) == 0
    rows = json.loads(capsys.readouterr().out)['rows']
    assert [row['precision'] for row in rows] == ['fp32', 'bf16']
    assert [row['is_baseline'] for row in rows] == [True, False]
    assert rows[1]['ratio'] > 0 and min(row['cost'] for row in rows) == 1.0
    # No network fits into a megabyte.
    assert rows[1]['largest_batch'] == 0 and rows[1]['batch_limit'].startswith('1 held ')


def test_int8_without_pictures_says_what_to_give(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    pytest.importorskip('openvino')
    shape = ['--variant', 'demo', '--device', 'cpu', '--size', '160x120', '--baseline', 'none']
    how = ['--backend', 'openvino', '--precision', 'int8', '--frames', '2', '--json']
    assert cli.main(['bench', *shape, *how]) == 1
    (row,) = json.loads(capsys.readouterr().out)['rows']
    assert 'give --calibration a bag, a folder of images or a video' in row['note']


def test_a_profile_shares_out_the_time_and_the_operations(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('openvino')
    bench_in_process(monkeypatch)
    arguments = ['bench', 'profile', '--variant', 'demo', '--frames', '2', '--size', '160x120']
    assert cli.main([*arguments, '--backend', 'openvino', '--precision', 'fp32', '--json']) == 0
    parts = {row['part']: row for row in json.loads(capsys.readouterr().out)}
    assert parts.keys() == {'linear', 'convolution', 'attention', 'rest'}
    blocks = get_variant('demo').depth
    assert parts['attention']['operations'] == blocks
    assert parts['linear']['operations'] >= 4 * blocks
    assert sum(row['share_percent'] for row in parts.values()) == pytest.approx(100)
    gflop = sum(row['gflop'] or 0 for row in parts.values())
    assert gflop == pytest.approx(network_gflop('demo', SIZE, 126))
    assert cli.main([*arguments, '--backend', 'torch']) == 2
    assert 'profile --backend openvino' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ('bench --baseline abacus', 'names no backend'),
        ('bench --baseline torch:fp64', 'choose one of auto, fp32'),
        ('bench --frames 0', 'give 1 or more'),
        ('bench --plot /proc/rows.png', '--plot /proc/rows.png cannot be written'),
        ('bench --quality x.json', '--quality is for the page: give --out DIR'),
        ('bench --out /proc/x', '--out /proc/x cannot be written'),
        ('bench --quality x.json --out x', '--quality x.json is not a report.json of'),
        ('bench --plot rows.txt', '--plot rows.txt names no format of pictures'),
        ('bench profile --frames 0', 'give 1 or more'),
    ],
)
def test_bad_input_is_one_line(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if '--plot' in arguments or '--out' in arguments:
        pytest.importorskip('matplotlib')
    assert cli.main(arguments.split()) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ('--batch 0', '0 is below 1: give 1 or more'),
        ('--batch two', "'two' is not a whole number: give some as in 1,4"),
        ('--threads 1,2.5', "'2.5' is not a whole number"),
        ('--input-size 518,', "'' is not a whole number"),
        ('--peers yolo12', "peer is 'yolo12': choose one of depth-pro, "),
        ('--variant vits,vitx', "variant is 'vitx': choose one of"),
    ],
)
def test_a_bad_list_is_bad_usage(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(['bench', *arguments.split()])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f'argument {arguments.split()[0]}: {said}' in last


def test_cards_are_rows_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """V1 with random weights beside V2, and an ONNX file, which has no count of operations."""
    pytest.importorskip('onnx')
    pytest.importorskip('openvino')
    bench_in_process(monkeypatch)
    monkeypatch.setattr(work, '_MOST_S', 0.05)
    write_onnx(KnownDepth('log_depth'), tmp_path / 'edge.onnx', torch.rand(1, 3, 48, 64))
    (tmp_path / 'edge.yaml').write_text('family: onnx\noutput: log_depth\ninput: {size: 56}\n')
    (tmp_path / 'v1.yaml').write_text(
        'family: depth_anything_v1\nvariant: demo\noutput: relative_inverse_depth\nfile: random\n'
    )
    names = ['random', str(tmp_path / 'v1.yaml'), str(tmp_path / 'edge.yaml')]
    arguments = ['--weights', *names, '--variant', 'demo', '--backend', 'openvino', '--json']
    shape = ['--precision', 'fp32', '--device', 'cpu', '--threads', '1', '--size', '160x120']
    plan = ['--baseline', 'none', '--frames', '2', '--input-size', '126']
    assert cli.main(['bench', *arguments, *shape, *plan]) == 0
    printed = json.loads(capsys.readouterr().out)
    rows = printed['rows']
    assert [row['variant'] for row in rows] == ['demo', 'v1', 'edge']
    assert [row['input_size'] for row in rows] == [126, 126, 56]
    assert all(row['timing'] for row in rows), rows
    assert rows[0]['gflops'] and rows[1]['gflops'] and rows[2]['gflops'] is None
    # Of an ONNX file the reference is ONNX Runtime.
    for row in rows:
        assert row['agreement']['diff_p99_percent'] < 0.1
    assert printed['weights']['v1'] == names[1]
