"""`bag process`: depth of every image of bags, into bags."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from depth_anything_ros.cli.options import (
    NETWORK,
    Names,
    Verbs,
    add_layered_parameters,
    layered_parameters,
)
from depth_anything_ros.cli.terminal import fetch, progress

if TYPE_CHECKING:
    from depth_anything_ros.bag.plan import ProcessOptions

__all__ = ['add', 'add_process_options', 'process_options']


def add(bags: Verbs) -> None:
    """Declare the action and its options."""
    process = bags.add_parser('process', help='depth of every image of bags, into bags')
    process.add_argument(
        'input', metavar='IN', nargs='+', type=Path, help='bags: folders, .mcap or .db3 files'
    )
    process.add_argument(
        'output', metavar='OUT', type=Path, help='the bag to write; of several, their folder'
    )
    add_process_options(process)
    process.add_argument(
        '--resume',
        action='store_true',
        help='skip outputs that are finished; start interrupted ones (OUT.partial) again',
    )
    process.add_argument(
        '--jobs', type=int, default=1, help='bags at a time, each on --threads (default: 1)'
    )
    add_layered_parameters(process, (*NETWORK, 'reference.type'))
    process.set_defaults(verb=_process)


def add_process_options(process: argparse.ArgumentParser) -> None:
    """Add what says how bags are processed, wherever they are."""
    process.add_argument(
        '--image',
        metavar='TOPIC',
        action='append',
        default=[],
        help='once for each camera (default: every colour one)',
    )
    process.add_argument(
        '--camera-info', metavar='TOPIC', default='', help='default: beside the image'
    )
    process.add_argument(
        '--reference',
        metavar='TOPIC',
        default='',
        help='what measures metres: depth, cloud, scan, odometry',
    )
    process.add_argument(
        '--tf',
        metavar='TOPIC',
        default='',
        help='transforms (default: by namespace, or /tf)',
    )
    process.add_argument(
        '--outputs',
        metavar='NAME',
        action=Names,
        nargs='+',
        default=[],
        help='relative, color, depth, or topics below ~/ like points, scan, frame_stats '
        '(default: relative, and depth where there are metres)',
    )
    process.add_argument(
        '--copy',
        metavar='TOPIC',
        action=Names,
        nargs='+',
        default=['all'],
        help='what else to keep: all, none, or topics (default: all)',
    )
    process.add_argument(
        '--storage', choices=('mcap', 'sqlite3'), default='', help="default: the input's"
    )
    process.add_argument('--compress', action='store_true', help='with zstd, as rosbag2 does')
    process.add_argument(
        '--allow-missing',
        action='store_true',
        help='exit status 0 although something is left out',
    )
    process.add_argument('--json', action='store_true', help='print the summary as JSON')


def process_options(options: argparse.Namespace, *, resume: bool) -> ProcessOptions:
    """Return what the options of `add_process_options` say."""
    from depth_anything_ros.bag.plan import ProcessOptions

    return ProcessOptions(
        tuple(options.image),
        options.camera_info,
        options.reference,
        options.tf,
        tuple(options.outputs),
        tuple(options.copy),
        options.storage,
        options.compress,
        resume,
    )


def _process(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.jobs import process_bags
    from depth_anything_ros.bag.summary import json_text, table

    how = process_options(options, resume=options.resume)
    parameters = layered_parameters(options)
    with progress('image', leave=True) as show:
        found = process_bags(
            options.input, options.output, parameters, how, options.jobs, show, fetch
        )
    print(json_text(found) if options.json else table(found))
    missing = options.allow_missing
    return 0 if all(each.good and (missing or each.complete) for each in found) else 1
