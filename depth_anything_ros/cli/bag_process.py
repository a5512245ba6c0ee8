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
from depth_anything_ros.cli.parser import add_verb
from depth_anything_ros.cli.terminal import fetch, progress

if TYPE_CHECKING:
    from depth_anything_ros.bag.plan import ProcessOptions

__all__ = ['add', 'add_process_options', 'process_options']


def add(bags: Verbs) -> None:
    """Declare the action and its options."""
    process = add_verb(bags, 'process', 'depth of every image of bags, into bags')
    add = process.add_argument
    text = 'bags: folders, .mcap or .db3 files'
    add('input', metavar='IN', nargs='+', type=Path, help=text)
    text = 'the bag to write; of several, their folder'
    add('output', metavar='OUT', type=Path, help=text)
    add_process_options(process)
    text = 'skip outputs that are finished; start interrupted ones (OUT.partial) again'
    add('--resume', action='store_true', help=text)
    add('--jobs', type=int, default=1, help='bags at a time, each on --threads (default: 1)')
    add_layered_parameters(process, (*NETWORK, 'reference.type'))
    process.set_defaults(verb=_process)


def add_process_options(process: argparse.ArgumentParser) -> None:
    """Add what says how bags are processed, wherever they are."""
    add = process.add_argument
    text = 'once for each camera (default: every colour one)'
    add('--image', metavar='TOPIC', action='append', default=[], help=text)
    add('--camera-info', metavar='TOPIC', default='', help='default: beside the image')
    text = 'what measures metres: depth, cloud, scan, odometry'
    add('--reference', metavar='TOPIC', default='', help=text)
    add('--tf', metavar='TOPIC', default='', help='transforms (default: by namespace, or /tf)')
    text = 'relative, color, depth, or topics below ~/ like points, scan, frame_stats (default: '
    text += 'relative, and depth where there are metres)'
    add('--outputs', metavar='NAME', action=Names, nargs='+', default=[], help=text)
    text = 'what else to keep: all, none, or topics (default: all)'
    add('--copy', metavar='TOPIC', action=Names, nargs='+', default=['all'], help=text)
    text = "default: the input's"
    add('--storage', choices=('mcap', 'sqlite3'), default='', help=text)
    add('--compress', action='store_true', help='with zstd, as rosbag2 does')
    text = 'exit status 0 although something is left out'
    add('--allow-missing', action='store_true', help=text)
    add('--json', action='store_true', help='print the summary as JSON')


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
