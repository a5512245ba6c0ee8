"""Options that several verbs share, and what becomes of them."""

from __future__ import annotations

import argparse
import re
from typing import Any

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import Parameters, entries, parameters_from_flat

__all__ = [
    'NETWORK',
    'Verbs',
    'add_parameters',
    'parameters_of',
    'positive',
    'require_some',
    'require_writable',
    'size',
]

Verbs = Any
"""What add_subparsers gives: argparse does not say its name."""

NETWORK = (
    'variant',
    'checkpoint',
    'weights',
    'allow_download',
    'device',
    'backend',
    'precision',
    'input_size',
    'threads',
)
"""The parameters that choose a network."""


def add_parameters(
    parser: argparse.ArgumentParser, names: tuple[str, ...], defaults: dict[str, Any]
) -> None:
    """Add parameters of the node as options, `output.max_side` as --output-max-side.

    `defaults` go before those of the node; None stands for any value.
    """
    for entry in entries():
        if entry.name not in names:
            continue
        default = defaults.get(entry.name, entry.default)
        shown = entry.default if default is argparse.SUPPRESS else default
        told = 'any' if shown is None else repr(shown)
        kind: dict[str, Any] = (
            {'action': argparse.BooleanOptionalAction}
            if entry.kind is bool
            else {'type': entry.kind, 'choices': entry.choices}
            if entry.choices
            else {'type': entry.kind, 'metavar': entry.kind.__name__.upper()}
        )
        parser.add_argument(
            '--' + entry.name.replace('.', '-').replace('_', '-'),
            dest=entry.name,
            default=default,
            help=f'{entry.description} Default: {told}.'.replace('%', '%%'),
            **kind,
        )


def parameters_of(options: argparse.Namespace, **fixed: Any) -> Parameters:
    """Return the parameters that the options name; `fixed` wins over them."""
    names = {entry.name for entry in entries()}
    given = {name: value for name, value in vars(options).items() if name in names}
    return parameters_from_flat(given | fixed)


def require_some(options: argparse.Namespace, *names: str) -> None:
    """Raise SettingError for a count below 1; None is left to what reads it."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise SettingError(f'--{name} is {value}: give 1 or more')


def require_writable(options: argparse.Namespace, *names: str) -> None:
    """Raise SettingError for a file that cannot be written, before the work; None is no file."""
    for name in names:
        path = getattr(options, name)
        if path is None:
            continue
        try:
            was_there = path.exists()
            with path.open('ab'):
                pass
            if not was_there:
                path.unlink()
        except OSError as err:
            raise SettingError(f'--{name} {path} cannot be written: {err.strerror}') from err


def size(text: str) -> tuple[int, int]:
    """Read '640x480'; neither side is 0."""
    match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', text)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text} is no size: give it as 640x480')
    return int(match[1]), int(match[2])


def positive(text: str) -> float:
    """Read a finite number above 0."""
    value = float(text)
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is not a positive number')
    return value
