"""`bench` and `prove`: figures, and the truth of metric depth."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from tqdm import tqdm

from depth_anything_ros.cli import bench_network
from depth_anything_ros.cli.options import (
    NETWORK,
    Verbs,
    add_parameters,
    parameters_of,
    positive,
    require_some,
    size,
)
from depth_anything_ros.cli.terminal import fetch, follow, load, print_rows
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import entries
from depth_anything_ros.reports.plain_json import plain_json

__all__ = ['add']


def add(verbs: Verbs) -> None:
    """Declare the verbs and their options."""
    bench = verbs.add_parser('bench', help='time the network, or judge the metric alignment')
    bench.add_argument(
        'what',
        nargs='?',
        choices=tuple(_BENCHES),
        default='network',
        help='network: a row for each of the lists below, in turn with --baseline; start: seconds '
        'until the first answer; table: both, for docs/benchmarks.md; accuracy: what a precision '
        'costs on simulated scenes; profile: where the time of a network goes; alignment: how '
        'good metric depth is on simulated scenes; polarity: whether a negated reference gives '
        'metres on simulated drives; metric: milliseconds of the stages behind the network; '
        'stages: of every stage of a frame from message to messages, with and without metres; '
        'over DDS, in a process of its own: '
        'node: latency with a camera of --rate; soak: pace and memory of the node with the demo '
        'network over --frames; overload: too many images for a network of 100 ms, beside a naive '
        'subscriber; services: how soon they answer while the network runs; cameras: three of '
        'them on one network, one unplugged and back; bag: `bag process` beside the pipeline '
        'alone',
    )
    bench.add_argument(
        'bag', nargs='?', metavar='BAG', type=Path, help='of bag (default: a new sample)'
    )
    bench.add_argument(
        '--baseline',
        default='upstream',
        metavar='BACKEND[:PRECISION]',
        help='what network is held against, or none (default: upstream, as it is published)',
    )
    bench.add_argument(
        '--batch',
        type=bench_network.batches,
        metavar='INT,...',
        help='images at once, of network (default: 1)',
    )
    bench.add_argument('--size', type=size, default=(640, 480), help='default: 640x480')
    bench.add_argument(
        '--scenes',
        type=int,
        default=32,
        help='of accuracy; of each cell of alignment (default: 32)',
    )
    bench.add_argument('--pairs', type=int, default=5, help='rounds of bag (default: 5)')
    bench.add_argument('--drives', type=int, default=16, help='of polarity (default: 16)')
    bench.add_argument('--samples', type=int, default=4096, help='of metric (default: 4096)')
    bench.add_argument(
        '--rounds', type=int, default=100, help='of metric and stages (default: 100)'
    )
    bench.add_argument(
        '--frames',
        type=int,
        help='calls a row of network, or profile (default: 20); of soak (default: 10000); of bag '
        '(default: as it has)',
    )
    bench.add_argument(
        '--rate',
        '--hz',
        type=positive,
        help='Hz of the camera of node (default: 30); of soak, by default the next image comes '
        'after the answer; of cameras (10)',
    )
    bench.add_argument(
        '--seconds',
        type=positive,
        help='most a row of network (default: 60); of node (default: 20), of overload or each '
        'phase of cameras (default: 30)',
    )
    bench.add_argument(
        '--metric', action='store_true', help='node: with a reference, metric depth and a cloud'
    )
    bench.add_argument('--calls', type=int, default=200, help='of services (default: 200)')
    shown = bench.add_mutually_exclusive_group()
    shown.add_argument('--json', action='store_true', help='print JSON')
    shown.add_argument('--markdown', action='store_true', help='print Markdown')
    bench.add_argument('--plot', type=Path, metavar='FILE.png', help='draw network')
    bench_network.add_grid(bench, 'A list gives a row for each.')
    bench.set_defaults(verb=_bench)

    prove = verbs.add_parser(
        'prove', help='metric depth by each reference of a bag, judged by its true depth'
    )
    prove.add_argument('bags', metavar='BAG', nargs='+', type=Path, help='from `bag sample`')
    prove.add_argument(
        '--degraded',
        action='store_true',
        help='in place of a network, take the truth with the errors that Depth Anything V2 has',
    )
    prove.add_argument('--json', action='store_true', help='print JSON')
    metric = tuple(
        entry.name
        for entry in entries()
        if entry.name.startswith(('reference.', 'alignment.', 'metric.'))
        and entry.name != 'reference.type'
    )
    defaults = {'variant': 'demo', 'reference.fixed_frame': 'odom'}
    add_parameters(prove, (*NETWORK, *metric), defaults)
    prove.set_defaults(verb=_prove)


def _bench(options: argparse.Namespace) -> int:
    if options.bag is not None and options.what != 'bag':
        raise SettingError(f'bench {options.what} reads no bag: leave out {options.bag}')
    if options.what not in _OF_LISTS:
        bench_network.only(options)
    return _BENCHES[options.what](options)


def _bench_alignment(options: argparse.Namespace) -> int:
    from lab.claims import alignment as bench_alignment

    require_some(options, 'scenes')
    with tqdm(unit='cell', disable=None, leave=False) as bar:
        rows = bench_alignment.run(options.scenes, on_progress=follow(bar))
    if options.json:
        print(plain_json(rows))
    else:
        bench_alignment.print_table(rows)
    return 0


def _bench_polarity(options: argparse.Namespace) -> int:
    from lab.claims.polarity import PolarityRow, bench_polarity

    require_some(options, 'drives')
    with tqdm(unit='drive', disable=None, leave=False) as bar:
        rows = bench_polarity(options.drives, on_progress=follow(bar))
    columns = [field.name for field in dataclasses.fields(PolarityRow)]
    return print_rows(rows, columns, options.json)


def _bench_node(options: argparse.Namespace) -> int:
    from lab.claims.node import (
        Camera,
        NodeTimes,
        bench_node,
        table_text,
    )

    rate_hz, seconds = options.rate or 30.0, options.seconds or 20.0
    camera = Camera(rate_hz, seconds, options.size, options.metric)
    rows: list[NodeTimes] = []
    left_out: list[str] = []
    with tqdm(unit='s', disable=None, leave=False) as bar:
        for one in bench_network.configurations(options):
            try:
                rows.append(bench_node(one.parameters(), camera, on_progress=follow(bar)))
            except DepthAnythingError as error:
                left_out.append(f'{one.variant} {one.input_size} {one.backend}: {error}')
    for line in left_out:
        print(f'left out: {line}', file=sys.stderr)
    if not rows:
        return 1
    if options.json:
        return print_rows(rows, (), as_json=True)
    print(table_text(rows))
    return 0


def _bench_metric(options: argparse.Namespace) -> int:
    from lab.claims.metric import bench_metric

    require_some(options, 'samples', 'rounds')
    costs = bench_metric(options.size, options.samples, options.rounds)
    return print_rows(costs, ('stage', 'min_ms', 'p50_ms', 'p95_ms', 'budget_ms'), options.json)


def _bench_stages(options: argparse.Namespace) -> int:
    from lab.claims.stages import StageCost, bench_stages

    require_some(options, 'rounds')
    parameters = parameters_of(options)
    fetch(parameters)
    with tqdm(unit='frame', disable=None, leave=False) as bar:
        costs = bench_stages(parameters, options.rounds, options.size, follow(bar))
    columns = [field.name for field in dataclasses.fields(StageCost)]
    return print_rows(costs, columns, options.json)


def _bench_soak(options: argparse.Namespace) -> int:
    from lab.claims import soak as bench_soak

    require_some(options, 'frames')
    frames = options.frames or 10_000
    parameters = parameters_of(options, variant='demo', weights='')
    with tqdm(unit='frame', disable=None, leave=False) as bar:
        soak = bench_soak.bench_soak(frames, parameters, options.rate, options.size, follow(bar))
    if options.json:
        print(plain_json(soak))
    else:
        bench_soak.print_table(soak)
    return 0


def _bench_overload(options: argparse.Namespace) -> int:
    from lab.claims.overload import Overload, bench_overload

    with tqdm(unit='s', disable=None, leave=False) as bar:
        rows = bench_overload(options.seconds or 30.0, size=options.size, on_progress=follow(bar))
    return print_rows(rows, [field.name for field in dataclasses.fields(Overload)], options.json)


def _bench_services(options: argparse.Namespace) -> int:
    from lab.claims.services import ServiceTimes, bench_services

    require_some(options, 'calls')
    parameters = parameters_of(options)
    fetch(parameters)
    with tqdm(unit='call', disable=None, leave=False) as bar:
        rows = bench_services(
            parameters, options.calls, size=options.size, on_progress=follow(bar)
        )
    columns = [field.name for field in dataclasses.fields(ServiceTimes)]
    return print_rows(rows, columns, options.json)


def _bench_cameras(options: argparse.Namespace) -> int:
    from lab.claims.cameras import CameraRun, bench_cameras

    parameters = parameters_of(options)
    fetch(parameters)
    with tqdm(unit='s', disable=None, leave=False) as bar:
        rows = bench_cameras(
            parameters,
            rate_hz=options.rate or 10.0,
            seconds=options.seconds or 30.0,
            size=options.size,
            on_progress=follow(bar),
        )
    return print_rows(rows, [field.name for field in dataclasses.fields(CameraRun)], options.json)


def _bench_bag(options: argparse.Namespace) -> int:
    from lab.claims.bag import BagCost, bench_bag

    require_some(options, 'pairs', 'frames')
    parameters = parameters_of(options)
    fetch(parameters)
    with tqdm(unit='round', disable=None, leave=False) as bar:
        rows = bench_bag(parameters, options.bag, options.frames, options.pairs, follow(bar))
    return print_rows(rows, [field.name for field in dataclasses.fields(BagCost)], options.json)


_BENCHES = {
    'network': bench_network.network,
    'start': bench_network.start,
    'table': bench_network.table,
    'accuracy': bench_network.accuracy,
    'profile': bench_network.profile,
    'node': _bench_node,
    'alignment': _bench_alignment,
    'polarity': _bench_polarity,
    'metric': _bench_metric,
    'stages': _bench_stages,
    'soak': _bench_soak,
    'overload': _bench_overload,
    'services': _bench_services,
    'cameras': _bench_cameras,
    'bag': _bench_bag,
}

_OF_LISTS = ('network', 'start', 'table', 'accuracy', 'profile', 'node')
"""Those that make a row of each value; the others take one."""


def _prove(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag import prove
    from lab.degraded_truth import degraded_truth_of

    parameters = parameters_of(options)
    backend = None if options.degraded else load(parameters)
    rows: list[prove.Proof] = []
    with tqdm(unit='image', disable=None, leave=False) as bar:
        for bag in options.bags:
            network = backend or degraded_truth_of(bag)
            rows += prove.prove(bag, network, parameters, lambda _: bar.update())
    columns = [field.name for field in dataclasses.fields(prove.Proof)]
    return print_rows(rows, columns, options.json)
