"""`bag prove`: metric depth by each reference in a bag, judged by what else the bag measures."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from tqdm import tqdm

from depth_anything_ros.bag.compare_results import GROUND_TRUTH
from depth_anything_ros.cli.options import (
    NETWORK,
    Verbs,
    add_layered_parameters,
    add_limits,
    layered_parameters,
    limits_of,
)
from depth_anything_ros.cli.parser import add_verb
from depth_anything_ros.cli.terminal import load, print_rows
from depth_anything_ros.studies.prove.figures import ProofLimits, failures

__all__ = ['add']

_COLUMNS = (
    *('bag', 'reference', 'judge', 'published', 'abs_rel', 'bias', 'delta1', 'within_1_sigma'),
    *('within_2_sigma', 'outliers', 'trust_m', 'flicker', 'ms_p95'),
)


def add(bags: Verbs) -> None:
    """Declare the action and its options."""
    text = 'metric depth by each reference of a bag, judged by the bag; exit status 1 if it is bad'
    prove = add_verb(bags, 'prove', text)
    add = prove.add_argument
    add('bags', metavar='BAG', nargs='+', type=Path, help='folder, .mcap or .db3')
    add('--image', metavar='TOPIC', default='', help='default: the first colour camera')
    text = 'a topic, or point_cloud, depth_image, laser_scan, ground_plane, odometry; repeated '
    text += '(default: all that the bag has)'
    add('--reference', metavar='NAME', action='append', default=[], help=text)
    judges = prove.add_mutually_exclusive_group()
    text = 'a sensor that judges with all of its samples (default: a fifth of the reference, held '
    text += 'out, and every other cloud and depth image)'
    judges.add_argument('--judge', metavar='TOPIC', default='', help=text)
    text = 'true depth judges (without a name: %(const)s)'
    judges.add_argument(
        '--ground-truth', nargs='?', const=GROUND_TRUTH, default='', metavar='TOPIC', help=text
    )
    add('--out', metavar='DIR', type=Path, help='folder for index.html, report.md, report.json')
    add('--json', action='store_true', help='print JSON')
    text = 'exit status 0 although a part of a bag cannot be read'
    add('--allow-missing', action='store_true', help=text)
    add_limits(prove, ProofLimits)
    add_layered_parameters(prove, NETWORK)
    prove.set_defaults(verb=_prove)


def _prove(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.prove.run import Asked, Result, prove

    limits, names = limits_of(options, ProofLimits), tuple(options.reference)
    asked = Asked(options.image, names, options.judge, options.ground_truth, limits)
    parameters = layered_parameters(options)
    backend = load(parameters)
    results: list[Result] = []
    with tqdm(unit='image', disable=None, leave=False) as bar:
        for bag in options.bags:
            results += prove(bag, backend, parameters, asked, lambda *_: bar.update())
    rows = [row for each in results for row in each.proofs]
    failed = [line for row in rows for line in failures(row, limits)]
    left_out = list(dict.fromkeys(line for each in results for line in each.left_out))
    print_rows(rows, options.json, _COLUMNS)
    for line in (*(f'FAIL  {line}' for line in failed), *(f'left out: {x}' for x in left_out)):
        print(line, file=sys.stderr if options.json else sys.stdout)
    if options.out:
        from depth_anything_ros.reports.writing import write_report
        from depth_anything_ros.studies.prove.page import report_of

        command = 'depth_anything ' + shlex.join(sys.argv[1:])
        page = write_report(report_of(results, [*failed, *left_out], limits, command), options.out)
        print(f'look at {page}', file=sys.stderr)
    return 1 if failed or (left_out and not options.allow_missing) else 0
