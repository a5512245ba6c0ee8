"""`weights`: list, fetch or verify checkpoints."""

from __future__ import annotations

import argparse

from depth_anything_ros.cli.options import NETWORK, add_parameters, parameters_of
from depth_anything_ros.cli.parser import Parser, add_verb
from depth_anything_ros.cli.terminal import download_progress, print_rows
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.reports.text import aligned

__all__ = ['declare']


def declare(weights: Parser) -> None:
    """Declare the verbs and their options."""
    actions = weights.add_subparsers(required=True, metavar='VERB', title='verbs')
    for name, verb, text in (
        ('list', _weights_list, 'the known networks and which are here'),
        ('check', _weights_check, 'what a file or card is, and whether it runs'),
        ('fetch', _weights_fetch, 'download one into the cache and verify it'),
        ('verify', _weights_verify, 'check those here; those named must be, and as released'),
    ):
        action = add_verb(actions, name, text)
        action.add_argument('--json', action='store_true', help='print JSON')
        if name == 'fetch':
            add_parameters(action, ('variant', 'checkpoint'), {})
        elif name == 'check':
            action.add_argument('weights', metavar='FILE', help='.pth, .safetensors, .onnx, card')
            shared = tuple(name for name in NETWORK if name not in ('weights', 'allow_download'))
            add_parameters(action, shared, {})
        elif name == 'verify':
            names = ('variant', 'checkpoint', 'weights')
            add_parameters(action, names, {'variant': None, 'checkpoint': None})
        action.set_defaults(verb=verb)


def _weights_list(options: argparse.Namespace) -> int:
    from depth_anything_ros.model import inventory

    columns = 'family', 'variant', 'checkpoint', 'max_depth_m', 'licence', 'source', 'path'
    return print_rows(inventory.list_rows(), options.json, columns)


def _weights_check(options: argparse.Namespace) -> int:
    from depth_anything_ros.backends.check import check

    facts, runs = check(parameters_of(options))
    if options.json:
        print_rows(facts, as_json=True)
    else:
        print('\n'.join(aligned([[fact.name, fact.value] for fact in facts])))
    return 0 if runs else 1


def _weights_fetch(options: argparse.Namespace) -> int:
    from depth_anything_ros.model import inventory, weights
    from depth_anything_ros.model.releases import release_of_sha256

    with download_progress() as show:
        found = weights.fetch(options.variant, Checkpoint(options.checkpoint), show)
    row = release_of_sha256(found.sha256)
    assert row is not None
    rows = [inventory.listed(row, found.path)]
    return print_rows(rows, options.json, ('variant', 'checkpoint', 'licence', 'path'))


def _weights_verify(options: argparse.Namespace) -> int:
    from depth_anything_ros.model import inventory

    checkpoint = Checkpoint(options.checkpoint) if options.checkpoint else None
    rows = inventory.verify(options.variant, checkpoint, options.weights)
    print_rows(rows, options.json, ('variant', 'checkpoint', 'state', 'path', 'message'))
    sound = {inventory.FileState.OK}
    if options.variant is None and not options.weights:
        # Nobody needs every file there is.
        sound.add(inventory.FileState.MISSING)
    return 0 if all(row.state in sound for row in rows) else 1
