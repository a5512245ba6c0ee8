"""What the commands of the laboratory share: options, exit status and how rows are printed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from depth_anything_ros.cli.exit_status import exit_status
from depth_anything_ros.cli.options import NETWORK, add_parameters, parameters_of
from depth_anything_ros.cli.parser import Parser
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.studies.bench.configuration import weights_here

__all__ = [
    'add_json',
    'add_network',
    'network_of',
    'parser_of',
    'run',
]

_NETWORK = tuple(name for name in NETWORK if name not in ('checkpoint', 'allow_download'))


def parser_of(module: str, text: str | None) -> Parser:
    """Return a parser for `python -m module`, described by the first paragraph of `text`."""
    description = (text or '').partition('\n\n')[0]
    return Parser(prog=f'python -m {module}', description=description)


def run(
    parser: Parser, args: Sequence[str] | None, command: Callable[[argparse.Namespace], int]
) -> int:
    """Parse, and return the exit status of `command` as `depth_anything` does."""
    return exit_status(parser.prog, lambda: command(parser.parse_args(args)))


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument('--json', action='store_true', help='print JSON')


def add_network(parser: argparse.ArgumentParser, names: Sequence[str] = _NETWORK) -> None:
    """Add the parameters that choose one network."""
    text = (
        'Without --weights the released ones where they are in the cache, else random ones; '
        'nothing is downloaded.'
    )
    add_parameters(parser.add_argument_group('network', text), tuple(names), {})


def network_of(options: argparse.Namespace, **fixed: Any) -> Parameters:
    """Return the parameters that the options of `add_network` name; `fixed` wins over them."""
    given = {'weights': '', **vars(options), **fixed}
    weights = weights_here(given['variant'], given['weights'])
    return parameters_of(options, **{**fixed, 'weights': weights, 'allow_download': False})
