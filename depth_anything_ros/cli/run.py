"""`demo` and `run`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from tqdm import tqdm

from depth_anything_ros.cli.options import NETWORK, Verbs, add_parameters, parameters_of, positive
from depth_anything_ros.cli.terminal import fetch, follow, load
from depth_anything_ros.reports.plain_json import plain_json

__all__ = ['add']


def add(verbs: Verbs) -> None:
    """Declare the verbs and their options."""
    demo = verbs.add_parser('demo', help='the running node on two simulated drives')
    demo.add_argument('--out', type=Path, default=Path('demo'), help='folder of the results')
    demo.add_argument('--seconds', type=positive, default=2.0, help='length of each drive')
    demo.add_argument('--rate', type=positive, default=30.0, help='images per second')
    add_parameters(demo, (*NETWORK, 'color.map'), {'variant': 'demo'})
    demo.set_defaults(verb=_demo)

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
    add_parameters(run, (*NETWORK, 'output.max_side', 'relative.normalization', 'color.map'), {})
    run.set_defaults(verb=_run)


def _demo(options: argparse.Namespace) -> int:
    from lab import demo

    parameters = parameters_of(options)
    fetch(parameters)
    print('driving through a simulated room and road')
    with tqdm(unit='measurement', disable=None, leave=False) as bar:
        demo.drive(options.out, options.seconds, options.rate, follow(bar))
    print('replaying both to the node')
    return demo.show(options.out, parameters, options.rate)


def _run(options: argparse.Namespace) -> int:
    from depth_anything_ros.estimator.stream import DepthStream
    from depth_anything_ros.media import files

    source = files.open_source(options.input)
    # Stills have nothing to do with each other: each is normalised by itself.
    steady = {} if source.moving else {'relative.smoothing_s': 0.0}
    parameters = parameters_of(options, **steady)
    with tqdm(total=source.length or None, unit='frame', disable=None) as bar:
        backend = load(parameters)
        summary = files.run(
            source,
            DepthStream(backend, parameters),
            options.output,
            tuple(options.save),
            lambda _: bar.update(),
        )
        rate_hz = bar.format_dict['rate']
    backend.close()
    if options.json:
        print(plain_json(dataclasses.asdict(summary) | {'rate_hz': rate_hz}))
    else:
        for message in summary.failed.values():
            print(f'left out: {message}', file=sys.stderr)
        ending = ', stopped by Ctrl-C' if summary.interrupted else ''
        print(f'{summary.written} frames in {options.output}{ending}')
    # Ctrl-C is how a webcam ends.
    cut_short = summary.interrupted and not source.live
    return 1 if summary.failed or cut_short else 0
