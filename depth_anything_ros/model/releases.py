"""The networks that are known: the cards in released.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from depth_anything_ros.model.card import Card, card_of_values
from depth_anything_ros.model.variants import Checkpoint

__all__ = [
    'PACKAGED',
    'RELEASES',
    'Release',
    'release_for',
    'release_named',
    'release_of_sha256',
]

PACKAGED = {'demo': Path(__file__).parent / 'demo' / 'demo.safetensors'}
"""Variants whose relative weights are files of this package."""

_EVERYONES = ('model', 'pytorch_model')
"""Names of files, without their ending, that say nothing of their content."""


@dataclass(frozen=True, kw_only=True)
class Release(Card):
    """The card of one released file; `file` and `repo_id` are plain names, never user input.

    `repo_id` is '' and `size_bytes` 0 where the file is not downloaded here.
    """

    repo_id: str = ''
    revision: str = 'main'
    size_bytes: int = 0

    @property
    def fetch_command(self) -> str:
        """Return the shell command that downloads this file into the cache."""
        assert self.repo_id and self.checkpoint
        return (
            f'depth_anything weights fetch --variant {self.variant}'
            f' --checkpoint {self.checkpoint.value}'
        )


def _read(path: Path) -> Iterator[Release]:
    own = {item.name for item in fields(Release)} - {item.name for item in fields(Card)}
    for values in yaml.safe_load(path.read_bytes()):
        hub = {name: values.pop(name) for name in own & values.keys()}
        if hub:
            values['source'] = f'https://huggingface.co/{hub["repo_id"]}'
        yield Release(**vars(card_of_values(values)), **hub)


RELEASES = tuple(_read(Path(__file__).with_name('released.yaml')))
"""Every known file."""


def release_for(variant: str, checkpoint: Checkpoint) -> Release | None:
    """Return the file that the parameters of these names mean; None where there is none."""
    wanted = variant, checkpoint
    downloaded = (row for row in RELEASES if row.repo_id)
    return next((row for row in downloaded if (row.variant, row.checkpoint) == wanted), None)


def release_of_sha256(sha256: str) -> Release | None:
    """Return the released file whose bytes have this sha256 (lower-case hex), or None."""
    return next((row for row in RELEASES if sha256 and row.sha256 == sha256), None)


def release_named(path: Path) -> Release | None:
    """Return the released file of this name, whatever its ending; None where it says nothing."""
    if path.stem in _EVERYONES:
        return None
    return next((row for row in RELEASES if Path(row.file).stem == path.stem), None)
