"""`bench`: how fast the network runs and starts here, and where its time goes."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from depth_anything_ros.cli.network_grid import (
    add_calibration,
    add_grid,
    conditions_of,
    configurations,
    counts,
    peers,
)
from depth_anything_ros.cli.options import add_size, positive, require_some, require_writable
from depth_anything_ros.cli.parser import Parser, add_verb
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.settings.input_files import InputFiles, refuse_existing

__all__ = ['declare']

_OF_LIST = 'A list gives a row for each of its values.'


def declare(bench: Parser) -> None:
    """Declare the verbs and their options."""
    bench.epilog = (
        'Options without a verb are those of network: `depth_anything bench --variant vits,vitb`.'
    )
    verbs = bench.add_subparsers(required=True, metavar='[VERB]', title='verbs')

    text = 'milliseconds of each network, in turn with a baseline (default)'
    network = add_verb(verbs, 'network', text)
    add = network.add_argument
    text = 'what each network is compared with, or none (default: upstream, as published)'
    add('--baseline', default='upstream', metavar='BACKEND[:PRECISION]', help=text)
    text = 'images at once (default: 1)'
    add('--batch', type=counts, metavar='INT,...', default=[1], help=text)
    text = 'most calls a row (default: %(default)s)'
    add('--frames', type=int, metavar='N', default=20, help=text)
    text = 'most time a row (default: %(default)g)'
    add('--seconds', type=positive, metavar='S', default=60.0, help=text)
    text = (
        'also find the largest batch: double that of each row while its process, or the GPU, '
        'holds no more than that'
    )
    add('--largest-batch', type=positive, metavar='MB', default=0.0, help=text)
    text = (
        'networks of others beside them, with random weights, so for speed only: depth-pro, '
        'dpt-hybrid, dpt-swin2-tiny, yolo11n (ultralytics is AGPL-3.0)'
    )
    add('--peers', type=peers, metavar='NAME,...', default=[], help=text)
    add('--plot', type=Path, metavar='FILE.png', help='draw the rows')
    add('--out', type=Path, metavar='DIR', help='write a page with tables and plots')
    text = 'of `depth_anything study accuracy`: the page plots quality against speed'
    add('--quality', type=Path, metavar='REPORT.json', help=text)
    _add_shared(network, _network, markdown=True)

    start = add_verb(verbs, 'start', 'seconds from starting a process to its first result')
    _add_shared(start, _start, markdown=True)

    text = 'where the time of a network goes, as OpenVINO counts it'
    profile = add_verb(verbs, 'profile', text)
    text = 'calls (default: %(default)s)'
    profile.add_argument('--frames', type=int, metavar='N', default=20, help=text)
    _add_shared(profile, _profile, markdown=False)


def _add_shared(
    verb: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], markdown: bool
) -> None:
    verb.set_defaults(verb=run)
    add_size(verb)
    add_calibration(verb)
    shown = verb.add_mutually_exclusive_group()
    shown.add_argument('--json', action='store_true', help='print JSON')
    if markdown:
        shown.add_argument('--markdown', action='store_true', help='print Markdown')
    add_grid(verb, _OF_LIST)


def _network(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.bench.bench_report import json_text, text
    from depth_anything_ros.studies.bench.configuration import Engine
    from depth_anything_ros.studies.bench.measure import BenchPlan, any_ran, measure
    from depth_anything_ros.studies.bench.peers import peer_configurations, peer_lines, peer_of

    if options.quality and not options.out:
        raise SettingError('--quality is for the page: give --out DIR, too')
    if options.plot or options.out:
        # Where matplotlib is missing, that is said before the work.
        from depth_anything_ros.studies.bench.bench_page import write_page
        from depth_anything_ros.studies.bench.bench_plot import plot
        from depth_anything_ros.studies.bench.quality import read_errors
        from depth_anything_ros.studies.plots import refuse_format
    if options.plot:
        refuse_format(options.plot)
        refuse_existing(options.plot, '--plot')
    require_writable(options, 'plot')
    require_some(options, 'frames')
    wanted, conditions = conditions_of(configurations(options), options.size)
    wanted += peer_configurations(options.peers, options.threads, options.batch, options.device)
    conditions = replace(conditions, peers=peer_lines(options.peers))
    errors = read_errors(options.quality, [*conditions.weights]) if options.quality else {}
    baseline = None if options.baseline == 'none' else Engine.read(options.baseline)
    how = options.size, options.frames, options.seconds, baseline
    plan = BenchPlan(*how, batch_memory_mb=options.largest_batch)
    if options.out:
        read = options.calibration, options.quality, *options.weights
        InputFiles(read).refuse(options.out, '--out')
        try:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / 'rows.png').touch()
        except OSError as err:
            raise SettingError(f'--out {options.out} cannot be written: {err.strerror}') from err
    with progress('row') as show:
        rows = measure(wanted, plan, show)
    if options.json:
        print(json_text(rows, conditions))
    else:
        print(text(rows, conditions, options.markdown))
    ran = any_ran(rows)
    if options.plot and ran:
        plot(rows, conditions, options.plot)
        print(f'look at {options.plot}', file=sys.stderr)
    if options.out and ran:
        command = 'depth_anything ' + shlex.join(sys.argv[1:])
        page = write_page(rows, conditions, errors, command, options.out)
        print(f'look at {page}', file=sys.stderr)
    # A network of this package may be left out of a grid; a peer was asked for by name.
    return 0 if ran and all(row.timing for row in rows if peer_of(row)) else 1


def _start(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.bench.bench_report import start_text
    from depth_anything_ros.studies.bench.starts import measure_starts

    wanted, conditions = conditions_of(configurations(options), options.size)
    with progress('row') as show:
        starts = list(measure_starts(wanted, options.size, on_progress=show))
    if options.json:
        print_rows(starts, as_json=True)
    else:
        print('\n'.join(conditions.lines()), end='\n\n')
        print(start_text(starts, options.markdown))
    return 0 if any(not one.note for one in starts) else 1


def _profile(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.bench.profile import profile

    require_some(options, 'frames')
    wanted, conditions = conditions_of(configurations(options), options.size)
    rows = [part for one in wanted for part in profile(one, options.size, options.frames)]
    if not options.json:
        print('\n'.join(conditions.lines()), end='\n\n')
    return print_rows(rows, options.json)
