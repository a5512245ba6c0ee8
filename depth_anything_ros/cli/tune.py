"""`tune`: the best network that keeps a budget of time on this machine."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from depth_anything_ros.backends.base import INT8
from depth_anything_ros.cli.bench_network import (
    add_grid,
    conditions_of,
    configurations,
    every_precision,
)
from depth_anything_ros.cli.options import Verbs, positive, require_writable, size
from depth_anything_ros.core.processor import default_threads
from depth_anything_ros.model.manifest import release_for
from depth_anything_ros.model.variants import Checkpoint

if TYPE_CHECKING:
    from depth_anything_ros.studies.bench.report import Conditions
    from depth_anything_ros.studies.tune.search import Tuning

__all__ = ['add']


def add(verbs: Verbs) -> None:
    """Declare the verb and its options."""
    tune = verbs.add_parser(
        'tune',
        help='find the best network within a budget of time, and write params.yaml',
    )
    tune.add_argument(
        '--budget-ms',
        type=positive,
        required=True,
        help='most milliseconds for the network to take for an image, 95 times of 100; the node '
        'adds what `depth_anything bench node` says',
    )
    tune.add_argument('--size', type=size, default=(640, 480), help='default: 640x480')
    tune.add_argument(
        '--seconds', type=positive, default=300.0, help='about the longest it takes (default: 300)'
    )
    tune.add_argument(
        '--out',
        type=Path,
        default=Path('params.yaml'),
        metavar='FILE.yaml',
        help='parameters for params_file:= of depth.launch.py (default: params.yaml)',
    )
    tune.add_argument('--plot', type=Path, metavar='FILE.png', help='draw what was found')
    tune.add_argument('--json', action='store_true', help='print everything as JSON')
    threads = default_threads()
    add_grid(
        tune,
        'Of a list each is tried.',
        variant=['vits', 'vitb', 'vitl'],
        input_size=[196, 252, 308, 364, 420, 518],
        backend=['all'],
        precision=every_precision(),
        threads=sorted({threads, max(1, threads // 2)}),
    )
    tune.set_defaults(verb=_tune)


def _tune(options: argparse.Namespace) -> int:
    if options.plot:
        # Where matplotlib is missing, that is said before the work.
        from depth_anything_ros.studies.plots import refuse_format
        from depth_anything_ros.studies.tune.plot import plot

        refuse_format(options.plot)
    from depth_anything_ros.studies.tune import params_file, report
    from depth_anything_ros.studies.tune.search import Search

    params_file.refuse_existing(options.out)
    require_writable(options, 'out', 'plot')
    wanted, conditions = conditions_of(configurations(options), options)
    with tqdm(total=options.seconds, unit='s', disable=None, leave=False) as bar:

        def show(spent_s: float, total_s: float, what: str) -> None:
            bar.set_description(what, refresh=False)
            bar.update(round(spent_s) - bar.n)

        tuning = Search(options.budget_ms, options.size, options.seconds, show).run(wanted)
    print((report.json_text if options.json else report.text)(tuning, conditions))
    status = _keep(tuning, conditions, options)
    if options.plot:
        plot(tuning, conditions, options.plot)
        print(f'look at {options.plot}', file=sys.stderr)
    return status


def _keep(tuning: Tuning, conditions: Conditions, options: argparse.Namespace) -> int:
    """Write what was chosen and say how to start it, or say what is nearest; give the status."""
    from depth_anything_ros.studies.tune import params_file

    fastest = tuning.fastest
    if fastest is None or fastest.row is None:
        print(f'\nnothing can be chosen: {tuning.probes[0].note}', file=sys.stderr)
        return 1
    if tuning.chosen is None or tuning.chosen.row is None:
        told = params_file.figures(fastest.row)
        print(f'\nnothing keeps {options.budget_ms:g} ms; the fastest: {told}', file=sys.stderr)
        return 1
    row = tuning.chosen.row
    command = f'depth_anything tune --budget-ms {options.budget_ms:g}'
    params_file.write_params(options.out, row, conditions, command, options.weights)
    out = sys.stderr if options.json else sys.stdout
    print(f'\nchosen: {params_file.figures(row)}', file=out)
    if (release := release_for(row.variant, Checkpoint.RELATIVE)) and release.non_commercial:
        print(f'licence of its weights: {release.licence}; --variant vits is free', file=out)
    if row.precision == INT8:
        from depth_anything_ros.backends.export_files import export_command
        from depth_anything_ros.backends.registry import BACKENDS

        # Not row.weights: random ones may stand in there, and the node takes the released ones.
        form = BACKENDS[row.backend].export_format
        assert form is not None, row.backend
        command = export_command(
            row.variant, Checkpoint.RELATIVE, options.weights, form, int8=True
        )
        print(f"calibrate it first, on the robot's images:\n  {command}", file=out)
    print(f'\nwrote {options.out}; start the node with it:', file=out)
    launch = 'ros2 launch depth_anything_ros depth.launch.py image_topic:=/camera/image_raw'
    print(f'  {launch} params_file:={shlex.quote(str(options.out))}', file=out)
    return 0
