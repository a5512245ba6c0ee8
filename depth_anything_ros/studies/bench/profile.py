"""Where the time of a network goes, as OpenVINO counts it, and how near the peak that is."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.measure import Bench, BenchPlan, picture
from depth_anything_ros.studies.bench.network_worker import NetworkWorker
from depth_anything_ros.studies.bench.work import gflop_of_row

__all__ = ['Part', 'profile']


@dataclass(frozen=True)
class Part:
    """Operations of one kind: their number, milliseconds for an image, and share of all time.

    `gflop` counts multiplications and additions of matrix products, `gflops` those in a second,
    `peak_percent` that against the best measured rate of large products in the same precision.
    None where there are none, or no peak is known.
    """

    variant: str
    input_size: int
    precision: str
    part: str
    operations: int
    ms: float
    share_percent: float
    gflop: float | None = None
    gflops: float | None = None
    peak_percent: float | None = None


def profile(configuration: Configuration, size: tuple[int, int], calls: int) -> list[Part]:
    """Return the parts of a network for an image of `size` (width, height), the longest first.

    Raises DepthAnythingError where OpenVINO cannot run it.
    """
    with Bench(BenchPlan(size)) as bench:
        with bench.ready(configuration) as process:
            found = process.call(NetworkWorker.profile, configuration, picture(size), calls)
        peak = bench.peak_gflops('cpu', found.precision, configuration.threads)
    gflop = gflop_of_row(configuration.variant, configuration.weights, size, found.input_size)
    total_ms = sum(ms for _, ms in found.parts.values())
    parts = []
    for name, (operations, ms) in found.parts.items():
        work = gflop.get(name)
        gflops = None if work is None else work / ms * 1e3
        percent = None if gflops is None or peak is None else 100.0 * gflops / peak
        share = 100.0 * ms / total_ms
        network = configuration.variant, found.input_size, found.precision
        parts.append(Part(*network, name, operations, ms, share, work, gflops, percent))
    return sorted(parts, key=lambda part: -part.ms)
