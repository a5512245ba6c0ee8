"""`tune`: the best network that keeps a budget of time on this machine."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from depth_anything_ros.backends.base import INT8
from depth_anything_ros.cli.network_grid import (
    add_calibration,
    add_grid,
    conditions_of,
    configurations,
    every_precision,
)
from depth_anything_ros.cli.options import add_size, positive, require_writable
from depth_anything_ros.cli.parser import Parser
from depth_anything_ros.cli.terminal import progress
from depth_anything_ros.core.processor import default_threads
from depth_anything_ros.model.releases import release_for
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.settings.input_files import refuse_existing

if TYPE_CHECKING:
    from depth_anything_ros.studies.bench.bench_report import Conditions
    from depth_anything_ros.studies.tune.search import Tuning

__all__ = ['declare']


def declare(tune: Parser) -> None:
    """Declare the options."""
    add = tune.add_argument
    text = (
        'most milliseconds that the network may take for an image, as 95th percentile; the '
        'node adds its own conversion, alignment and messages'
    )
    add('--budget-ms', type=positive, required=True, metavar='MS', help=text)
    add_size(tune)
    text = 'about the longest it takes (default: 300)'
    add('--seconds', type=positive, metavar='S', default=300.0, help=text)
    text = 'parameters for params_file:= of depth.launch.py (default: params.yaml)'
    add('--out', type=Path, default=Path('params.yaml'), metavar='FILE.yaml', help=text)
    add('--plot', type=Path, metavar='FILE.png', help='draw what was found')
    add_calibration(tune)
    add('--json', action='store_true', help='print everything as JSON')
    threads = default_threads()
    add_grid(
        tune,
        'Each value of a list is tried.',
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
        from depth_anything_ros.studies.tune.tune_plot import plot

        refuse_format(options.plot)
        refuse_existing(options.plot, '--plot')
    from depth_anything_ros.studies.tune import tune_report
    from depth_anything_ros.studies.tune.search import Search

    refuse_existing(options.out, '--out')
    require_writable(options, 'out', 'plot')
    wanted, conditions = conditions_of(configurations(options), options.size)
    with progress('s') as show:
        tuning = Search(options.budget_ms, options.size, options.seconds, show).run(wanted)
    print((tune_report.json_text if options.json else tune_report.text)(tuning, conditions))
    status = _keep(tuning, conditions, options)
    if options.plot:
        plot(tuning, conditions, options.plot)
        print(f'look at {options.plot}', file=sys.stderr)
    return status


def _keep(tuning: Tuning, conditions: Conditions, options: argparse.Namespace) -> int:
    """Write what was chosen and print how to start it, or print the fastest; return the status."""
    from depth_anything_ros.studies.bench.configuration import card_of_network
    from depth_anything_ros.studies.tune import params_file

    fastest = tuning.fastest
    if fastest is None or fastest.row is None:
        print(f'\nnothing can be chosen: {tuning.probes[0].note}', file=sys.stderr)
        return 1
    if tuning.chosen is None or tuning.chosen.row is None:
        found = params_file.figures(fastest.row)
        print(f'\nnothing keeps {options.budget_ms:g} ms; the fastest: {found}', file=sys.stderr)
        return 1
    row = tuning.chosen.row
    command = f'depth_anything tune --budget-ms {options.budget_ms:g}'
    # Not row.weights: random ones may stand in there, and the node takes the released ones.
    weights = row.weights if row.weights in options.weights else ''
    params_file.write_params(options.out, row, conditions, command, weights)
    out = sys.stderr if options.json else sys.stdout
    print(f'\nchosen: {params_file.figures(row)}', file=out)
    release = None if weights else release_for(row.variant, Checkpoint.RELATIVE)
    card = release or card_of_network(row.variant, weights)
    if card.non_commercial:
        print(f'licence of its weights: {card.licence}; --variant vits is free', file=out)
    if row.precision == INT8 and options.calibration:
        from depth_anything_ros.backends.export_files import export_command
        from depth_anything_ros.backends.registry import BACKENDS

        form = BACKENDS[row.backend].export_format
        assert form is not None, row.backend
        command = export_command(row.variant, Checkpoint.RELATIVE, weights, form, int8=True)
        print(f"calibrate it for the node, on the robot's images:\n  {command}", file=out)
    print(f'\nwrote {options.out}; start the node with it:', file=out)
    launch = 'ros2 launch depth_anything_ros depth.launch.py image_topic:=/camera/image_raw'
    print(f'  {launch} params_file:={shlex.quote(str(options.out))}', file=out)
    return 0
