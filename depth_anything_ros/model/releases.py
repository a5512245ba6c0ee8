"""The released checkpoints of Depth Anything V2: a file is a row of releases.csv.

The sha256 is the pin: a file counts as released only when its bytes hash to it. The revision
is the commit of the repository that served those bytes. Sizes and sha256 each agree in two or
more independent public projects that pin these files, and so do the revisions, but for vitb
metric_indoor and vitb metric_outdoor, whose revisions a single project states.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.model.variants import Checkpoint

__all__ = ['ANNOUNCED', 'PACKAGED', 'RELEASES', 'Release', 'release_for', 'release_of_sha256']

ANNOUNCED = ('vitg',)
"""Variants whose weights were announced and never released."""

PACKAGED = {'demo': Path(__file__).parent / 'demo' / 'demo.safetensors'}
"""Variants whose relative weights are files of this package."""


@dataclass(frozen=True)
class Release:
    """One released file. `filename` and `repo_id` are plain names, never user input."""

    variant: str
    checkpoint: Checkpoint
    repo_id: str
    filename: str
    sha256: str
    size_bytes: int
    licence: str
    revision: str = 'main'

    @property
    def title(self) -> str:
        """Return its name for messages, for instance 'vits relative'."""
        return f'{self.variant} {self.checkpoint.value}'

    @property
    def non_commercial(self) -> bool:
        """Return whether the licence, or that of its origin, forbids commercial use."""
        return 'NC' in self.licence

    @property
    def fetch_command(self) -> str:
        """Return the shell command that downloads this file into the cache."""
        return (
            f'depth_anything weights fetch --variant {self.variant}'
            f' --checkpoint {self.checkpoint.value}'
        )


def _read(table: Path) -> Iterator[Release]:
    with table.open(newline='', encoding='utf-8') as file:
        for row in csv.DictReader(file):
            kind, size_bytes = Checkpoint(row.pop('checkpoint')), int(row.pop('size_bytes'))
            yield Release(checkpoint=kind, size_bytes=size_bytes, **row)


RELEASES = tuple(_read(Path(__file__).with_name('releases.csv')))
"""Every released file."""


def release_for(variant: str, checkpoint: Checkpoint) -> Release | None:
    """Return the released file of a variant and checkpoint; None where there is none."""
    return next(
        (row for row in RELEASES if (row.variant, row.checkpoint) == (variant, checkpoint)), None
    )


def release_of_sha256(sha256: str) -> Release | None:
    """Return the released file whose bytes have this sha256 (lower-case hex), or None."""
    return next((row for row in RELEASES if row.sha256 == sha256), None)
