"""What was chosen, as a parameter file for the node."""

from __future__ import annotations

import json
import textwrap
from datetime import date
from pathlib import Path

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.model.variants import VARIANTS
from depth_anything_ros.model.weights_file import RANDOM
from depth_anything_ros.studies.bench.bench_report import Conditions
from depth_anything_ros.studies.bench.row import Row

__all__ = ['figures', 'write_params']

_NAMES = ('variant', 'backend', 'precision', 'input_size', 'threads', 'device')


def write_params(path: Path, row: Row, conditions: Conditions, command: str, weights: str) -> None:
    """Write the parameters of a row that was timed, with what they were chosen by.

    `weights` is what was asked for: a path, 'random' or ''. Raises SettingError where the file
    cannot be written.
    """
    comments = [
        f'Written by `{command}` on {date.today():%Y-%m-%d}, on {conditions.machine}.',
        f'{figures(row)}, for images of {conditions.size[0]}x{conditions.size[1]}.',
    ]
    lines = [f'# {line}' for text in comments for line in textwrap.wrap(text, 97)]
    lines += ['/**:', '  ros__parameters:']
    # JSON's scalars are YAML's, and a text keeps its quotes.
    # A card says what its network is.
    names = [name for name in _NAMES if name != 'variant' or row.variant in VARIANTS]
    lines += [f'    {name}: {json.dumps(getattr(row, name))}' for name in names]
    if weights not in ('', RANDOM):
        weights = str(Path(weights).expanduser().absolute())
    if weights:
        lines.append(f'    weights: {json.dumps(weights)}')
    try:
        path.write_text('\n'.join(lines) + '\n')
    except OSError as err:
        raise SettingError(f'--out {path} cannot be written: {err.strerror}') from err


def figures(row: Row) -> str:
    """Return in one line what was timed, and how fast it was."""
    timing = row.timing
    assert timing is not None
    threads = f'threads {row.threads}' if row.threads else 'threads by the library'
    return (
        f'{row.variant} at {row.input_size} by {row.backend} in {row.precision} on {row.device}, '
        f'{threads}: p50 {timing.p50_ms:.1f} ms, p95 {timing.p95_ms:.1f} ms, '
        f'{timing.fps:.1f} images/s'
    )
