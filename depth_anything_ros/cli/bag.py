"""`bag`: sample bags, processing, and comparison of two bags."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from tqdm import tqdm

from depth_anything_ros.bag import GROUND_TRUTH
from depth_anything_ros.bag.compare_limits import CompareLimits
from depth_anything_ros.cli import bag_process
from depth_anything_ros.cli.options import Verbs, positive, size
from depth_anything_ros.cli.terminal import follow
from depth_anything_ros.reports.plain_json import plain_json

__all__ = ['add']


def add(verbs: Verbs) -> None:
    """Declare the verbs and their options."""
    bag = verbs.add_parser('bag', help='process and compare bags')
    bags = bag.add_subparsers(required=True, metavar='ACTION')
    sample = bags.add_parser('sample', help='a simulated drive with every sensor and true depth')
    sample.add_argument('output', metavar='OUT', type=Path, help='the bag to write, a new folder')
    sample.add_argument('--scene', default='room', help='room or road (default: room)')
    sample.add_argument('--seconds', type=positive, default=6.0, help='default: 6')
    sample.add_argument('--rate', type=positive, default=10.0, help='images/s (default: 10)')
    sample.add_argument('--size', type=size, default=(640, 480), help='default: 640x480')
    sample.add_argument('--seed', type=int, default=0, help='which scene (default: 0)')
    sample.add_argument('--storage', default='mcap', help='mcap or sqlite3 (default: mcap)')
    sample.add_argument('--json', action='store_true', help='print the counts as JSON')
    sample.set_defaults(verb=_sample)

    bag_process.add(bags)

    compare = bags.add_parser(
        'compare', help='whether bag B is as good as bag A; exit status 1 if it is not'
    )
    compare.add_argument('a', metavar='A', type=Path, help='the bag that is good')
    compare.add_argument('b', metavar='B', type=Path, help='the bag to judge')
    compare.add_argument(
        '--topics',
        nargs='+',
        metavar='TOPIC',
        help='default: every topic of A but /rosout, /parameter_events and /events/...',
    )
    compare.add_argument(
        '--truth',
        nargs='?',
        const=GROUND_TRUTH,
        default='',
        metavar='TOPIC',
        help='judge the depth of both by this topic of A, too (without a name: %(const)s)',
    )
    compare.add_argument('--json', action='store_true', help='print everything as JSON')
    for limit in dataclasses.fields(CompareLimits):
        text = f'{limit.metadata["help"]} (default: {limit.default:g})'
        name = '--' + limit.name.replace('_', '-')
        compare.add_argument(name, type=float, default=limit.default, metavar='LIMIT', help=text)
    compare.set_defaults(verb=_compare)


def _sample(options: argparse.Namespace) -> int:
    from lab.sample import write_sample_bag

    with tqdm(unit='measurement', disable=None) as bar:
        summary = write_sample_bag(
            options.output,
            options.scene,
            options.seconds,
            options.rate,
            options.size,
            options.seed,
            options.storage,
            on_progress=follow(bar),
        )
    if options.json:
        print(plain_json(summary))
    else:
        for topic, count in summary.counts.items():
            print(f'{count:6d}  {topic}')
        print(f'in {summary.path}')
    return 0


def _compare(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.compare import compare_bags

    names = [limit.name for limit in dataclasses.fields(CompareLimits)]
    limits = CompareLimits(**{name: getattr(options, name) for name in names})
    with tqdm(unit='message', disable=None, leave=False) as bar:
        found = compare_bags(
            options.a, options.b, limits, options.topics, options.truth, follow(bar)
        )
    print(found.to_json() if options.json else found.table())
    return 1 if found.failures else 0
