"""Progress bars, warnings and tables on the terminal."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.reports.text import aligned, cell, plain_json

if TYPE_CHECKING:
    from depth_anything_ros.model.hub import OnProgress

__all__ = ['download_progress', 'fetch', 'load', 'note_size', 'print_rows', 'progress']

OnUpdate = Callable[..., None]
"""Called with (done, total), and with what is at work where that has a name."""

_EVERY_S = 30.0
"""Between two lines of progress where there is no terminal, in seconds."""


@contextmanager
def progress(unit: str, *, leave: bool = False, unit_scale: bool = False) -> Iterator[OnUpdate]:
    """Show a bar on a terminal, elsewhere a line now and then; both with the time that is left.

    The callback moves it, and `leave` keeps the bar at the end.
    """
    begun_s = told_s = time.monotonic()
    with tqdm(unit=unit, unit_scale=unit_scale, disable=None, leave=leave) as bar:

        def show(done: float, total: float, what: str = '') -> None:
            nonlocal told_s
            bar.total = total
            bar.set_description(what or None, refresh=False)
            bar.update(done - bar.n)
            if bar.disable and time.monotonic() - told_s > _EVERY_S:
                told_s = time.monotonic()
                so_far = done, total, told_s - begun_s
                line = f'{unit} {{n_fmt}} of {{total_fmt}}, {{remaining}} left {what}'.rstrip()
                said = tqdm.format_meter(*so_far, unit_scale=unit_scale, bar_format=line)
                print(said, file=sys.stderr, flush=True)

        yield show


@contextmanager
def download_progress() -> Iterator[OnProgress]:
    """Show a bar of bytes while weights are downloaded."""
    with progress('B', unit_scale=True) as show:
        yield lambda percent, done, total: show(done, total)


def fetch(parameters: Parameters) -> None:
    """Download the weights with a progress bar, unless they are on disk."""
    from depth_anything_ros.backends.loading import fetch_weights

    with download_progress() as on_progress:
        fetch_weights(parameters, on_progress)


def load(parameters: Parameters) -> Any:
    """Return the backend that the parameters name; warnings go to stderr."""
    from depth_anything_ros.backends.loading import load_backend

    fetch(parameters)
    backend = load_backend(parameters)
    note_size(parameters.variant, backend.info.weights.card.pinned_size, parameters.input_size)
    for notice in (*backend.info.notices, *backend.info.weights.notices()):
        print(f'warning: {notice}', file=sys.stderr)
    return backend


def note_size(name: str, pinned: int | None, *asked: int) -> None:
    """Say on stderr that an input size that was asked for is not that of a network."""
    if pinned is not None and set(asked) - {pinned, Parameters().input_size}:
        print(f'note: {name} is fixed to an input size of {pinned}', file=sys.stderr)


def print_rows(items: Sequence[Any], as_json: bool, columns: Sequence[str] = ()) -> int:
    """Print dataclasses whole as JSON, or as a table of `columns`, or of all fields; return 0.

    Without `columns` there must be at least one row.
    """
    if as_json:
        print(plain_json(items))
        return 0
    columns = columns or [field.name for field in dataclasses.fields(items[0])]
    rows = [dataclasses.asdict(item) for item in items]
    table = [list(columns)]
    table += [[_shown(row[column]) for column in columns] for row in rows]
    print('\n'.join(aligned(table)))
    return 0


def _shown(value: Any) -> str:
    return cell(value.value if isinstance(value, Enum) else value) or cell(None)
