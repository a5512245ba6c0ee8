"""Time the network: rows that run in turn with a baseline, so that a noisy machine is fair."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.backends import DepthBackend
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import StageTimes, Window
from depth_anything_ros.pipeline import load_backend
from depth_anything_ros.synthetic.world import World

__all__ = ['Row', 'benchmark']


@dataclass(frozen=True)
class Row:
    """Milliseconds for one image, from uint8 to inverse depth of its size.

    `ratio` is the median, over pairs that ran one after the other, of the first row's time by
    this one's: above 1 is faster than the first row.
    """

    backend: str
    variant: str
    device: str
    precision: str
    input_size: int
    load_s: float
    min_ms: float
    p50_ms: float
    p95_ms: float
    cov_percent: float
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float
    ratio: float


def benchmark(
    choices: Sequence[Parameters],
    size: tuple[int, int],
    pairs: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """Time each of `choices` on one image of `size` (width, height), `pairs` times in turn.

    The first is the baseline. Raises what loading a backend raises.
    """
    image, _ = World('room', size=size).picture(0.0)
    backends: list[DepthBackend] = []
    load_s = []
    for parameters in choices:
        start_s = time.perf_counter()
        backends.append(load_backend(parameters))
        load_s.append(time.perf_counter() - start_s)
        backends[-1].infer(image)
    total_ms = np.zeros((len(choices), pairs))
    stages: list[list[StageTimes]] = [[] for _ in choices]
    for pair in range(pairs):
        for index, backend in enumerate(backends):
            times = StageTimes()
            start_s = time.perf_counter()
            backend.infer(image, times)
            total_ms[index, pair] = (time.perf_counter() - start_s) * 1e3
            stages[index].append(times)
            on_progress(pair * len(choices) + index + 1, pairs * len(choices))
    rows = []
    for index, backend in enumerate(backends):
        window = Window(pairs)
        for value in total_ms[index]:
            window.add(float(value))
        lowest, median, high = window.percentiles(0, 50, 95)
        parts = {
            f'{name}_ms': float(np.median([t.ms.get(name, 0.0) for t in stages[index]]))
            for name in ('preprocess', 'infer', 'postprocess')
        }
        info = backend.info
        rows.append(
            Row(
                info.name,
                info.variant,
                info.device,
                info.precision,
                info.input_size,
                load_s[index],
                lowest,
                median,
                high,
                window.cov_percent(),
                ratio=float(np.median(total_ms[0] / total_ms[index])),
                **parts,
            )
        )
        backend.close()
    return rows
