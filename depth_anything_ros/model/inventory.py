"""The rows of `depth_anything weights list` and `weights verify`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path

from depth_anything_ros.core.errors import SettingError, WeightsError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.model import hub, releases
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.checksum import sha256_of
from depth_anything_ros.model.releases import Release, release_named, release_of_sha256
from depth_anything_ros.model.variants import ANNOUNCED, Checkpoint, get_variant
from depth_anything_ros.model.weights_file import check_file, given_path

__all__ = ['CheckedFile', 'FileState', 'ListedFile', 'list_rows', 'listed', 'verify']


class FileState(str, Enum):
    """Result of the verification of one file."""

    OK = 'ok'
    UNKNOWN = 'unknown'
    MISSING = 'missing'
    BAD = 'bad'


@dataclass(frozen=True)
class ListedFile:
    """One row of `weights list`. `path` is None while the file is not in the cache.

    `checkpoint` is None where no parameter of that name means it. A variant that was announced
    and never released has `released` False and no file.
    """

    family: str
    variant: str
    checkpoint: Checkpoint | None
    output: str
    max_depth_m: float | None
    file: str
    size_bytes: int
    licence: str
    source: str
    sha256: str
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


def list_rows() -> list[ListedFile]:
    """Return a row for each known file and each variant that was only announced.

    Raises WeightsError when the cache cannot be read.
    """
    announced = [
        Release(**vars(Card.of_checkpoint(name, Checkpoint.RELATIVE))) for name in ANNOUNCED
    ]
    rows = [listed(row, hub.cached(row) if row.repo_id else None) for row in releases.RELEASES]
    return rows + [replace(listed(row, None), released=False) for row in announced]


def listed(row: Release, path: Path | None) -> ListedFile:
    """Return the row of a known file, which is at `path`."""
    names = [item.name for item in fields(ListedFile) if item.name not in ('released', 'path')]
    values = {name: getattr(row, name) for name in names}
    return ListedFile(**values | {'max_depth_m': row.max_depth_m or None}, path=path)


def verify(
    variant: str | None = None, checkpoint: Checkpoint | None = None, weights: str = ''
) -> list[CheckedFile]:
    """Return a row for each file, hashed again whatever was verified before.

    With `weights` that file, or the released files in that folder; else the cached file of each
    released row. `variant` and `checkpoint` select, None meaning any. What is wrong with a file
    is the message of its row. Raises WeightsError for a path that does not exist or a cache
    that cannot be read, SettingError for a variant without files.
    """
    if variant is not None:
        get_variant(variant)
    folder = given_path(weights) if weights else None
    if folder is not None and not folder.is_dir():
        return [_checked(folder, variant, checkpoint)]
    rows = [
        _checked_release(row, folder)
        for row in releases.RELEASES
        if row.repo_id
        if variant in (None, row.variant) and checkpoint in (None, row.checkpoint)
    ]
    if not rows:
        where = ': they are inside the package' if variant in releases.PACKAGED else ''
        raise SettingError(
            f'no weights of {variant} can be downloaded{where}; name another variant'
        )
    return rows


def _checked_release(row: Release, folder: Path | None) -> CheckedFile:
    """Return the row of a released file in `folder`, or in the cache."""
    path = hub.cached(row) if folder is None else folder / row.file
    if path is not None and path.exists():
        return _checked(path, row.variant, row.checkpoint)
    message = f'{row.file} is not in {folder or "the cache"}: run `{row.fetch_command}`'
    return CheckedFile(row.variant, row.checkpoint, None, FileState.MISSING, message)


def _checked(path: Path, variant: str | None, checkpoint: Checkpoint | None) -> CheckedFile:
    try:
        # Hashed here without the record, which this refreshes: check_file then may use it.
        row = release_of_sha256(sha256_of(path, use_record=False)) or release_named(path)
    except OSError:
        row = None
    expected = variant or (row.variant if row else '')
    kind = checkpoint or (row.checkpoint if row else None)
    try:
        file = check_file(path, expected or Parameters().variant, kind or Checkpoint.RELATIVE)
    except WeightsError as err:
        return CheckedFile(expected, kind, path, FileState.BAD, str(err))
    if file.known:
        return CheckedFile(expected, kind, path, FileState.OK, '')
    message = f'unknown checkpoint: sha256 {file.sha256} is not a released file'
    return CheckedFile(expected, kind, path, FileState.UNKNOWN, message)
