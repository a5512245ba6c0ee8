"""The rows of `depth_anything weights list` and `weights verify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.model import hub
from depth_anything_ros.model.checksum import sha256_of
from depth_anything_ros.model.manifest import (
    ANNOUNCED,
    MANIFEST,
    Release,
    release_of_sha256,
)
from depth_anything_ros.model.variants import Checkpoint, get_variant
from depth_anything_ros.model.weights import check_file, given_path

__all__ = ['CheckedFile', 'FileState', 'ListedFile', 'list_rows', 'verify']


class FileState(str, Enum):
    """Result of the verification of one file."""

    OK = 'ok'
    UNKNOWN = 'unknown'
    MISSING = 'missing'
    BAD = 'bad'


@dataclass(frozen=True)
class ListedFile(Release):
    """One row of `weights list`. `path` is None while the file is not in the cache.

    A variant that was announced and never released has `released` False and no file.
    """

    released: bool = True
    path: Path | None = None


@dataclass(frozen=True)
class CheckedFile:
    """One row of `weights verify`; `message` says what is wrong unless the state is OK.

    `variant` is '' and `checkpoint` None where neither the caller nor the sha256 determines it.
    """

    variant: str
    checkpoint: Checkpoint | None
    path: Path | None
    state: FileState
    message: str


def list_rows(*, manifest: Sequence[Release] = MANIFEST) -> list[ListedFile]:
    """Return a row for each released file and each variant that was only announced.

    Raises WeightsError when the cache cannot be read.
    """
    return [ListedFile(**vars(row), path=hub.cached(row)) for row in manifest] + [
        ListedFile(name, Checkpoint.RELATIVE, '', '', '', 0, '', '', released=False)
        for name in ANNOUNCED
    ]


def verify(
    variant: str | None = None,
    checkpoint: Checkpoint | None = None,
    weights: str = '',
    *,
    manifest: Sequence[Release] = MANIFEST,
) -> list[CheckedFile]:
    """Return a row for each file, hashed again whatever was verified before.

    With `weights` that file, or the released files in that folder; else the cached file of each
    released row. `variant` and `checkpoint` select, None meaning any. What is wrong with a file
    is the message of its row. Raises WeightsError for a path that does not exist or a cache
    that cannot be read, SettingError for an unknown variant.
    """
    if variant is not None:
        get_variant(variant)
    wanted = [
        row
        for row in manifest
        if variant in (None, row.variant) and checkpoint in (None, row.checkpoint)
    ]
    path = given_path(weights) if weights else None
    if path is not None and not path.is_dir():
        return [_checked(path, variant, checkpoint, manifest)]
    found = [
        (row, hub.cached(row) if path is None else _if_there(path / row.filename))
        for row in wanted
    ]
    return [
        CheckedFile(
            row.variant,
            row.checkpoint,
            None,
            FileState.MISSING,
            f'{row.filename} is not in {path or "the cache"}: run `{row.fetch_command}`',
        )
        if file is None
        else _checked(file, row.variant, row.checkpoint, manifest)
        for row, file in found
    ]


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _checked(
    path: Path,
    variant: str | None,
    checkpoint: Checkpoint | None,
    manifest: Sequence[Release],
) -> CheckedFile:
    try:
        # Hashed here without the record, which this refreshes: check_file then may use it.
        row = release_of_sha256(sha256_of(path, use_record=False), manifest)
    except OSError:
        row = None
    expected = variant or (row.variant if row else '')
    kind = checkpoint or (row.checkpoint if row else None)
    try:
        file = check_file(path, expected, kind or Checkpoint.RELATIVE, manifest=manifest)
    except WeightsError as err:
        return CheckedFile(expected, kind, path, FileState.BAD, str(err))
    if file.known:
        return CheckedFile(expected, kind, path, FileState.OK, '')
    message = f'unknown checkpoint: sha256 {file.sha256} is no released file'
    return CheckedFile(expected, kind, path, FileState.UNKNOWN, message)
