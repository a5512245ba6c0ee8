"""`run`: depth of images, folders, videos or a webcam, without ROS."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from depth_anything_ros.cli.metres import add_metres, metric_inputs, metric_options, scenes_of
from depth_anything_ros.cli.options import (
    NETWORK,
    Names,
    add_layered_parameters,
    add_parameters,
    layered_parameters,
    parameter_inputs,
    positive,
)
from depth_anything_ros.cli.parser import Parser
from depth_anything_ros.cli.terminal import load, progress
from depth_anything_ros.core.errors import SettingError, printable
from depth_anything_ros.reports.text import plain_json
from depth_anything_ros.settings.input_files import InputFiles

if TYPE_CHECKING:
    from depth_anything_ros.media.sources import Source
    from depth_anything_ros.media.summary import Summary

__all__ = ['declare']

# Of a shorter film, loading is part of what an hour of it would seem to take.
_LEAST_FILM_S = 10.0

_FORMATS = (
    'color',
    'side_by_side',
    'png16',
    'npy',
    'exr',
    'depth_mm',
    'depth_m',
    'depth_exr',
    'ply',
)


def declare(run: Parser) -> None:
    """Declare the options."""
    run.too_many = 'for several inputs give their folder or a list (.txt) as IN'
    run.add_argument(
        'input',
        metavar='IN',
        type=_name,
        help="image, folder, list (.txt), video, URL, 'webcam[:N]'",
    )
    run.add_argument(
        'output',
        metavar='OUT',
        type=_output,
        help='folder, or a .png .npy .exr .ply .mp4 or .mkv',
    )
    run.add_argument(
        '--save',
        nargs='+',
        action=Names,
        choices=_FORMATS,
        metavar='FORMAT',
        help='what to write: color (default, unless OUT ends otherwise), side_by_side, png16, '
        'npy, exr; in metres depth_mm, depth_m, depth_exr, ply',
    )
    run.add_argument('--recursive', action='store_true', help='search the folders in IN, too')
    run.add_argument(
        '--sequence',
        metavar='FPS',
        type=positive,
        nargs='?',
        const=30.0,
        help='IN holds the frames of a film (default of FPS: 30)',
    )
    run.add_argument(
        '--skip-existing', action='store_true', help='leave out pictures whose output is there'
    )
    run.add_argument(
        '--resume',
        action='store_true',
        help='go on with a run that was interrupted',
    )
    run.add_argument(
        '--normalization',
        choices=('frame', 'film'),
        default='frame',
        help='bounds that follow the scene (default), or are one pair for the film',
    )
    run.add_argument(
        '--frames-json', metavar='FILE', type=Path, help='write a line of JSON for each frame'
    )
    run.add_argument('--json', action='store_true', help='print the summary as JSON')
    names = 'output.max_side', 'relative.normalization', 'relative.smoothing_s', 'color.map'
    not_given = dict.fromkeys(names, argparse.SUPPRESS)
    add_parameters(run, names, not_given, {'relative.smoothing_s': '--smoothing'})
    add_metres(run)
    add_layered_parameters(run, NETWORK)
    run.set_defaults(verb=_run)


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError('it is empty: name a file or a folder')
    return text


def _output(text: str) -> Path:
    path = Path(_name(text))
    # '.' and '..' have no name, beside which parts could lie.
    path = path if path.name not in ('', '..') else path.resolve()
    if not path.name:
        raise argparse.ArgumentTypeError(f'{path} is the root: name a file or a folder')
    return path


def _run(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.signals import stop_signals
    from depth_anything_ros.estimator.stream import DepthStream
    from depth_anything_ros.media.checkpoints import identity
    from depth_anything_ros.media.film_scale import film_bounds
    from depth_anything_ros.media.formats import METRIC, one_of
    from depth_anything_ros.media.frame_lines import FrameLines
    from depth_anything_ros.media.job import run
    from depth_anything_ros.media.outputs import open_outputs
    from depth_anything_ros.media.sources import open_source
    from depth_anything_ros.media.streams import without_secrets

    def opened() -> Source:
        return open_source(
            options.input,
            recursive=options.recursive,
            sequence_hz=options.sequence,
            out=options.output,
        )

    source = opened()
    _check_kind(options, source)
    of_film = options.normalization == 'film'
    by_ending = one_of(options.output.suffix.lower()) or _FORMATS
    formats = tuple(dict.fromkeys(options.save or by_ending[:1]))
    parameters = layered_parameters(options, **{'rectified': False, 'cloud.stride': 1})
    if not source.moving:
        # Stills have nothing to do with each other: each is normalised by itself.
        parameters = replace(parameters, relative=replace(parameters.relative, smoothing_s=0.0))
    scenes = scenes_of(options, source, parameters, formats)
    inputs = InputFiles((*source.reads, *metric_inputs(options), *parameter_inputs(options)))
    if options.frames_json:
        inputs.refuse(options.frames_json, '--frames-json')
    outputs = open_outputs(
        source,
        options.output,
        formats,
        parameters.output.max_side,
        inputs=inputs,
        resume=options.resume,
    )
    backend = load(parameters)
    metric = sorted(METRIC.intersection(formats))
    if metric and not scenes.measured and not backend.info.output.metric:
        raise SettingError(
            f'--save {metric[0]} is in metres, and this checkpoint gives relative depth: add '
            '--reference, --camera-height, or --checkpoint metric_indoor or metric_outdoor'
        )
    lines = FrameLines(options.frames_json) if options.frames_json else None
    stream = DepthStream(backend, parameters)
    with stop_signals() as stopped:
        if of_film and not outputs.resumes:
            with progress('frame of the first pass') as show:
                stream.fix_bounds(film_bounds(opened(), stream, on_frame=show, stopped=stopped))
        with tqdm(total=source.length or None, unit='frame', disable=None) as bar:

            def on_resume(frames: int) -> None:
                # They tell nothing of the rate of this run.
                bar.initial = bar.n = frames

            summary = run(
                source,
                stream,
                outputs,
                scene_of=scenes,
                lines=lines,
                skip_existing=options.skip_existing or (options.resume and not source.moving),
                identity=identity(
                    source,
                    without_secrets(options.input),
                    parameters,
                    backend.info,
                    save=list(formats),
                    sequence_hz=options.sequence,
                    normalization=options.normalization,
                    metres=[str(value) for value in metric_options(options)],
                ),
                on_resume=on_resume,
                on_frame=lambda _: bar.update(),
                stopped=stopped,
            )
    backend.close()
    if lines is not None:
        lines.close()
    summary.remarks += scenes.remarks()
    if scenes.measured and not metric and lines is None:
        summary.remarks.append('no metres are written: add --save depth_m, or depth_mm')
    _say(options, source, summary)
    # Ctrl-C is how a live source ends.
    cut_short = summary.interrupted and not source.live
    lacking = summary.refused or summary.without_metres or summary.fault
    return 1 if lacking or cut_short else 0


def _check_kind(options: argparse.Namespace, source: Source) -> None:
    """Raise SettingError for options that are not for a source of this kind."""
    if options.skip_existing and (source.moving or source.single):
        raise SettingError(
            '--skip-existing is for a folder of separate pictures: leave it out for '
            f'{options.input}'
        )
    if options.resume and source.live:
        raise SettingError(
            '--resume is for what can be read again, and a live source cannot: leave it out; '
            f'what an interrupted run left in {options.output.name}.parts plays'
        )
    if options.normalization == 'film' and (source.live or not source.moving):
        raise SettingError(
            '--normalization film is for a film that can be read twice: leave it out'
        )


def _say(options: argparse.Namespace, source: Source, summary: Summary) -> None:
    """Print what was left out and why, and the summary."""
    from depth_anything_ros.media.streams import without_secrets

    for title, tally in (
        ('skipped', summary.skipped),
        ('note', summary.changed),
        ('no metres', summary.without_metres),
        ('no depth of its own' if source.moving else 'left out', summary.refused),
    ):
        for line in tally.lines():
            print(f'{title}: {line}', file=sys.stderr)
    for remark in summary.remarks:
        print(f'note: {printable(remark)}', file=sys.stderr)
    if summary.fault:
        print(f'{printable(without_secrets(options.input))}: {summary.fault}', file=sys.stderr)
    if options.json:
        print(plain_json(summary.plain()))
        return
    counts = (
        (summary.held, 'of them with the depth of the frame before'),
        (summary.blank, 'of them blank'),
        (0 if source.moving else len(summary.refused), 'left out'),
        (len(summary.without_metres), 'without metres'),
        (len(summary.skipped), 'skipped'),
        (summary.dropped, 'dropped that the network had no time for'),
        (summary.broken, 'that could not be decoded'),
        (summary.cuts and len(summary.cuts) + 1, 'scenes'),
    )
    frames = 'frame' if summary.written == 1 else 'frames'
    text = f'{summary.written} {frames} in {printable(str(options.output))}'
    text += ''.join(f', {count} {what}' for count, what in counts if count)
    if summary.interrupted:
        text += f', stopped by {summary.interrupted.replace("SIGINT", "Ctrl-C")}'
    if summary.kept:
        text += f'; --resume goes on behind frame {summary.kept}'
    elif summary.interrupted and source.moving and not source.live:
        name = printable(options.output.name)
        text += f'; not finished: {name}.parts marks it, --resume begins at the start'
    print(text)
    if summary.median_flicker is not None:
        print(f'flicker {summary.median_flicker:.2%} over {len(summary.flicker)} pairs of frames')
    if summary.hours_per_film_hour is not None and summary.film_s >= _LEAST_FILM_S:
        print(f'{summary.hours_per_film_hour:.2g} hours for an hour of film')
