"""Throughput, latency and memory of the node over many frames."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from depth_anything_ros.cli.options import add_size, positive, require_some
from depth_anything_ros.cli.terminal import progress
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import Jitter
from depth_anything_ros.reports.text import plain_json
from lab import command
from lab.camera_views import views
from lab.isolation import isolated_domain
from lab.live_node import NODE, Peer, latencies_ms, node_arguments, process
from lab.process_memory import MemorySample, memory_of

__all__ = ['Soak', 'bench_soak', 'main', 'print_table', 'robust_slope']

_COLOR = f'{NODE}/relative/image_color'
_OUTPUTS = {
    f'{NODE}/relative/image': Image,
    _COLOR: Image,
    f'{NODE}/depth/image': Image,
    f'{NODE}/depth/camera_info': CameraInfo,
    f'{NODE}/points': PointCloud2,
}
_ANSWER_S = 2.0
"""Longest wait for an answer before the next image goes out, in seconds."""

_SAMPLES = 200
_SHOWN = 10
_WARM_UP = 0.2
"""Share of the frames during which buffers and caches may still grow."""


@dataclass(frozen=True)
class Soak:
    """How `sent` images went; latency is from the stamp of an image to its publication.

    Slopes are KB per frame after the warm-up. `drops` counts by cause; `lost_before_node` and
    `lost_after_node` never reached it, or the listener.
    """

    sent: int
    processed: int
    seconds: float
    output_hz: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    jitter_ms: float
    metric: int
    drops: dict[str, int]
    slope_kb: float
    slope_least_squares_kb: float
    slope_anonymous_kb: float
    memory: tuple[MemorySample, ...]


def bench_soak(
    frames: int,
    parameters: Parameters,
    rate_hz: float | None = None,
    size: tuple[int, int] = (640, 480),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Soak:
    """Feed images of `size` (width, height) with a metric reference to the node.

    Without `rate_hz` the next one goes out when the last is processed. Raises DepthAnythingError
    if the node does not start, or ends.
    """
    pictures = views(8, size)
    every = max(1, frames // _SAMPLES)
    with (
        isolated_domain(),
        process('depth_anything_ros.node', node_arguments(parameters)) as child,
        Peer(_OUTPUTS, reference=True) as peer,
    ):
        peer.until_published([child], lambda: peer.send(pictures[0]))
        before = peer.counts()
        published = peer.published[_COLOR]
        memory = [memory_of(child.pid, 0)]
        sent_ns = []
        start_s = time.monotonic()
        for index in range(frames):
            if rate_hz is not None:
                peer.spin_until(start_s + index / rate_hz)
            stamp_ns = peer.send(pictures[index % len(pictures)])
            sent_ns.append(stamp_ns)
            if rate_hz is None:
                peer.until(partial(published.__contains__, stamp_ns), _ANSWER_S)
            if (index + 1) % every == 0:
                memory.append(memory_of(child.pid, index + 1))
            on_progress(index + 1, frames)
        seconds = time.monotonic() - start_s
        after = peer.counts()
    counts = {name: count - before.get(name, 0) for name, count in after.items()}
    got = {stamp_ns: published[stamp_ns] for stamp_ns in sent_ns if stamp_ns in published}
    drops = {
        name.removeprefix('dropped_'): count
        for name, count in counts.items()
        if name.startswith('dropped_')
    }
    drops['lost_before_node'] = frames - counts['frames_in']
    drops['lost_after_node'] = counts['frames_out'] - len(got)
    warm = [sample for sample in memory if sample.frame >= _WARM_UP * frames]
    at = [sample.frame for sample in warm]
    resident = [sample.resident_kb for sample in warm]
    depth = peer.published[f'{NODE}/depth/image']
    return Soak(
        frames,
        len(got),
        seconds,
        len(got) / seconds,
        *_latency(got),
        metric=sum(stamp_ns in depth for stamp_ns in sent_ns),
        drops=drops,
        slope_kb=robust_slope(at, resident),
        slope_least_squares_kb=_least_squares(at, resident),
        slope_anonymous_kb=robust_slope(at, [sample.anonymous_kb for sample in warm]),
        memory=tuple(memory),
    )


def robust_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the median slope over all pairs of points (Theil and Sen); NaN for fewer than two."""
    first, second = np.triu_indices(len(x), 1)
    if not first.size:
        return float('nan')
    across, up = np.asarray(x, float), np.asarray(y, float)
    return float(np.median((up[second] - up[first]) / (across[second] - across[first])))


def print_table(soak: Soak) -> None:
    """Print the figures, and some of the memory samples."""
    drops = ', '.join(f'{name} {count}' for name, count in soak.drops.items())
    print(f'frames      {soak.sent} sent, {soak.processed} processed, {soak.metric} in metres')
    print(f'rate        {soak.output_hz:.1f} Hz over {soak.seconds:.0f} s')
    print(
        f'latency     p50 {soak.p50_ms:.1f} ms, p95 {soak.p95_ms:.1f} ms, p99 '
        f'{soak.p99_ms:.1f} ms, jitter {soak.jitter_ms:.1f} ms'
    )
    print(f'drops       {drops}')
    print(
        f'memory      {soak.slope_kb:+.3f} KB per frame after the first {_WARM_UP:.0%} '
        f'(least squares {soak.slope_least_squares_kb:+.3f}, anonymous memory alone '
        f'{soak.slope_anonymous_kb:+.3f})'
    )
    print('\nframe    resident_mb  anonymous_mb  threads  descriptors')
    shown = np.linspace(0, len(soak.memory) - 1, min(_SHOWN + 1, len(soak.memory))).round()
    for sample in (soak.memory[int(index)] for index in shown):
        print(
            f'{sample.frame:<7d}  {sample.resident_kb / 1024:<11.1f}  '
            f'{sample.anonymous_kb / 1024:<12.1f}  {sample.threads:<7d}  {sample.descriptors}'
        )


def _latency(published_ns: dict[int, int]) -> tuple[float, float, float, float]:
    """Return p50, p95, p99 and the jitter, all in milliseconds, by stamp."""
    jitter = Jitter()
    for stamp_ns, at_ns in published_ns.items():
        jitter.add(at_ns * 1e-9, stamp_ns * 1e-9)
    p50, p95, p99 = latencies_ms(published_ns).percentiles(50, 95, 99)
    return p50, p95, p99, jitter.ms


def _least_squares(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else float('nan')


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.soak', __doc__)
    parser.add_argument(
        '--frames', type=int, metavar='N', default=10_000, help='default: %(default)s'
    )
    parser.add_argument(
        '--rate', type=positive, metavar='HZ', help='default: an image after each result'
    )
    add_size(parser)
    command.add_json(parser)
    command.add_network(parser, ('device', 'backend', 'precision', 'threads'))
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'frames')
    parameters = command.network_of(options, variant='demo')
    with progress('frame') as show:
        soak = bench_soak(options.frames, parameters, options.rate, options.size, show)
    if options.json:
        print(plain_json(soak))
    else:
        print_table(soak)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
