"""Cells of the tables of `lab.claims.gpu`: one network in one way, timed, compared, profiled."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from depth_anything_ros.backends.self_check import ROUNDED
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.measure import Bench, BenchPlan, picture
from depth_anything_ros.studies.bench.network_process import NetworkProcess, cache_in
from depth_anything_ros.studies.bench.row import Row, Timing, agreement
from depth_anything_ros.studies.bench.work import gflop_of_row
from lab.claims.gpu_worker import GpuWorker, Way

__all__ = ['Cells', 'GpuPlan', 'groups']

_Result = TypeVar('_Result')

_GRACE_S = 10.0
"""What has not answered so long after the end of its stage has failed."""


@dataclass(frozen=True)
class GpuPlan:
    """What is measured: images of `size` (width, height), and what each list names."""

    device: str
    variants: Sequence[str]
    precisions: Sequence[str]
    batches: Sequence[int]
    input_sizes: Sequence[int]
    size: tuple[int, int]

    def configuration(self, variant: str, precision: str) -> Configuration:
        """Return a network at the first input size; weights are random but those of demo."""
        return Configuration(
            *(variant, 'torch', precision, self.input_sizes[0]),
            device=self.device,
            weights='' if variant == 'demo' else 'random',
        )


def groups(plan: GpuPlan) -> list[tuple[Way, str, str]]:
    """Return (way, precision, variant): what matters most, and takes least, comes first."""

    def phase(group: tuple[Way, str, str]) -> int:
        way, precision, variant = group
        is_graph, is_first = way is Way.GRAPH, precision == plan.precisions[0]
        is_main = is_first and variant == plan.variants[0]
        is_fast = not way.is_slow_to_load
        ranks = is_graph and is_first, is_main, is_graph, way is Way.EAGER, is_fast, True
        return ranks.index(True)

    ways = [way for way in Way if not way.lacks(plan.device)]
    # Sorting is stable: within a phase the order is that of the lists.
    return sorted(itertools.product(ways, plan.precisions, plan.variants), key=phase)


class Cells(ExitStack):
    """Networks in a process that is started anew when a cell has failed: CUDA may be broken."""

    def __init__(self, plan: GpuPlan) -> None:
        super().__init__()
        self.plan = plan
        self.end_s = math.inf
        """When no cell begins any more, by the monotonic clock."""
        self._process: NetworkProcess | None = None
        self._peaks: dict[str, float | None] = {}
        image = picture(plan.size)
        self._pair = [image, image[:, ::-1].copy()]
        self._cache = cache_in(self.enter_context(TemporaryDirectory()))
        self.callback(self._end_process)

    def times(self, way: Way, precision: str, variant: str) -> Iterator[Row]:
        """Time each input size and batch; `note` says why a cell failed or was left out.

        Only the first of them where each takes long to prepare.
        """
        asked = self.plan.configuration(variant, precision)
        pixel_s, loaded = 0.0, None
        shapes = itertools.product(self.plan.input_sizes, self.plan.batches)
        for input_size, batch in itertools.islice(shapes, 1 if way.is_slow_to_load else None):
            row = replace(Row.asked(asked), backend=way.value, input_size=input_size, batch=batch)
            if time.monotonic() + 5 * pixel_s * input_size**2 * batch > self.end_s:
                yield replace(row, note='left out: the time was up')
                continue
            try:
                if loaded is None:
                    loaded = self._call(GpuWorker.load_way, asked, way, self._pair[0])
                (first, *rest), gpu_mb = self._call(GpuWorker.cell, batch, input_size)
                peak = self._peak(loaded.device, loaded.precision)
            except DepthAnythingError as error:
                yield replace(row, note=str(error))
                if loaded is None:
                    return
                loaded = None
                continue
            timing = Timing.of(rest, batch, first.ms)
            pixel_s = timing.p50_ms / batch / input_size**2 * 1e-3
            gflop = sum(gflop_of_row(variant, asked.weights, self.plan.size, input_size).values())
            gflops = batch * gflop / timing.infer_ms * 1e3
            percent = 100.0 * gflops / peak if peak else None
            row = replace(row, precision=loaded.precision, device=loaded.device, timing=timing)
            row = replace(row, load_s=loaded.load_s, first_ms=first.ms, gpu_mb=gpu_mb)
            yield replace(row, gflops=gflops, peak_gflops=peak, peak_percent=percent)

    def float32(self, variant: str) -> list[FloatImage]:
        """Return inverse depth of the two images of `parity` in float32 on the CPU."""
        asked = replace(self.plan.configuration(variant, 'fp32'), device='cpu')
        with Bench(BenchPlan(self.plan.size)) as bench:
            return bench.inverse_depths(asked, self._pair)

    def parity(
        self, way: Way, precision: str, variant: str, reference: Sequence[FloatImage]
    ) -> Iterator[dict[str, Any]]:
        """Compare one image, and the second of two in one batch, with those of `float32`.

        `close` by the limits of the node's self-check. Raises BackendError where it fails.
        """
        asked = self.plan.configuration(variant, precision)
        loaded = self._call(GpuWorker.load_way, asked, way, self._pair[0])
        for count in (1,) if way.is_slow_to_load else (1, 2):
            found = self._call(GpuWorker.together, self._pair[:count])
            got = agreement(found[-1], reference[count - 1])
            apart = (got.diff_p50_percent, got.diff_p99_percent) if got else (float('inf'),) * 2
            yield {
                'network': f'{variant}, {way.value}, {loaded.precision}, batch {count}',
                'diff p50 %': apart[0],
                'diff p99 %': apart[1],
                'Pearson': got and got.pearson,
                'close': all(x <= 100 * most for x, most in zip(apart, ROUNDED, strict=True)),
            }

    def operations(self, variant: str) -> list[dict[str, str | float]]:
        """Profile an image at a time, step by step; raises BackendError where it fails."""
        asked = self.plan.configuration(variant, 'auto')
        self._call(GpuWorker.load_way, asked, Way.EAGER, self._pair[0])
        return self._call(GpuWorker.operations, 5)

    def _peak(self, device: str, precision: str) -> float | None:
        if precision not in self._peaks:
            self._peaks[precision] = self._call(GpuWorker.peak_gflops, device, precision)
        return self._peaks[precision]

    def _call(self, method: Callable[..., _Result], *arguments: Any) -> _Result:
        if self._process is None:
            self._process = NetworkProcess(0, self._cache, GpuWorker)
        self._process.limit_s = max(0.0, self.end_s - time.monotonic()) + _GRACE_S
        try:
            return self._process.call(method, *arguments)
        except DepthAnythingError:
            self._end_process()
            raise

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.__exit__()
