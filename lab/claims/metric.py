"""What metric depth costs for one frame: milliseconds of every stage behind the network."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField

from depth_anything_ros.cli.options import add_size, require_some
from depth_anything_ros.cli.terminal import print_rows
from depth_anything_ros.core.parameters import CloudParameters, ScanParameters
from depth_anything_ros.core.types import ReferenceSamples
from depth_anything_ros.messages.point_clouds import CloudWriter
from depth_anything_ros.metric.alignment import AlignmentConfig, ScaleAligner
from depth_anything_ros.metric.cloud import cloud_from_depth
from depth_anything_ros.metric.virtual_scan import scan_from_depth
from lab import command
from lab.world.degradation import degraded, sampled_reference
from lab.world.world import World

__all__ = ['MetricCost', 'bench_metric', 'main']

_PERIOD_NS = 33_000_000


@dataclass(frozen=True)
class MetricCost:
    """Milliseconds of one stage; `budget_ms` is what it may cost on two CPU cores, NaN for any."""

    stage: str
    min_ms: float
    p50_ms: float
    p95_ms: float
    budget_ms: float


def bench_metric(size: tuple[int, int], samples: int, rounds: int) -> list[MetricCost]:
    """Time each stage on a simulated room of `size`, aligned with `samples` samples."""
    world = World('room', 0, size=size)
    bgr, truth = world.picture(1.0)
    inverse_depth = degraded(truth)
    drawn = sampled_reference(truth, samples, 0, outliers=0.1)
    reference = ReferenceSamples(drawn.u, drawn.v, drawn.depth_m)
    refined, plain = (
        ScaleAligner(AlignmentConfig(refinement=refinement)) for refinement in (True, False)
    )
    stamps = iter(range(0, 2**62, _PERIOD_NS))
    alignment = refined.update(inverse_depth, reference, next(stamps))
    depth_m = alignment.metric_depth(inverse_depth)
    sigma_m = alignment.sigma_of(depth_m)
    level = world.base(1.0).inverse() @ world.camera_pose(1.0)
    writer = CloudWriter(PointField, color=True, sigma=False)
    settings = CloudParameters()

    def cloud() -> None:
        made = cloud_from_depth(depth_m, world.camera, settings, bgr=bgr, sigma_m=sigma_m)
        writer.fill(PointCloud2(), made)

    stages: list[tuple[str, Callable[[], object], float]] = [
        (
            f'align {samples} samples',
            lambda: plain.update(inverse_depth, reference, next(stamps)),
            5,
        ),
        (
            'the same, refined',
            lambda: refined.update(inverse_depth, reference, next(stamps)),
            12,
        ),
        ('metric depth', lambda: alignment.metric_depth(inverse_depth), np.nan),
        ('sigma', lambda: alignment.sigma_of(depth_m), np.nan),
        (f'xyzrgb cloud, stride {settings.stride}, with message', cloud, 6),
        (
            'scan',
            lambda: scan_from_depth(depth_m, world.camera, level, ScanParameters()),
            np.nan,
        ),
    ]
    return [_timed(*stage, rounds) for stage in stages]


def _timed(name: str, run: Callable[[], object], budget_ms: float, rounds: int) -> MetricCost:
    run()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        taken.append((time.perf_counter() - start) * 1e3)
    p50, p95 = np.percentile(taken, (50, 95))
    return MetricCost(name, min(taken), float(p50), float(p95), budget_ms)


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.metric', __doc__)
    add_size(parser)
    parser.add_argument(
        '--samples', type=int, metavar='N', default=4096, help='default: %(default)s'
    )
    parser.add_argument(
        '--rounds', type=int, metavar='N', default=100, help='default: %(default)s'
    )
    command.add_json(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'samples', 'rounds')
    costs = bench_metric(options.size, options.samples, options.rounds)
    return print_rows(costs, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
