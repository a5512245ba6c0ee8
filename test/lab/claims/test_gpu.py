"""The run on a GPU, rehearsed on the CPU: what it measures, says and leaves on disk."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from in_process import bench_in_process

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.studies.bench import work
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.measure import BenchPlan, measure
from depth_anything_ros.studies.bench.row import Row
from lab.claims import gpu, gpu_worker
from lab.claims.gpu_cells import Cells, GpuPlan, groups
from lab.claims.gpu_record import Record
from lab.claims.gpu_worker import GpuWorker, Way


def test_a_rehearsal_measures_what_runs_and_names_what_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_in_process(monkeypatch)
    monkeypatch.setattr(work, '_MOST_S', 0.05)
    monkeypatch.setattr(work, '_SIDES', {'cpu': (256,)})
    monkeypatch.setattr(gpu_worker, '_MOST_CALLS', 3)
    # The node has tests of its own, and the largest batch is none here.
    monkeypatch.setattr(gpu, '_NODE_LEAST_S', 1e9)
    monkeypatch.setattr(gpu, '_MOST_MB', {'cpu': 1.0})

    def measure_fast(asked: list[Configuration], plan: BenchPlan) -> list[Row]:
        return measure(asked, replace(plan, frames=2))

    monkeypatch.setattr(gpu, 'measure', measure_fast)

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert words[1:5] == ['-m', 'pytest', '-q', '-m']
        assert any(word.endswith('test_torch_gpu.py') for word in words)
        return subprocess.CompletedProcess(words, 1, 'FAILED test_torch_gpu.py::x\n1 failed', '')

    def compile_(*_: object, **__: object) -> None:
        raise RuntimeError('no compiler\nat all')

    monkeypatch.setattr(subprocess, 'run', run)
    monkeypatch.setattr(torch.nn.Module, 'compile', compile_)
    shape = '--device cpu --variant demo --precision fp32,bf16 --batch 1,2 --input-size 126'
    words = f'{shape} --size 160x120 --seconds 600 --out {tmp_path}'.split()
    assert gpu.main(words) == 1
    content = json.loads((tmp_path / 'gpu.json').read_text(), parse_constant=pytest.fail)
    assert 'CUDA graph (needs an NVIDIA GPU)' in content['missing']
    tests, parity, times, profile, node, starts = content['sections']
    assert tests['rows'] == [{'status': 1, 'said': '1 failed'}]
    assert tests['remarks'] == [
        'pytest ended with status 1',
        'FAILED test_torch_gpu.py::x',
    ]
    assert [row['close'] for row in parity['rows']] == [True] * len(parity['rows']) != []
    assert 'demo, compiled, fp32: RuntimeError: no compiler' in parity['remarks']
    first, second, *_ = times['rows']
    assert (first['backend'], first['precision'], first['batch']) == ('eager', 'fp32', 1)
    assert second['batch'] == 2 and second['timing']['p99_ms'] > 0 and second['peak_percent'] > 0
    assert {row['kind'] for row in profile['rows']} == {'operator'}
    assert sum(row['share %'] for row in profile['rows']) <= 100.1
    assert node['remarks'] == [f'left out: {hz} Hz: the time was up' for hz in (30, 60)]
    (row,) = starts['rows']
    assert row['timing']['cov_with_first_percent'] > 0 and row['largest_batch'] == 0
    shown = (tmp_path / 'gpu.md').read_text()
    for section in content['sections']:
        assert f'## {section["title"]}' in shown
    assert not list(tmp_path.glob('*.writing'))
    assert 'eager, fp32, demo, 1 at 126: ' in capsys.readouterr().out


def test_on_a_gpu_what_the_node_runs_comes_first() -> None:
    plan = GpuPlan('cuda:0', ['vits', 'vitl'], ['fp16', 'fp32'], [1], [518], (640, 480))
    found = groups(plan)
    assert found[:2] == [(Way.GRAPH, 'fp16', 'vits'), (Way.GRAPH, 'fp16', 'vitl')]
    # All ways of the first network before other precisions; of the others what compiles last.
    assert found.index((Way.COMPILED, 'fp16', 'vits')) < found.index((Way.GRAPH, 'fp32', 'vits'))
    assert found[-1][0].is_slow_to_load
    assert len(set(found)) == len(found) >= 4 * (len(Way) - 1)


def test_a_cell_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    bench_in_process(monkeypatch)
    monkeypatch.setattr(work, '_MOST_S', 0.05)
    monkeypatch.setattr(work, '_SIDES', {'cpu': (256,)})
    monkeypatch.setattr(gpu_worker, '_MOST_CALLS', 3)
    whole: Callable[..., object] = GpuWorker.cell

    def cell(worker: GpuWorker, batch: int, input_size: int) -> object:
        if batch == 2:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory.\nTried to')
        return whole(worker, batch, input_size)

    # As it is called, by the name of the method.
    cell.__name__ = 'cell'
    monkeypatch.setattr(GpuWorker, 'cell', cell)
    plan = GpuPlan('cpu', ['demo'], ['fp32'], [1, 2, 3], [126], (160, 120))
    with Cells(plan) as cells:
        rows = list(cells.times(Way.EAGER, 'fp32', 'demo'))
        cells.end_s = 0.0
        (late, *_) = cells.times(Way.EAGER, 'fp32', 'demo')
    assert [row.note for row in rows] == ['', 'OutOfMemoryError: CUDA out of memory.', '']
    assert rows[2].timing is not None and late.note == 'left out: the time was up'


def test_the_record_is_whole_after_every_step(tmp_path: Path) -> None:
    record = Record(tmp_path / 'new', {'machine': 'mine'})
    record.section('Figures', lambda rows: [f'{rows}'])
    for count in (1, 2):
        record.add({'ms': float(count)})
        content = json.loads((tmp_path / 'new' / 'gpu.json').read_text())
        assert len(content['sections'][0]['rows']) == count
    assert not record.has_remarks
    record.remark('left out: all else')
    assert record.has_remarks
    assert '- left out: all else' in (tmp_path / 'new' / 'gpu.md').read_text()
    (tmp_path / 'file').touch()
    with pytest.raises(SettingError, match=r'--out .*file cannot be written'):
        Record(tmp_path / 'file', {})
