"""`bag`: process bags, a fleet of them too, compare two of them, prove metric depth on one."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from depth_anything_ros.bag.compare_results import GROUND_TRUTH, CompareLimits
from depth_anything_ros.cli import bag_fleet, bag_process
from depth_anything_ros.cli.options import (
    NETWORK,
    Names,
    Verbs,
    add_layered_parameters,
    add_limits,
    layered_parameters,
    limits_of,
)
from depth_anything_ros.cli.parser import Parser, add_verb
from depth_anything_ros.cli.terminal import load, print_rows, progress
from depth_anything_ros.core.errors import one_line
from depth_anything_ros.settings.input_files import InputFiles
from depth_anything_ros.studies.prove.figures import JUDGED, ProofLimits, failures

__all__ = ['declare']

_TRUTH: dict[str, Any] = {'nargs': '?', 'const': GROUND_TRUTH, 'default': '', 'metavar': 'TOPIC'}
_MISSING = 'exit status 0 although a part of a bag cannot be read'


def declare(bag: Parser) -> None:
    """Declare the verbs and their options."""
    bags = bag.add_subparsers(required=True, metavar='VERB', title='verbs')
    bag_process.add(bags)
    bag_fleet.add(bags)
    _add_compare(bags)
    _add_prove(bags)


def _add_compare(bags: Verbs) -> None:
    text = 'whether bag B is as good as bag A; exit status 1 if it is not'
    compare = add_verb(bags, 'compare', text)
    add = compare.add_argument
    add('a', metavar='A', type=Path, help='the bag that is good')
    add('b', metavar='B', type=Path, help='the bag to judge')
    text = 'default: every topic of A but /rosout, /parameter_events and /events/...'
    add('--topics', nargs='+', action=Names, metavar='TOPIC', help=text)
    text = 'judge the depth of both by this topic of A, too (without a name: %(const)s)'
    add('--ground-truth', **_TRUTH, help=text)
    add('--json', action='store_true', help='print everything as JSON')
    add('--allow-missing', action='store_true', help=_MISSING)
    add_limits(compare, CompareLimits)
    compare.set_defaults(verb=_compare)


def _add_prove(bags: Verbs) -> None:
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
    judges.add_argument('--ground-truth', **_TRUTH, help=text)
    add('--out', metavar='DIR', type=Path, help='folder for index.html, report.md, report.json')
    add('--json', action='store_true', help='print JSON')
    add('--allow-missing', action='store_true', help=_MISSING)
    add_limits(prove, ProofLimits)
    add_layered_parameters(prove, NETWORK)
    prove.set_defaults(verb=_prove)


def _compare(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.compare import compare_bags

    limits = limits_of(options, CompareLimits)
    with progress('message') as show:
        found = compare_bags(
            options.a, options.b, limits, options.topics, options.ground_truth, show
        )
    print(found.to_json() if options.json else found.table())
    return 1 if found.failures or (found.left_out and not options.allow_missing) else 0


def _prove(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.prove.run import Asked, Result, check, prove

    limits, names = limits_of(options, ProofLimits), tuple(options.reference)
    if options.out:
        InputFiles(options.bags).refuse(options.out, '--out', within=True)
    asked = Asked(options.image, names, options.judge, options.ground_truth, limits)
    parameters = layered_parameters(options)
    for bag in options.bags:
        check(bag, parameters, asked)
    backend = load(parameters)
    results: list[Result] = []
    with tqdm(unit='image', disable=None, leave=False) as bar:
        for bag in options.bags:
            results += prove(bag, backend, parameters, asked, lambda *_: bar.update())
    rows = [row for each in results for row in each.proofs]
    failed = [line for row in rows for line in failures(row, limits)]
    left_out = list(dict.fromkeys(line for each in results for line in each.left_out))
    print_rows(rows, options.json, (*JUDGED, 'flicker', 'ms_p95'))
    for line in (*(f'FAIL  {line}' for line in failed), *(f'left out: {x}' for x in left_out)):
        print(one_line(line), file=sys.stderr if options.json else sys.stdout)
    if options.out:
        from depth_anything_ros.reports.writing import write_report
        from depth_anything_ros.studies.prove.page import report_of

        command = 'depth_anything ' + shlex.join(sys.argv[1:])
        page = write_report(report_of(results, [*failed, *left_out], limits, command), options.out)
        print(f'look at {page}', file=sys.stderr)
    return 1 if failed or (left_out and not options.allow_missing) else 0
