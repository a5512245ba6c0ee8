"""`run`: depth of images, folders, videos or a webcam, without ROS."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from tqdm import tqdm

from depth_anything_ros.cli.options import add_network, add_parameters, parameters_of
from depth_anything_ros.cli.parser import Parser
from depth_anything_ros.cli.terminal import load
from depth_anything_ros.reports.text import plain_json

__all__ = ['declare']


def declare(run: Parser) -> None:
    """Declare the options."""
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
    add_parameters(run, ('output.max_side', 'relative.normalization', 'color.map'), {})
    add_network(run)
    run.set_defaults(verb=_run)


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
