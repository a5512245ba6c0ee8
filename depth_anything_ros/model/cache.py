"""Exported networks on disk: found and verified, or written once for all processes.

They are folders under $XDG_CACHE_HOME/depth_anything_ros/exports, which may be deleted at any
time. The name of a folder depends on everything that the content depends on, so it is never out of
date, except for the images of an int8 calibration: a new one replaces the last. No torch here.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock

from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.model.checksum import sha256_of
from depth_anything_ros.model.user_cache import user_cache
from depth_anything_ros.model.weights_file import WeightsFile

__all__ = ['Format', 'content_of', 'find_export', 'keep_export']

EXPORT_VERSION = 1
"""Increase it when model/export.py writes another network for the same weights."""

_LIST = 'sha256.json'
"""Written last: the name and sha256 of every other file in the folder."""

_log = logging.getLogger(__name__)
_unkept: dict[str, Path] = {}
"""Exports of this process, by name, that could not be written to the cache."""


class Format(str, Enum):
    """File format of an exported network."""

    OPENVINO = 'openvino'
    ONNX = 'onnx'

    @property
    def suffix(self) -> str:
        """Return the ending of the file's name."""
        return {'openvino': '.xml', 'onnx': '.onnx'}[self.value]

    @property
    def runtime(self) -> str:
        """Return the package that loads it; each version of it has an export of its own."""
        return {'openvino': 'openvino', 'onnx': 'onnxruntime'}[self.value]


def find_export(weights: WeightsFile, form: Format, *, int8: bool = False) -> Path | None:
    """Return the network exported from `weights`; None where it is missing or damaged.

    int8: the quantised one. Takes milliseconds once it was verified, else as long as hashing it.
    """
    name = _name(weights, form, int8)
    if name in _unkept:
        return _unkept[name]
    root = user_cache()
    if root is None or not _is_whole(root / 'exports' / name):
        return None
    return root / 'exports' / name / ('network' + form.suffix)


def keep_export(
    weights: WeightsFile, form: Format, write: Callable[[Path], None], *, int8: bool = False
) -> Path:
    """Return the network exported from `weights`; where it is missing, `write` writes it.

    A quantised one replaces the last: it depends on the images of its calibration. One process
    writes while others that need the same wait. Where the cache cannot be written, the export
    lasts as long as this process, with a warning. `write` is called with the path of the file
    and raises OSError where it cannot be written. Raises BackendError where even a temporary
    folder cannot be written, and what else `write` raises.
    """
    name = _name(weights, form, int8)
    root = user_cache()
    try:
        if root is None:
            raise OSError('this user has no home, and XDG_CACHE_HOME is not set to a folder')
        folder = root / 'exports'
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f'{name}.lock'):
            found = None if int8 else find_export(weights, form)
            if found is None:
                _write_entry(folder, name, form, write)
                found = folder / name / ('network' + form.suffix)
            return found
    except OSError as err:
        _log.warning(
            'the exported network cannot be kept in %s (%s): it is made anew at every start until'
            ' that folder can be written',
            'a cache' if root is None else root,
            err.strerror or err,
        )
    try:
        unkept = Path(mkdtemp(prefix='depth_anything_ros-'), 'network' + form.suffix)
        atexit.register(shutil.rmtree, unkept.parent, ignore_errors=True)
        write(unkept)
    except OSError as err:
        raise BackendError(
            f'the exported {weights.name} cannot be written anywhere ({err}): free some space,'
            ' or set TMPDIR to a folder that can be written'
        ) from err
    _unkept[name] = unkept
    return unkept


def content_of(weights: WeightsFile) -> tuple[object, ...]:
    """Return what determines the output of a network, as a tuple with a stable `repr`."""
    # Random weights are seeded, so they are equal for the same version of torch.
    content = weights.sha256 or f'random {_version("torch")}'
    card = weights.card
    if card.is_onnx:
        return card, content
    return card.architecture, card.kind, content


def _name(weights: WeightsFile, form: Format, int8: bool) -> str:
    whole = repr((EXPORT_VERSION, content_of(weights), form.value, _version(form.runtime)))
    digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
    kind = f'{form.value}-int8' if int8 else form.value
    return f'{weights.name}-{weights.card.kind}-{kind}-{digest}'


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ''


def _is_whole(entry: Path) -> bool:
    try:
        listed = json.loads((entry / _LIST).read_text(encoding='utf-8'))
        return bool(listed) and all(
            sha256_of(entry / name) == sha256 for name, sha256 in listed.items()
        )
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def _write_entry(folder: Path, name: str, form: Format, write: Callable[[Path], None]) -> None:
    """Write the folder under another name, then rename it; called under the lock."""
    for left in folder.glob(f'{name}*.tmp'):
        shutil.rmtree(left, ignore_errors=True)
    draft = Path(mkdtemp(prefix=f'{name}-', suffix='.tmp', dir=folder))
    try:
        write(draft / ('network' + form.suffix))
        listed = {path.name: sha256_of(path, use_record=False) for path in draft.iterdir()}
        (draft / _LIST).write_text(json.dumps(listed), encoding='utf-8')
        if (folder / name).exists():
            shutil.rmtree(folder / name)
        draft.rename(folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
