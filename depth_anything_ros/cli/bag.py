"""`bag`: process bags, a fleet of them too, compare two of them, prove metric depth on one."""

from __future__ import annotations

import argparse
from pathlib import Path

from depth_anything_ros.bag.compare_results import GROUND_TRUTH, CompareLimits
from depth_anything_ros.cli import bag_fleet, bag_process, bag_prove
from depth_anything_ros.cli.options import Verbs, add_limits, limits_of
from depth_anything_ros.cli.parser import Parser, add_verb
from depth_anything_ros.cli.terminal import progress

__all__ = ['declare']


def declare(bag: Parser) -> None:
    """Declare the verbs and their options."""
    bags = bag.add_subparsers(required=True, metavar='VERB', title='verbs')
    bag_process.add(bags)
    bag_fleet.add(bags)
    _add_compare(bags)
    bag_prove.add(bags)


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
    add_limits(compare, CompareLimits)
    compare.set_defaults(verb=_compare)


def _compare(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.compare import compare_bags

    limits = limits_of(options, CompareLimits)
    with progress('message') as show:
        found = compare_bags(
            options.a, options.b, limits, options.topics, options.ground_truth, show
        )
    print(found.to_json() if options.json else found.table())
    return 1 if found.failures or (found.left_out and not options.allow_missing) else 0
