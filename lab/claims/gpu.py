"""The figures of the CUDA path, within eight minutes on one GPU, without a network.

gpu.json and gpu.md are written after every step: what was measured before a run is cut off
stays. What this machine lacks is said by name. `--device cpu` runs the same there, as a trial.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from depth_anything_ros.backends.torch.devices import choose_device
from depth_anything_ros.cli.network_grid import counts
from depth_anything_ros.cli.options import add_size, positive
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.model.variants import get_variant
from depth_anything_ros.reports.text import cell, markdown
from depth_anything_ros.studies.bench.bench_report import Conditions, text
from depth_anything_ros.studies.bench.configuration import with_weights
from depth_anything_ros.studies.bench.measure import BenchPlan, measure, with_cost
from depth_anything_ros.studies.machine import machine_line
from lab import command
from lab.claims.gpu_cells import Cells, GpuPlan, groups
from lab.claims.gpu_record import Record
from lab.claims.gpu_worker import Way

__all__ = ['main']

_ROOT = Path(__file__).resolve().parents[2]
_OPTIONAL = ('rclpy', 'pytest', 'onnxruntime', 'tensorrt', 'triton')
_RATES_HZ = 30.0, 60.0
_NODE_LEAST_S = 20.0
_MOST_MB = {'cpu': 2e3, 'cuda': 1e6}
"""Bound of the largest batch: on a GPU all there is."""


class Run:
    """The stages, in the order in which their results are worth having."""

    def __init__(self, plan: GpuPlan, record: Record, cells: Cells) -> None:
        self._plan, self._record, self._cells = plan, record, cells
        asked = [plan.configuration(variant, 'auto') for variant in plan.variants]
        self._conditions = Conditions(machine_line(), plan.size, with_weights(asked)[1])

    def tests(self) -> None:
        """Run the tests that are marked with cuda."""
        self._record.section('Tests that need CUDA', _table)
        files = (_ROOT / 'test').rglob('test_*.py')
        marked = [str(path) for path in files if 'mark.cuda' in path.read_text()]
        # What all tests share needs ROS; these do not.
        alone = [] if find_spec('rclpy') else ['--noconftest']
        words = [sys.executable, '-m', 'pytest', '-q', '-m', 'cuda', *alone, *marked]
        done = subprocess.run(
            words, check=False, cwd=_ROOT, capture_output=True, text=True, timeout=self._left_s()
        )
        *lines, last = ['', *done.stdout.splitlines(), *done.stderr.splitlines()[-1:]]
        self._record.add({'status': done.returncode, 'said': last})
        if done.returncode:
            self._record.remark(f'pytest ended with status {done.returncode}')
        for line in lines:
            if line.startswith(('FAILED', 'ERROR', 'SKIPPED')):
                self._record.remark(line)

    def parity(self) -> None:
        """Compare every way with float32 on the CPU, by trained weights first."""
        self._record.section('Parity with float32 on the CPU', _table)
        main = self._plan.precisions[0], self._plan.variants[0]
        for variant in dict.fromkeys(('demo', main[1])):
            reference = self._cells.float32(variant)
            for way, precision, first in groups(self._plan):
                # Of trained weights every precision, of the others one; what takes long once.
                is_asked = precision == main[0] if variant == main[1] else not way.is_slow_to_load
                name = f'{variant}, {way.value}, {precision}'
                if first != main[1] or not is_asked or not self._has_time(name):
                    continue
                try:
                    for row in self._cells.parity(way, precision, variant, reference):
                        self._record.add(row)
                except DepthAnythingError as error:
                    self._record.remark(f'{name}: {error}')

    def times(self) -> None:
        """Time every network in every way, at every size and batch."""
        self._record.section('Time and memory', self._bench_text)
        for way, precision, variant in groups(self._plan):
            name = f'{way.value}, {precision}, {variant}'
            if self._has_time(name):
                for row in self._cells.times(way, precision, variant):
                    self._record.add(row)
                    result = f'{row.timing.p50_ms:.2f} ms' if row.timing else row.note
                    self._record.say(f'  {name}, {row.batch} at {row.input_size}: {result}')

    def profile(self) -> None:
        """List what one image spends its time on, step by step: operators, and kernels."""
        self._record.section('Where the time goes, step by step', _table)
        for variant in self._plan.variants:
            if self._has_time(variant):
                rows = self._cells.operations(variant)
                for row in rows:
                    self._record.add({'variant': variant, **row})
                if not rows:
                    self._record.remark(f'{variant}: the profiler was given no times of the GPU')

    def node(self) -> None:
        """Send a camera's images to the node, through DDS."""
        self._record.section('Through the node', _table)
        from lab.claims.node import CameraLoad, bench_node

        for rate_hz in _RATES_HZ:
            if self._has_time(f'{rate_hz:g} Hz', _NODE_LEAST_S):
                asked = self._plan.configuration(self._plan.variants[0], 'auto')
                camera = CameraLoad(rate_hz, min(10.0, self._left_s() / 4), self._plan.size)
                row = bench_node(asked.parameters(), camera)
                self._record.add({'camera Hz': rate_hz, **asdict(row)})

    def starts(self) -> None:
        """Measure loading, the first call, the spread of later ones, and the largest batch."""
        self._record.section('Loading, first call, spread, largest batch', self._bench_text)
        most_mb = _MOST_MB[choose_device(self._plan.device).type]
        for index, variant in enumerate(self._plan.variants):
            if self._has_time(variant):
                # Calls and batches take so long each; loading and the rest about as long again.
                each_s = self._left_s() / (len(self._plan.variants) - index) / 3
                bench = BenchPlan(self._plan.size, 100, each_s, None, False, False, most_mb)
                for row in measure([self._plan.configuration(variant, 'auto')], bench):
                    self._record.add(row)

    def _left_s(self) -> float:
        return self._cells.end_s - time.monotonic()

    def _has_time(self, name: str, needed_s: float = 0.0) -> bool:
        """Return whether the stage has time left; where not, say that `name` is left out."""
        if self._left_s() > needed_s:
            return True
        self._record.remark(f'left out: {name}: the time was up')
        return False

    def _bench_text(self, rows: Sequence[Any]) -> list[str]:
        return [text(with_cost(rows), self._conditions, as_markdown=True)]


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where something is missing or was left out."""
    parser = command.parser_of('lab.claims.gpu', __doc__)
    add = parser.add_argument
    add('--out', type=Path, default=Path('gpu'), metavar='DIR', help='default: %(default)s')
    add('--device', default='auto', help='auto, cpu, cuda or cuda:N (default: auto)')
    begin = 'nothing begins later (default: %(default)g)'
    add('--seconds', type=positive, default=450.0, metavar='S', help=begin)
    default: Any
    for name, kind, default in (
        ('--variant', _names, 'vits,vitb,vitl'),
        ('--precision', _names, 'fp16,bf16,fp32'),
        ('--batch', counts, '1,4,16,64'),
        ('--input-size', counts, '518,252'),
    ):
        add(name, type=kind, default=default, metavar='LIST', help='default: %(default)s')
    add_size(parser)
    return command.run(parser, args, _measure)


def _measure(options: argparse.Namespace) -> int:
    device = choose_device(options.device)
    plan = GpuPlan(
        *(str(device), [get_variant(name).name for name in options.variant], options.precision),
        *(options.batch, options.input_size, options.size),
    )
    lacking = [f'{way.value} ({why})' for way in Way if (why := way.lacks(str(device)))]
    missing = [name for name in _OPTIONAL if find_spec(name) is None]
    facts = {'machine': machine_line(), 'missing': '; '.join([*missing, *lacking]) or 'nothing'}
    if device.type == 'cpu':
        facts['rehearsal'] = 'on the CPU: no figure here is one of a GPU'
    else:
        facts['CUDA'] = f'{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}'  # type: ignore[no-untyped-call]
    record = Record(options.out, facts)
    record.say(f'missing: {facts["missing"]}')
    end_s = time.monotonic() + options.seconds
    with Cells(plan) as cells:
        run = Run(plan, record, cells)
        # Shares of the time that is left: what a stage does not use goes to the others.
        shares = {run.tests: 12, run.parity: 13, run.times: 40, run.profile: 8}
        shares |= {run.node: 15, run.starts: 12}
        while shares:
            now_s, left = time.monotonic(), sum(shares.values())
            stage = next(iter(shares))
            cells.end_s = now_s + (end_s - now_s) * shares.pop(stage) / left
            try:
                stage()
            except subprocess.TimeoutExpired as error:
                record.remark(f'did not end within {error.timeout:.0f} s')
            except Exception as error:  # noqa: BLE001  the other stages go on
                record.remark(f'{type(error).__name__}: {error}'.partition('\n')[0])
    record.say(f'look at {options.out / "gpu.md"}')
    return 1 if missing or lacking or record.has_remarks else 0


def _names(text: str) -> list[str]:
    return text.split(',')


def _table(rows: Sequence[Any]) -> list[str]:
    """Return mappings as a table."""
    return markdown([list(rows[0]), *([cell(value) for value in row.values()] for row in rows)])


if __name__ == '__main__':
    raise SystemExit(main())
