"""`bag prove`: metric depth by each reference in a bag, judged by what else the bag measures."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path

from tqdm import tqdm

from depth_anything_ros.bag.compare_results import GROUND_TRUTH
from depth_anything_ros.cli.options import (
    NETWORK,
    Verbs,
    add_layered_parameters,
    layered_parameters,
)
from depth_anything_ros.cli.parser import add_verb
from depth_anything_ros.cli.terminal import load, print_rows
from depth_anything_ros.studies.prove.limits import ProofLimits, Trust

__all__ = ['add']

_COLUMNS = (
    'bag',
    'reference',
    'judge',
    'published',
    'abs_rel',
    'bias',
    'delta1',
    'within_1_sigma',
    'within_2_sigma',
    'outliers',
    'trust_m',
    'ms_p95',
)


def add(bags: Verbs) -> None:
    """Declare the action and its options."""
    text = 'metric depth by each reference of a bag, judged by the bag; exit status 1 if it is bad'
    prove = add_verb(bags, 'prove', text)
    argument = prove.add_argument
    argument('bags', metavar='BAG', nargs='+', type=Path, help='folder, .mcap or .db3')
    argument('--image', metavar='TOPIC', default='', help='default: the first colour camera')
    argument(
        '--reference',
        metavar='NAME',
        action='append',
        default=[],
        help='a topic, or point_cloud, depth_image, laser_scan, ground_plane, odometry; repeated '
        '(default: all that the bag has)',
    )
    judges = prove.add_mutually_exclusive_group()
    judges.add_argument(
        '--judge',
        metavar='TOPIC',
        default='',
        help='a cloud, scan or depth image that judges with all of its samples (default: a fifth '
        'of the reference, held out, and every other cloud and depth image)',
    )
    judges.add_argument(
        '--ground-truth',
        nargs='?',
        const=GROUND_TRUTH,
        default='',
        metavar='TOPIC',
        help='true depth of each image judges (without a name: %(const)s)',
    )
    argument('--out', metavar='DIR', type=Path, help='folder for index.html, report.md and .json')
    argument('--json', action='store_true', help='print JSON')
    argument(
        '--allow-missing',
        action='store_true',
        help='exit status 0 although a part of a bag cannot be read',
    )
    limits = prove.add_argument_group('limits', 'inf allows anything, and 0 where more is better')
    for limit in dataclasses.fields(ProofLimits):
        help_text = f'{limit.metadata["help"]} (default: {limit.default:g})'
        name = '--' + limit.name.replace('_', '-')
        limits.add_argument(
            name, type=float, default=limit.default, metavar='LIMIT', help=help_text
        )
    for name, help_text in (
        ('error', 'relative error to which depth is trusted'),
        ('share', 'share of the samples within it, at each distance, that makes trust'),
    ):
        default = getattr(Trust(), name)
        limits.add_argument(
            f'--trust-{name}',
            type=float,
            default=default,
            metavar='X',
            help=f'{help_text} (default: {default:g})',
        )
    add_layered_parameters(prove, NETWORK)
    prove.set_defaults(verb=_prove)


def _prove(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.prove.results import ReferenceResult, failures
    from depth_anything_ros.studies.prove.run import ProveOptions, prove

    names = [limit.name for limit in dataclasses.fields(ProofLimits)]
    limits = ProofLimits(**{name: getattr(options, name) for name in names})
    trust = Trust(options.trust_error, options.trust_share)
    asked = ProveOptions(
        options.image, tuple(options.reference), options.judge, options.ground_truth, trust
    )
    parameters = layered_parameters(options)
    backend = load(parameters)
    results: list[ReferenceResult] = []
    with tqdm(unit='image', disable=None, leave=False) as bar:
        for bag in options.bags:
            results += prove(bag, backend, parameters, asked, lambda *_: bar.update())
    rows = [row for each in results for row in each.proofs]
    failed = [line for row in rows for line in failures(row, limits)]
    left_out = list(dict.fromkeys(line for each in results for line in each.left_out))
    print_rows(rows, options.json, _COLUMNS)
    told = [*(f'FAIL  {line}' for line in failed), *(f'left out: {line}' for line in left_out)]
    print('\n'.join(told), file=sys.stderr if options.json else sys.stdout, end='\n' * bool(told))
    if options.out:
        from depth_anything_ros.reports.writing import write_report
        from depth_anything_ros.studies.prove.page import report_of

        command = 'depth_anything ' + shlex.join(sys.argv[1:])
        report = report_of(results, [*failed, *left_out], trust, command)
        print(f'look at {write_report(report, options.out)}', file=sys.stderr)
    return 1 if failed or (left_out and not options.allow_missing) else 0
