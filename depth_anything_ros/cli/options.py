"""Options that several verbs share, and the values they stand for."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import Parameters, entries, parameters_from_flat
from depth_anything_ros.core.parameters.entries import Entry

__all__ = [
    'NETWORK',
    'Names',
    'Options',
    'Verbs',
    'add_layered_parameters',
    'add_limits',
    'add_network',
    'add_parameters',
    'add_size',
    'layered_parameters',
    'limits_of',
    'parameter_inputs',
    'parameters_of',
    'positive',
    'require_some',
    'require_writable',
    'size',
]

Options = argparse.ArgumentParser | argparse._ArgumentGroup
"""What takes options: a parser, or a group of one."""

Verbs = Any
"""What add_subparsers returns: argparse does not name its type."""

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


class Names(argparse.Action):
    """Some of `choices`, or any names, as words or with commas: `color npy` or `color,npy`."""

    def __init__(self, *args: Any, choices: Iterable[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self._known = tuple(choices)

    def __call__(
        self, parser: object, found: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Take the words of one option."""
        names = [name for word in values for name in word.split(',') if name]
        for name in names:
            if self._known and name not in self._known:
                known = ', '.join(self._known)
                raise argparse.ArgumentError(self, f'{name!r}: choose from {known}')
        setattr(found, self.dest, names)


_METAVARS = {int: 'INT', float: 'FLOAT', str: 'TEXT'}

_LONGEST_CHOICES = 45
"""Letters of the choices that a line of 80 columns shows behind the option."""


def add_network(
    parser: argparse.ArgumentParser,
    defaults: dict[str, Any] | None = None,
    names: tuple[str, ...] = NETWORK,
) -> None:
    """Add the parameters that choose a network, in a group of their own."""
    add_parameters(parser.add_argument_group('network'), names, defaults or {})


def add_parameters(
    parser: Options,
    names: tuple[str, ...],
    defaults: dict[str, Any],
    shorter: Mapping[str, str] | None = None,
) -> None:
    """Add parameters of the node as options, `output.max_side` as --output-max-side.

    docs/parameters.md says of them what does not fit into a line or two.
    `defaults` take precedence over those of the node; None stands for any value. `shorter` names
    options otherwise.
    """
    for entry in entries():
        if entry.name not in names:
            continue
        default = defaults.get(entry.name, entry.default)
        shown = entry.default if default is argparse.SUPPRESS else default
        text = 'any' if shown is None else repr(shown)
        one_of = ''
        kind: dict[str, Any]
        if entry.kind is bool:
            kind = {'action': argparse.BooleanOptionalAction}
        else:
            kind = {'type': _checked(entry), 'metavar': _METAVARS[entry.kind]}
            if entry.choices:
                kind = {'type': entry.kind, 'choices': entry.choices}
            if sum(map(len, entry.choices)) > _LONGEST_CHOICES:
                kind['metavar'] = 'NAME'
                one_of = f' One of {", ".join(entry.choices)}.'
        flag = '--' + entry.name.replace('.', '-').replace('_', '-')
        parser.add_argument(
            (shorter or {}).get(entry.name, flag),
            dest=entry.name,
            default=default,
            help=f'{_brief(entry.description)}.{one_of} Default: {text}.'.replace('%', '%%'),
            **kind,
        )


def _checked(entry: Entry) -> Callable[[str], object]:
    """Return a parser of values of a parameter, which argparse names as the option."""

    def read(text: str) -> object:
        try:
            return entry.check(entry.kind(text))
        except SettingError as err:
            raise argparse.ArgumentTypeError(str(err).removeprefix(f'{entry.name} is ')) from err
        except ValueError as err:
            what = 'a whole number' if entry.kind is int else 'a number'
            raise argparse.ArgumentTypeError(f'{text!r} is not {what}') from err

    return read


def _brief(description: str) -> str:
    """Return the first of its clauses."""
    return re.split(r'[.;] ', description)[0].rstrip('.')


def add_limits(parser: argparse.ArgumentParser, limits: Any) -> None:
    """Add a dataclass of limits as options, in a group of their own."""
    group = parser.add_argument_group('limits', 'inf allows anything')
    for limit in dataclasses.fields(limits):
        name = '--' + limit.name.replace('_', '-')
        text = f'{limit.metadata["help"]} (default: {limit.default:g})'
        group.add_argument(name, type=float, default=limit.default, metavar='LIMIT', help=text)


def limits_of(options: argparse.Namespace, limits: Any) -> Any:
    """Return the dataclass `limits` with what the options say."""
    names = [each.name for each in dataclasses.fields(limits)]
    return limits(**{name: getattr(options, name) for name in names})


def parameters_of(options: argparse.Namespace, **fixed: Any) -> Parameters:
    """Return the parameters that the options name; `fixed` wins over them."""
    return parameters_from_flat(_parameters_in(options) | fixed)


def _parameters_in(options: argparse.Namespace) -> dict[str, Any]:
    names = {entry.name for entry in entries()}
    return {name: value for name, value in vars(options).items() if name in names}


def add_layered_parameters(parser: argparse.ArgumentParser, names: tuple[str, ...]) -> None:
    """Add a file, the parameters `names` as options, and settings of any: the last one wins."""
    parser.add_argument(
        '--params', metavar='FILE', type=Path, help='parameters as for the node; options win'
    )
    parser.add_argument(
        '--set',
        metavar='NAME=VALUE',
        action='append',
        default=[],
        help='any parameter, repeated; wins over file and options',
    )
    # Not given, an option must not win over the file.
    add_network(parser, dict.fromkeys(names, argparse.SUPPRESS), names)


def layered_parameters(options: argparse.Namespace, **defaults: Any) -> Parameters:
    """Return the parameters of `add_layered_parameters`; `defaults` yield to all of them."""
    from depth_anything_ros.settings.parameter_files import (
        parameters_from_file,
        parameters_from_settings,
    )

    in_file = parameters_from_file(options.params) if options.params else {}
    settings = parameters_from_settings(options.set)
    return parameters_from_flat(defaults | in_file | _parameters_in(options) | settings)


def parameter_inputs(options: argparse.Namespace) -> list[Path]:
    """Return the files that the options of `add_layered_parameters` name."""
    weights = getattr(options, 'weights', '')
    return [*filter(None, (options.params, weights and Path(weights)))]


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add --size, the width and height of the images."""
    parser.add_argument(
        '--size', type=size, metavar='WxH', default=(640, 480), help='image (default: 640x480)'
    )


def require_some(options: argparse.Namespace, *names: str) -> None:
    """Raise SettingError for a count below 1; None is allowed."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise SettingError(f'--{name} is {value}: give 1 or more')


def require_writable(options: argparse.Namespace, *names: str) -> None:
    """Raise SettingError, before the work, for a file that cannot be written; None is allowed."""
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
    """Return (width, height) of '640x480'; neither is 0."""
    match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', text)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text} is not a size: give it as 640x480')
    return int(match[1]), int(match[2])


def positive(text: str) -> float:
    """Return a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is not a positive number')
    return value
