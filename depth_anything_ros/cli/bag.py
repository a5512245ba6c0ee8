"""`bag`: process bags, a fleet of them too, compare two of them, prove metric depth on one."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from tqdm import tqdm

from depth_anything_ros.bag.compare_results import CompareLimits
from depth_anything_ros.cli import bag_fleet, bag_process
from depth_anything_ros.cli.options import (
    NETWORK,
    Verbs,
    add_layered_parameters,
    layered_parameters,
)
from depth_anything_ros.cli.parser import Parser, add_verb
from depth_anything_ros.cli.terminal import load, print_rows, progress

__all__ = ['GROUND_TRUTH', 'declare']

GROUND_TRUTH = '/ground_truth/depth/image'
"""The default topic of true depth."""


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
    compare.add_argument('a', metavar='A', type=Path, help='the bag that is good')
    compare.add_argument('b', metavar='B', type=Path, help='the bag to judge')
    compare.add_argument(
        '--topics',
        nargs='+',
        metavar='TOPIC',
        help='default: every topic of A but /rosout, /parameter_events and /events/...',
    )
    compare.add_argument(
        '--ground-truth',
        nargs='?',
        const=GROUND_TRUTH,
        default='',
        metavar='TOPIC',
        help='judge the depth of both by this topic of A, too (without a name: %(const)s)',
    )
    compare.add_argument('--json', action='store_true', help='print everything as JSON')
    compare.add_argument(
        '--allow-missing',
        action='store_true',
        help='exit status 0 although a part of a bag cannot be read',
    )
    limits = compare.add_argument_group('limits', 'inf allows anything')
    for limit in dataclasses.fields(CompareLimits):
        name = '--' + limit.name.replace('_', '-')
        help_text = f'{limit.metadata["help"]} (default: {limit.default:g})'
        limits.add_argument(
            name, type=float, default=limit.default, metavar='LIMIT', help=help_text
        )
    compare.set_defaults(verb=_compare)


def _add_prove(bags: Verbs) -> None:
    text = 'metric depth by each reference in a bag, judged by the ground truth in it'
    prove = add_verb(bags, 'prove', text)
    prove.add_argument('bags', metavar='BAG', nargs='+', type=Path, help='folder, .mcap or .db3')
    prove.add_argument(
        '--ground-truth',
        default=GROUND_TRUTH,
        metavar='TOPIC',
        help='depth image with the true depth of each image (default: %(default)s)',
    )
    prove.add_argument('--json', action='store_true', help='print JSON')
    add_layered_parameters(prove, NETWORK)
    prove.set_defaults(verb=_prove)


def _compare(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.compare import compare_bags

    names = [limit.name for limit in dataclasses.fields(CompareLimits)]
    limits = CompareLimits(**{name: getattr(options, name) for name in names})
    with progress('message') as show:
        found = compare_bags(
            options.a, options.b, limits, options.topics, options.ground_truth, show
        )
    print(found.to_json() if options.json else found.table())
    return 1 if found.failures or (found.left_out and not options.allow_missing) else 0


def _prove(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.prove import Proof, prove

    parameters = layered_parameters(options)
    backend = load(parameters)
    rows: list[Proof] = []
    with tqdm(unit='image', disable=None, leave=False) as bar:
        for bag in options.bags:
            rows += prove(bag, backend, parameters, options.ground_truth, lambda _: bar.update())
    return print_rows(rows, options.json, [field.name for field in dataclasses.fields(Proof)])
