"""Options that take lists, like --variant vits,vitb: every combination is one network."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.backends.base import AUTO
from depth_anything_ros.backends.registry import BACKENDS
from depth_anything_ros.cli.options import add_parameters
from depth_anything_ros.cli.terminal import note_size
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import entries

if TYPE_CHECKING:
    from depth_anything_ros.studies.bench.bench_report import Conditions
    from depth_anything_ros.studies.bench.configuration import Configuration

__all__ = [
    'add_calibration',
    'add_grid',
    'conditions_of',
    'configurations',
    'counts',
    'every_precision',
    'peers',
]

_LISTS = ('variant', 'backend', 'precision', 'input_size', 'threads')
"""Parameters that take a list."""

_ALL = 'all'
_UPSTREAM = 'upstream'


def add_grid(parser: argparse.ArgumentParser, of_list: str, **defaults: list[Any]) -> None:
    """Add the parameters that choose networks; each takes a list like vits,vitb.

    `of_list` is the help on lists. Without a value in `defaults` a parameter keeps its own.
    """
    group = parser.add_argument_group('networks', of_list)
    for entry in entries():
        if entry.name in _LISTS:
            has_all = entry.name == 'backend'
            default = defaults.get(entry.name, [entry.default])
            group.add_argument(
                '--' + entry.name.replace('_', '-'),
                default=default,
                type=_listed(entry.check, entry.kind, has_all),
                metavar='NAME,...' if entry.choices else 'INT,...',
                help=f'{entry.description} {_allowed(entry.choices, has_all)}'
                f'Default: {",".join(map(str, default))}.',
            )
    add_parameters(group, ('device',), {})
    group.add_argument(
        '--weights',
        nargs='+',
        default=[''],
        metavar='PATH',
        help="Checkpoints, cards, or 'random': each is a network, one without a card for every "
        'variant; by default the released one where it is in the cache, else random ones: speed '
        'does not depend on them. Nothing is downloaded.',
    )


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """Add the pictures for int8."""
    parser.add_argument(
        '--calibration',
        default='',
        metavar='IN',
        help='pictures to calibrate int8 on: a bag, a folder of images or a video (default: take '
        'the network that `depth_anything export --cache` calibrated)',
    )


def counts(text: str) -> list[int]:
    """Return the numbers, each above 0, in a text like '1,4'."""
    return _listed(_above_zero, int)(text)


def peers(text: str) -> list[str]:
    """Return the names of peers in a text like 'depth-pro,yolo11n'."""
    from depth_anything_ros.studies.bench.peers import known_peer

    return _listed(known_peer, str)(text)


def configurations(options: argparse.Namespace) -> list[Configuration]:
    """Return every combination of what the options of `add_grid` list.

    --batch and --calibration need not be among the options.
    """
    from depth_anything_ros.studies.bench.configuration import (
        card_of_network,
        grid,
        named_networks,
    )

    backends = options.backend
    if _ALL in backends:
        backends = [name for name in BACKENDS if name != _UPSTREAM]
    calibration: str = getattr(options, 'calibration', '')
    if calibration and not Path(calibration).expanduser().exists():
        raise SettingError(f'--calibration {calibration} does not exist: check the path')
    for weights in options.weights:
        for name in named_networks(weights, options.variant):
            note_size(name, card_of_network(name, weights).pinned_size, *options.input_size)
    return [
        one
        for weights in options.weights
        for one in grid(
            named_networks(weights, options.variant),
            options.input_size,
            options.threads,
            backends,
            options.precision,
            getattr(options, 'batch', [1]),
            options.device,
            weights,
            calibration,
        )
    ]


def conditions_of(
    wanted: list[Configuration], size: tuple[int, int]
) -> tuple[list[Configuration], Conditions]:
    """Return the networks with their weights decided, and what goes above every table."""
    from depth_anything_ros.studies.bench.bench_report import Conditions
    from depth_anything_ros.studies.bench.configuration import with_weights
    from depth_anything_ros.studies.machine import machine_line

    chosen, weights = with_weights(wanted)
    return chosen, Conditions(machine_line(), size, weights)


def every_precision() -> list[str]:
    """Return every precision that a parameter may name."""
    (choices,) = (entry.choices for entry in entries() if entry.name == 'precision')
    return [name for name in choices if name != AUTO]


def _listed(
    check: Callable[[object], object], kind: type, has_all: bool = False
) -> Callable[[str], list[Any]]:
    """Return a parser of 'a,b' for values that `check` accepts."""

    def read(text: str) -> list[Any]:
        if has_all and text == _ALL:
            return [_ALL]
        try:
            return [check(_value(part.strip(), kind)) for part in text.split(',')]
        except SettingError as err:
            raise argparse.ArgumentTypeError(str(err)) from err

    return read


def _value(text: str, kind: type) -> object:
    try:
        return kind(text)
    except ValueError as err:
        raise SettingError(f"'{text}' is not a whole number: give some as in 1,4") from err


def _above_zero(count: object) -> object:
    if not isinstance(count, int) or count < 1:
        raise SettingError(f'{count} is below 1: give 1 or more')
    return count


def _allowed(choices: tuple[str, ...], has_all: bool) -> str:
    rest = f'; {_ALL} is each but {_UPSTREAM}' if has_all else ''
    return f'Of {", ".join(choices)}{rest}. ' if choices else ''
