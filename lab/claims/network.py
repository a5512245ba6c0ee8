"""The tables of networks in docs/benchmarks.md: networks, batches, starts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from depth_anything_ros.cli.network_grid import (
    add_calibration,
    add_grid,
    conditions_of,
    configurations,
    every_precision,
)
from depth_anything_ros.cli.options import add_size, positive, require_some
from depth_anything_ros.cli.terminal import progress
from depth_anything_ros.studies.bench.bench_report import start_text, text
from depth_anything_ros.studies.bench.configuration import Configuration, Engine
from depth_anything_ros.studies.bench.measure import BenchPlan, any_ran, measure
from depth_anything_ros.studies.bench.row import Row
from depth_anything_ros.studies.bench.starts import measure_starts
from lab import command

__all__ = ['main']

_BATCH = 4


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.network', __doc__)
    parser.add_argument(
        '--baseline',
        default='upstream',
        metavar='BACKEND[:PRECISION]',
        help='what each network is compared with (default: upstream, as published)',
    )
    parser.add_argument(
        '--frames', type=int, metavar='N', default=20, help='most calls a row (default: 20)'
    )
    parser.add_argument(
        '--seconds', type=positive, metavar='S', default=60.0, help='most time a row (default: 60)'
    )
    add_size(parser)
    add_calibration(parser)
    parser.add_argument('--markdown', action='store_true', help='print Markdown')
    add_grid(
        parser,
        'A list gives a row for each of its values.',
        variant=['vits', 'vitb', 'vitl'],
        backend=['all'],
        precision=every_precision(),
    )
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'frames')
    wanted, conditions = conditions_of(configurations(options), options.size)

    def section(title: str, body: str) -> None:
        print(f'### {title}' if options.markdown else f'{title}\n{"=" * len(title)}')
        print(f'\n{body}\n')

    def timed(asked: Sequence[Configuration], baseline: Engine) -> list[Row]:
        plan = BenchPlan(options.size, options.frames, options.seconds, baseline)
        with progress('row') as show:
            return measure(asked, plan, show)

    rows = timed(wanted, Engine.read(options.baseline))
    section('Networks, in turn with the baseline', text(rows, conditions, options.markdown))
    ran = {(row.backend, row.precision, row.variant) for row in rows if row.timing}
    smallest = [
        one
        for one in wanted
        if one.variant == wanted[0].variant and (one.backend, one.precision, one.variant) in ran
    ]
    batches: list[Row] = []
    for one in smallest:
        batches += timed([replace(one, batch=_BATCH)], one.engine)
    section(
        f'Batches of {_BATCH}, in turn with single images',
        text(batches, conditions, options.markdown),
    )
    with progress('row') as show:
        starts = list(measure_starts(smallest, options.size, on_progress=show))
    section('From start to first result', start_text(starts, options.markdown))
    return 0 if any_ran(rows) else 1


if __name__ == '__main__':
    raise SystemExit(main())
