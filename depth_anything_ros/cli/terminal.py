"""What verbs show while they work, and how they print what they found."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.reports.plain_json import plain_json
from depth_anything_ros.reports.text_table import aligned

if TYPE_CHECKING:
    from depth_anything_ros.model.hub import OnProgress

__all__ = ['fetch', 'follow', 'follow_download', 'load', 'print_rows']


def fetch(parameters: Parameters) -> None:
    """See that the weights are on disk, with a bar while they come."""
    from depth_anything_ros.backends.loading import fetch_weights

    with tqdm(unit='B', unit_scale=True, disable=None, leave=False) as bar:
        fetch_weights(parameters, follow_download(bar))


def load(parameters: Parameters) -> Any:
    """Return the backend that the parameters name; warnings go to stderr."""
    from depth_anything_ros.backends.loading import load_backend

    fetch(parameters)
    backend = load_backend(parameters)
    for notice in (*backend.info.notices, *backend.info.weights.notices()):
        print(f'warning: {notice}', file=sys.stderr)
    return backend


def follow(bar: tqdm[Any]) -> Callable[[float, float], None]:
    """Return a callback that moves `bar` to (done, total)."""

    def show(done: float, total: float) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return show


def follow_download(bar: tqdm[Any]) -> OnProgress:
    """Return a callback for a download of so many bytes."""
    show = follow(bar)
    return lambda percent, done, total: show(done, total)


def print_rows(items: Sequence[Any], columns: Sequence[str], as_json: bool) -> int:
    """Print dataclasses whole as JSON, or some of their fields as a table."""
    if as_json:
        print(plain_json(items))
        return 0
    rows = [dataclasses.asdict(item) for item in items]
    table = [list(columns)]
    table += [[_cell(row[column]) for column in columns] for row in rows]
    print('\n'.join(aligned(table)))
    return 0


def _cell(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    # Of all values, NaN alone is not itself.
    if value in (None, '') or value != value:
        return '-'
    return f'{value:.4g}' if isinstance(value, float) else str(value)
