"""`bench` of the network: options as lists, rows as tables, JSON and a picture."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from depth_anything_ros.backends.base import AUTO
from depth_anything_ros.backends.registry import BACKENDS
from depth_anything_ros.cli.options import add_parameters, require_some, require_writable
from depth_anything_ros.cli.terminal import follow, print_rows
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import entries

if TYPE_CHECKING:
    from depth_anything_ros.studies.bench.configuration import Configuration, Engine
    from depth_anything_ros.studies.bench.measure import Plan
    from depth_anything_ros.studies.bench.report import Conditions
    from depth_anything_ros.studies.bench.row import Row

__all__ = [
    'GRID',
    'accuracy',
    'add_grid',
    'batches',
    'conditions_of',
    'configurations',
    'every_precision',
    'listed',
    'network',
    'only',
    'profile',
    'start',
    'table',
]

GRID = ('variant', 'backend', 'precision', 'input_size', 'threads', 'batch')
"""Options that take a list."""

_ALL = 'all'
_UPSTREAM = 'upstream'
_EVERY_VARIANT = ['vits', 'vitb', 'vitl']
_BATCH = 4
_FRAMES = 20
_SECONDS = 60.0


def add_grid(parser: argparse.ArgumentParser, of_list: str, **defaults: list[Any]) -> None:
    """Add the parameters that choose networks; each takes a list like vits,vitb.

    `of_list` tells the help what comes of one; a parameter not in `defaults` has its own.
    """
    for entry in entries():
        if entry.name in GRID:
            has_all = entry.name == 'backend'
            parser.add_argument(
                '--' + entry.name.replace('_', '-'),
                dest=entry.name,
                default=defaults.get(entry.name),
                type=listed(entry.check, entry.kind, has_all),
                metavar=f'{entry.kind.__name__.upper()},...',
                help=f'{entry.description} {_allowed(entry.choices, has_all)}{of_list} '
                f'Default: {",".join(map(str, defaults.get(entry.name, [entry.default])))}.',
            )
    add_parameters(parser, ('device',), {})
    parser.add_argument(
        '--weights',
        default='',
        help="Path of a checkpoint, or 'random'; by default the released one where it is in the "
        'cache, else random ones: speed does not depend on them. Nothing is downloaded.',
    )


def batches(text: str) -> list[int]:
    """Read '1,4'."""
    return listed(_above_zero, int)(text)


def only(options: argparse.Namespace) -> None:
    """Turn lists into their one value, in place, for a bench of a single network."""
    from depth_anything_ros.studies.bench.configuration import weights_here

    defaults = {entry.name: entry.default for entry in entries()} | {'batch': 1}
    for name in GRID:
        values = getattr(options, name) or [defaults[name]]
        if len(values) > 1:
            raise SettingError(
                f'--{name.replace("_", "-")} has {len(values)} values, and bench {options.what} '
                'takes one'
            )
        setattr(options, name, values[0])
    options.weights = weights_here(options.variant, options.weights)
    options.allow_download = False


def configurations(options: argparse.Namespace, **defaults: list[Any]) -> list[Configuration]:
    """Return every combination of what the options, or else `defaults`, list."""
    from depth_anything_ros.studies.bench.configuration import grid

    own = {entry.name: [entry.default] for entry in entries()} | {'batch': [1]} | defaults
    lists = {name: getattr(options, name, None) or own[name] for name in GRID}
    if _ALL in lists['backend']:
        lists['backend'] = [name for name in BACKENDS if name != _UPSTREAM]
    return grid(
        lists['variant'],
        lists['input_size'],
        lists['threads'],
        lists['backend'],
        lists['precision'],
        lists['batch'],
        options.device,
        options.weights,
    )


def network(options: argparse.Namespace) -> int:
    """Time every combination."""
    from depth_anything_ros.studies.bench.report import json_text, text

    if options.plot:
        # Where matplotlib is missing, that is said before the work.
        from depth_anything_ros.studies.bench.plot import plot
        from depth_anything_ros.studies.plots import refuse_format

        refuse_format(options.plot)
    require_writable(options, 'plot')
    wanted, conditions = conditions_of(configurations(options), options)
    rows = _rows(wanted, _plan(options, _baseline(options)))
    if options.json:
        print(json_text(rows, conditions))
    else:
        print(text(rows, conditions, options.markdown))
    ran = _some_ran(rows)
    if options.plot and ran:
        plot(rows, conditions, options.plot)
        print(f'look at {options.plot}', file=sys.stderr)
    return 0 if ran else 1


def start(options: argparse.Namespace) -> int:
    """Time from starting a process to its first answer."""
    from depth_anything_ros.studies.bench.report import start_text
    from depth_anything_ros.studies.bench.starts import measure_starts

    wanted, conditions = conditions_of(configurations(options), options)
    with _bar() as bar:
        starts = list(measure_starts(wanted, options.size, on_progress=follow(bar)))
    if options.json:
        return print_rows(starts, (), as_json=True)
    print('\n'.join(conditions.lines()), end='\n\n')
    print(start_text(starts, options.markdown))
    return 0 if any(not one.note for one in starts) else 1


def accuracy(options: argparse.Namespace) -> int:
    """Judge every combination on scenes that no network has seen."""
    from lab.claims.accuracy import Accuracy, measure_accuracy

    require_some(options, 'scenes')
    wanted, conditions = conditions_of(configurations(options), options)
    with _bar() as bar:
        rows = measure_accuracy(wanted, options.scenes, options.size, follow(bar))
    ran = [row for row in rows if not row.note]
    if not options.json:
        print('\n'.join(conditions.lines()), end='\n\n')
        for row in rows:
            if row.note:
                print(f'left out: {row.backend} {row.precision}: {row.note}', file=sys.stderr)
    columns = [field.name for field in fields(Accuracy) if field.name != 'note']
    print_rows(rows if options.json else ran, columns, options.json)
    return 0 if ran else 1


def profile(options: argparse.Namespace) -> int:
    """Say where the time of each network goes."""
    from depth_anything_ros.studies.bench.profile import Part
    from depth_anything_ros.studies.bench.profile import profile as parts_of

    wanted, conditions = conditions_of(configurations(options), options)
    calls = _frames(options)
    rows = [part for one in wanted for part in parts_of(one, options.size, calls)]
    if not options.json:
        print('\n'.join(conditions.lines()), end='\n\n')
    return print_rows(rows, [field.name for field in fields(Part)], options.json)


def table(options: argparse.Namespace) -> int:
    """Print the tables of docs/benchmarks.md: networks, batches, starts."""
    from depth_anything_ros.studies.bench.report import start_text, text
    from depth_anything_ros.studies.bench.starts import measure_starts

    if options.json or options.plot:
        raise SettingError('bench table prints text or --markdown: take bench network for others')
    listed = configurations(
        options, variant=_EVERY_VARIANT, backend=[_ALL], precision=every_precision()
    )
    wanted, conditions = conditions_of(listed, options)
    rows = _rows(wanted, _plan(options, _baseline(options)))
    _headed(
        'Networks, in turn with the baseline', text(rows, conditions, options.markdown), options
    )
    ran = {(row.backend, row.precision, row.variant) for row in rows if row.timing}
    smallest = [
        one
        for one in wanted
        if one.variant == wanted[0].variant and (one.backend, one.precision, one.variant) in ran
    ]
    batches: list[Row] = []
    for one in smallest:
        batches += _rows([replace(one, batch=_BATCH)], _plan(options, one.engine))
    told = text(batches, conditions, options.markdown)
    _headed(f'Batches of {_BATCH}, in turn with single images', told, options)
    with _bar() as bar:
        starts = list(measure_starts(smallest, options.size, on_progress=follow(bar)))
    _headed('From start to first image', start_text(starts, options.markdown), options)
    return 0 if _some_ran(rows) else 1


def conditions_of(
    wanted: list[Configuration], options: argparse.Namespace
) -> tuple[list[Configuration], Conditions]:
    """Decide the weights, and give what goes above every table."""
    from depth_anything_ros.studies.bench.configuration import with_weights
    from depth_anything_ros.studies.bench.report import Conditions
    from depth_anything_ros.studies.machine import machine_line

    chosen, weights = with_weights(wanted)
    return chosen, Conditions(machine_line(), options.size, weights)


def every_precision() -> list[str]:
    """Return every precision that a parameter may name."""
    (choices,) = (entry.choices for entry in entries() if entry.name == 'precision')
    return [name for name in choices if name != AUTO]


def _baseline(options: argparse.Namespace) -> Engine | None:
    from depth_anything_ros.studies.bench.configuration import Engine

    return None if options.baseline == 'none' else Engine.read(options.baseline)


def _plan(options: argparse.Namespace, baseline: Engine | None) -> Plan:
    from depth_anything_ros.studies.bench.measure import Plan

    return Plan(options.size, _frames(options), options.seconds or _SECONDS, baseline)


def _frames(options: argparse.Namespace) -> int:
    require_some(options, 'frames')
    frames: int = options.frames or _FRAMES
    return frames


def _rows(wanted: list[Configuration], plan: Plan) -> list[Row]:
    from depth_anything_ros.studies.bench.measure import measure

    with _bar() as bar:
        return list(measure(wanted, plan, follow(bar)))


def _some_ran(rows: list[Row]) -> bool:
    """Whether anything that was asked for ran: the baseline counts where it is all of it."""
    asked = [row for row in rows if not row.is_baseline] or rows
    return any(row.timing for row in asked)


def _headed(title: str, told: str, options: argparse.Namespace) -> None:
    print(f'### {title}' if options.markdown else f'{title}\n{"=" * len(title)}')
    print(f'\n{told}\n')


def _bar() -> tqdm[Any]:
    return tqdm(unit='row', disable=None, leave=False)


def listed(
    check: Callable[[object], object], kind: type, has_all: bool = False
) -> Callable[[str], list[Any]]:
    """Return a reader of 'a,b' for values that `check` takes."""

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
        raise SettingError(f"'{text}' is no whole number: give some as in 1,4") from err


def _above_zero(count: object) -> object:
    if not isinstance(count, int) or count < 1:
        raise SettingError(f'a batch of {count} holds no image: give 1 or more')
    return count


def _allowed(choices: tuple[str, ...], has_all: bool) -> str:
    rest = f'; {_ALL} is each but {_UPSTREAM}' if has_all else ''
    return f'Of {", ".join(choices)}{rest}. ' if choices else ''
