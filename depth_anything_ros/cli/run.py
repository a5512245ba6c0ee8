"""`run`: depth of images, folders, videos or a webcam, without ROS."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from depth_anything_ros.cli.options import add_network, add_parameters, parameters_of, positive
from depth_anything_ros.cli.parser import Parser
from depth_anything_ros.cli.terminal import load
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.reports.text import plain_json

__all__ = ['declare']

_FORMATS = (
    'color',
    'side_by_side',
    'png16',
    'npy',
    'exr',
    'depth_mm',
    'depth_m',
    'depth_exr',
)


def declare(run: Parser) -> None:
    """Declare the options."""
    run.add_argument('input', metavar='IN', help="image, folder, video, 'webcam' or 'webcam:N'")
    run.add_argument(
        'output', metavar='OUT', type=Path, help='folder, or a .png, .npy, .exr, .mp4 or .mkv'
    )
    run.add_argument(
        '--save',
        nargs='+',
        choices=_FORMATS,
        metavar='FORMAT',
        help=f'what to write for each frame: {", ".join(_FORMATS)} (default: color, or as OUT '
        'ends; depth_... is metric and needs a metric checkpoint)',
    )
    run.add_argument('--recursive', action='store_true', help='search the folders in IN, too')
    run.add_argument(
        '--sequence',
        metavar='FPS',
        type=positive,
        nargs='?',
        const=30.0,
        help='the pictures of IN are frames of a film (default of FPS: 30)',
    )
    run.add_argument(
        '--skip-existing', action='store_true', help='leave out pictures whose output is there'
    )
    run.add_argument('--json', action='store_true', help='print the summary as JSON')
    add_parameters(run, ('output.max_side', 'relative.normalization', 'color.map'), {})
    add_network(run)
    run.set_defaults(verb=_run)


def _run(options: argparse.Namespace) -> int:
    from depth_anything_ros.backends.base import NetworkOutput
    from depth_anything_ros.bag.signals import stop_signals
    from depth_anything_ros.estimator.stream import DepthStream
    from depth_anything_ros.media.formats import METRIC, one_of
    from depth_anything_ros.media.job import run
    from depth_anything_ros.media.outputs import open_outputs
    from depth_anything_ros.media.sources import open_source
    from depth_anything_ros.media.tally import printable

    source = open_source(
        options.input,
        recursive=options.recursive,
        sequence_hz=options.sequence,
        out=options.output,
    )
    if options.skip_existing and (source.moving or source.single):
        raise SettingError(
            '--skip-existing is for a folder of separate pictures: leave it out for '
            f'{options.input}'
        )
    by_ending = one_of(options.output.suffix.lower()) or _FORMATS
    formats = tuple(dict.fromkeys(options.save or by_ending[:1]))
    # Stills have nothing to do with each other: each is normalised by itself.
    steady = {} if source.moving else {'relative.smoothing_s': 0.0}
    parameters = parameters_of(options, **steady)
    outputs = open_outputs(source, options.output, formats, parameters.output.max_side)
    backend = load(parameters)
    metric = sorted(METRIC.intersection(formats))
    if metric and backend.info.output is not NetworkOutput.METRES:
        raise SettingError(
            f'--save {metric[0]} is in metres, and this checkpoint gives relative depth: add '
            '--checkpoint metric_indoor or metric_outdoor'
        )
    bar = tqdm(total=source.length or None, unit='frame', disable=None)
    with stop_signals() as stopped, bar:
        summary = run(
            source,
            DepthStream(backend, parameters),
            outputs,
            skip_existing=options.skip_existing,
            on_frame=lambda _: bar.update(),
            stopped=stopped,
        )
    backend.close()
    for title, tally in (
        ('skipped', summary.skipped),
        ('note', summary.changed),
        ('no depth of its own' if source.moving else 'left out', summary.refused),
    ):
        for line in tally.lines():
            print(f'{title}: {line}', file=sys.stderr)
    for remark in summary.remarks:
        print(f'note: {printable(remark)}', file=sys.stderr)
    if summary.fault:
        print(f'{printable(options.input)}: {summary.fault}', file=sys.stderr)
    if options.json:
        print(plain_json(summary.plain()))
    else:
        frames = 'frame' if summary.written == 1 else 'frames'
        text = f'{summary.written} {frames} in {printable(str(options.output))}'
        if summary.held:
            text += f', {summary.held} of them with the depth of the frame before'
        if summary.blank:
            text += f', {summary.blank} of them blank'
        if summary.refused and not source.moving:
            text += f', {len(summary.refused)} left out'
        if summary.skipped:
            text += f', {len(summary.skipped)} skipped'
        by = {'SIGINT': 'Ctrl-C'}.get(summary.interrupted, summary.interrupted)
        print(text + (f', stopped by {by}' if by else ''))
    # Ctrl-C is how a webcam ends.
    cut_short = summary.interrupted and not source.live
    return 1 if summary.refused or summary.fault or cut_short else 0
