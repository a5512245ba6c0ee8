"""`depth_anything`: verbs over the api of the folders beside this file.

Exit status: 0 done, 1 a check failed or something was left out, 2 bad usage or input.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from depth_anything_ros import __version__
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters, entries, parameters_from_flat
from depth_anything_ros.model.variants import Checkpoint

if TYPE_CHECKING:
    from depth_anything_ros.model.hub import OnProgress

__all__ = ['main']

_NETWORK = (
    'variant',
    'checkpoint',
    'weights',
    'allow_download',
    'device',
    'backend',
    'precision',
    'input_size',
    'threads',
)


def main(args: list[str] | None = None) -> int:
    """Run one verb and give its exit status."""
    parser = _parser()
    options = parser.parse_args(args)
    try:
        status: int = options.verb(options)
        sys.stdout.flush()
        return status
    except DepthAnythingError as error:
        print(f'depth_anything: {error}', file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith('depth_anything_ros'):
            raise
        mend = 'source ROS 2' if error.name == 'rclpy' else f'pip install {error.name}'
        print(f'depth_anything: this needs {error.name}, not installed: {mend}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('depth_anything: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, head say, has gone; Python would complain once more on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='depth_anything', description='Depth from one camera with Depth Anything V2.'
    )
    parser.add_argument('--version', action='version', version=__version__)
    verbs = parser.add_subparsers(required=True, metavar='VERB')

    demo = verbs.add_parser('demo', help='the running node on two simulated drives')
    demo.add_argument('--out', type=Path, default=Path('demo'), help='folder of the results')
    demo.add_argument('--seconds', type=_positive, default=2.0, help='length of each drive')
    demo.add_argument('--rate', type=_positive, default=30.0, help='images per second')
    _add_parameters(demo, (*_NETWORK, 'color.map'), {'variant': 'demo'})
    demo.set_defaults(verb=_demo)

    bag = verbs.add_parser('bag', help='bags to test with')
    bags = bag.add_subparsers(required=True, metavar='ACTION')
    sample = bags.add_parser('sample', help='a simulated drive with every sensor and true depth')
    sample.add_argument('output', metavar='OUT', type=Path, help='the bag to write, a new folder')
    sample.add_argument('--scene', default='room', help='room or road (default: room)')
    sample.add_argument('--seconds', type=_positive, default=6.0, help='default: 6')
    sample.add_argument('--rate', type=_positive, default=10.0, help='images/s (default: 10)')
    sample.add_argument('--size', type=_size, default=(640, 480), help='default: 640x480')
    sample.add_argument('--seed', type=int, default=0, help='which scene (default: 0)')
    sample.add_argument('--storage', default='mcap', help='mcap or sqlite3 (default: mcap)')
    sample.add_argument('--json', action='store_true', help='print the counts as JSON')
    sample.set_defaults(verb=_bag_sample)

    run = verbs.add_parser('run', help='depth of images, folders, videos or a webcam, no ROS')
    run.add_argument('input', metavar='IN', help="image, folder, video, 'webcam' or 'webcam:N'")
    run.add_argument('output', metavar='OUT', type=Path, help='folder, or a .png or .mp4 file')
    run.add_argument(
        '--save',
        nargs='+',
        choices=('color', 'side_by_side', 'png16', 'npy'),
        default=['color'],
        help='what to write for each frame (default: color)',
    )
    run.add_argument('--json', action='store_true', help='print the summary as JSON')
    _add_parameters(run, (*_NETWORK, 'output.max_side', 'relative.normalization', 'color.map'), {})
    run.set_defaults(verb=_run)

    bench = verbs.add_parser('bench', help='time the network, or judge the metric alignment')
    bench.add_argument(
        'what',
        nargs='?',
        choices=('network', 'alignment'),
        default='network',
        help='network: ratios to --baseline, in turn; alignment: accuracy on simulated scenes',
    )
    bench.add_argument('--baseline', choices=('upstream', 'torch'), default='upstream')
    bench.add_argument(
        '--precisions', nargs='+', choices=('fp32', 'fp16', 'bf16'), default=['fp32']
    )
    bench.add_argument('--size', type=_size, default=(640, 480), help='default: 640x480')
    bench.add_argument('--pairs', type=int, default=9, help='rounds (default: 9)')
    bench.add_argument('--scenes', type=int, default=32, help='per cell (default: 32)')
    bench.add_argument('--json', action='store_true', help='print JSON')
    timed = ('variant', 'weights', 'allow_download', 'device', 'input_size', 'threads')
    _add_parameters(bench, timed, {'weights': 'random'})
    bench.set_defaults(verb=_bench)

    weights = verbs.add_parser('weights', help='list, fetch or verify checkpoints')
    actions = weights.add_subparsers(required=True, metavar='ACTION')
    for name, verb, text in (
        ('list', _weights_list, 'the released checkpoints and which are here'),
        ('fetch', _weights_fetch, 'download one into the cache and verify it'),
        ('verify', _weights_verify, 'check the one that would be used, without the network'),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument('--json', action='store_true', help='print JSON')
        if name == 'fetch':
            _add_parameters(action, ('variant', 'checkpoint'), {})
        elif name == 'verify':
            names = ('variant', 'checkpoint', 'weights')
            _add_parameters(action, names, {'variant': None, 'checkpoint': None})
        action.set_defaults(verb=verb)
    return parser


def _add_parameters(
    parser: argparse.ArgumentParser, names: tuple[str, ...], defaults: dict[str, Any]
) -> None:
    """Add parameters of the node as options, `output.max_side` as --output-max-side."""
    for entry in entries():
        if entry.name not in names:
            continue
        default = defaults.get(entry.name, entry.default)
        kind: dict[str, Any] = (
            {'action': argparse.BooleanOptionalAction}
            if entry.kind is bool
            else {'type': entry.kind, 'choices': entry.choices or None}
        )
        parser.add_argument(
            '--' + entry.name.replace('.', '-').replace('_', '-'),
            dest=entry.name,
            default=default,
            help=f'{entry.description} Default: {default!r}.'.replace('%', '%%'),
            **kind,
        )


def _parameters(options: argparse.Namespace, **fixed: Any) -> Parameters:
    names = {entry.name for entry in entries()}
    given = {name: value for name, value in vars(options).items() if name in names}
    return parameters_from_flat(given | fixed)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text} is no size: give it as 640x480')
    return int(match[1]), int(match[2])


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is not a positive number')
    return value


def _demo(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies import demo

    parameters = _parameters(options)
    _fetch(parameters)
    print('driving through a simulated room and road')
    with tqdm(unit='measurement', disable=None, leave=False) as bar:
        demo.drive(options.out, options.seconds, options.rate, _follow(bar))
    print('replaying both to the node')
    return demo.show(options.out, parameters, options.rate)


def _bag_sample(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.sample import write_sample_bag

    with tqdm(unit='measurement', disable=None) as bar:
        summary = write_sample_bag(
            options.output,
            options.scene,
            options.seconds,
            options.rate,
            options.size,
            options.seed,
            options.storage,
            on_progress=_follow(bar),
        )
    if options.json:
        print(json.dumps(dataclasses.asdict(summary), indent=2, default=str))
    else:
        for topic, count in summary.counts.items():
            print(f'{count:6d}  {topic}')
        print(f'in {summary.path}')
    return 0


def _run(options: argparse.Namespace) -> int:
    from depth_anything_ros import files
    from depth_anything_ros.pipeline import DepthPipeline

    source = files.open_source(options.input)
    # Stills have nothing to do with each other: each is normalised by itself.
    steady = {} if source.moving else {'relative.smoothing_s': 0.0}
    parameters = _parameters(options, **steady)
    with tqdm(total=source.length or None, unit='frame', disable=None) as bar:
        backend = _load(parameters)
        summary = files.run(
            source,
            DepthPipeline(backend, parameters),
            options.output,
            tuple(options.save),
            lambda _: bar.update(),
        )
        rate_hz = bar.format_dict['rate']
    backend.close()
    if options.json:
        print(json.dumps(dataclasses.asdict(summary) | {'rate_hz': rate_hz}, indent=2))
    else:
        for message in summary.failed.values():
            print(f'left out: {message}', file=sys.stderr)
        ending = ', stopped by Ctrl-C' if summary.interrupted else ''
        print(f'{summary.written} frames in {options.output}{ending}')
    # Ctrl-C is how a webcam ends.
    cut_short = summary.interrupted and not source.live
    return 1 if summary.failed or cut_short else 0


def _fetch(parameters: Parameters) -> None:
    from depth_anything_ros.pipeline import fetch_weights

    with tqdm(unit='B', unit_scale=True, disable=None, leave=False) as bar:
        fetch_weights(parameters, _follow_download(bar))


def _load(parameters: Parameters) -> Any:
    from depth_anything_ros.pipeline import load_backend

    _fetch(parameters)
    backend = load_backend(parameters)
    for notice in backend.info.weights.notices():
        print(f'warning: {notice}', file=sys.stderr)
    return backend


def _bench(options: argparse.Namespace) -> int:
    return _bench_alignment(options) if options.what == 'alignment' else _bench_network(options)


def _bench_alignment(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies import bench_alignment

    if options.scenes < 1:
        raise SettingError(f'--scenes is {options.scenes}: give 1 or more')
    with tqdm(unit='cell', disable=None, leave=False) as bar:
        rows = bench_alignment.run(options.scenes, on_progress=_follow(bar))
    if options.json:
        print(bench_alignment.json_text(rows))
    else:
        bench_alignment.print_table(rows)
    return 0


def _bench_network(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.benchmark import benchmark

    if options.pairs < 1:
        raise SettingError(f'--pairs is {options.pairs}: give 1 or more')
    baseline = _parameters(options, backend=options.baseline, precision='auto')
    _fetch(baseline)
    rows = [_parameters(options, backend='torch', precision=p) for p in options.precisions]
    with tqdm(unit='image', disable=None, leave=False) as bar:
        timed = benchmark([baseline, *rows], options.size, options.pairs, _follow(bar))
    columns = ('backend', 'variant', 'device', 'precision', 'input_size')
    figures = ('min_ms', 'p50_ms', 'p95_ms', 'cov_percent', 'ratio')
    return _print_rows(timed, (*columns, *figures), options.json)


def _weights_list(options: argparse.Namespace) -> int:
    from depth_anything_ros.model import inventory

    return _print_rows(
        inventory.list_rows(),
        ('variant', 'checkpoint', 'size_bytes', 'licence', 'path'),
        options.json,
    )


def _weights_fetch(options: argparse.Namespace) -> int:
    from depth_anything_ros.model import weights

    with tqdm(unit='B', unit_scale=True, disable=None) as bar:
        found = weights.fetch(
            options.variant, Checkpoint(options.checkpoint), _follow_download(bar)
        )
    return _print_rows([found], ('variant', 'checkpoint', 'licence', 'path'), options.json)


def _weights_verify(options: argparse.Namespace) -> int:
    from depth_anything_ros.model import inventory

    checkpoint = Checkpoint(options.checkpoint) if options.checkpoint else None
    rows = inventory.verify(options.variant, checkpoint, options.weights)
    _print_rows(rows, ('variant', 'checkpoint', 'state', 'path', 'message'), options.json)
    sound = (inventory.FileState.OK, inventory.FileState.UNKNOWN, inventory.FileState.MISSING)
    return 0 if all(row.state in sound for row in rows) else 1


def _follow(bar: tqdm[Any]) -> Callable[[int, int], None]:
    """Give a callback that moves `bar` to (done, total)."""

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return show


def _follow_download(bar: tqdm[Any]) -> OnProgress:
    follow = _follow(bar)
    return lambda percent, done, total: follow(done, total)


def _print_rows(items: Sequence[Any], columns: Sequence[str], as_json: bool) -> int:
    """Print dataclasses whole as JSON, or some of their fields as a table."""
    rows = [dataclasses.asdict(item) for item in items]
    if as_json:
        print(json.dumps(rows, indent=2, default=str))
        return 0
    table = [list(columns)]
    table += [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = zip(line, widths, strict=True)
        print('  '.join(text.ljust(width) for text, width in cells).rstrip())
    return 0


def _cell(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return f'{value:.4g}'
    return '-' if value in (None, '') else str(value)


if __name__ == '__main__':
    sys.exit(main())
