"""Where the bags of a fleet lie, and where their outputs go: folders or object storage.

fsspec reads and writes both: a path, or a URL such as s3://bucket/folder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from depth_anything_ros.bag.writing import METADATA, check_free, partial_of, remove_partial
from depth_anything_ros.core.errors import SettingError, shown

__all__ = ['FleetBag', 'fetched', 'find_bags', 'is_there', 'output_folder']

_RECORDING = re.compile(r'(?<=[^/])\.(mcap|db3|bag)(\.(zstd|zst|gz|bz2|xz|lz4|zip|tar|tgz))?$')
_SCRATCH = '.fleet-'
_DOWNLOADED = 'depth_anything-fleet-'


@dataclass(frozen=True)
class FleetBag:
    """A bag at `source`, a path or a URL, and the place `out` of its output; `name` is unique."""

    name: str
    source: str
    out: str


def find_bags(places: Sequence[str], out: str) -> list[FleetBag]:
    """Return the bags at `places`: a bag itself, or all below a folder, by name.

    A folder with metadata.yaml is one bag; elsewhere each .mcap or .db3 file is one. The output of
    IN/a/b is OUT/a/b. What lies below `out` is not an input. SettingError where there is no bag,
    or where two have the same name.
    """
    bags: dict[str, FleetBag] = {}
    for place in places:
        found = list(_below(place, out))
        if not found:
            raise SettingError(
                f'{place} holds no bag outside of {out}: give a .mcap or .db3 file, or a folder '
                'with such files or metadata.yaml at any depth'
            )
        for source, name in found:
            bag = FleetBag(name, source, f'{out.rstrip("/")}/{name}')
            if name in bags:
                raise SettingError(
                    f'{bags[name].source} and {source} would both become {bag.out}: give the '
                    'folder above them, or rename one'
                )
            bags[name] = bag
    return [bags[name] for name in sorted(bags)]


def _below(place: str, out: str) -> Iterator[tuple[str, str]]:
    """Return (source, name) of each bag at a place."""
    files, root = _file_system(place)
    if not files.exists(root):
        raise SettingError(f'{place} does not exist: check the path')
    if files.isfile(root):
        if _RECORDING.search(root):
            yield _address(files, root), _RECORDING.sub('', PurePosixPath(root).name)
        return
    if files.exists(f'{root}/{METADATA}'):
        yield _address(files, root), PurePosixPath(root).name
        return
    paths = _found(files, root)
    folders = {path.parent for path in paths if path.name == METADATA}
    recordings = {path for path in paths if _RECORDING.search(str(path))}
    alone = {path for path in recordings if folders.isdisjoint(path.parents)}
    out_files, outputs = _file_system(out)
    for path in folders | alone:
        inside = type(out_files) is type(files) and path.is_relative_to(outputs)
        if not inside and f'/{_SCRATCH}' not in str(path):
            name = str(path.relative_to(root))
            yield _address(files, str(path)), name if path in folders else _RECORDING.sub('', name)


def is_there(bag: FleetBag) -> bool:
    """Return whether the output of a bag is finished: metadata.yaml is written last."""
    files, root = _file_system(bag.out)
    return bool(files.exists(f'{root}/{METADATA}'))


@contextmanager
def fetched(bag: FleetBag) -> Iterator[Path]:
    """Return the path of a bag on this machine, where it is a copy for this block only."""
    files, root = _file_system(bag.source)
    if _is_local(files):
        yield Path(root)
        return
    with TemporaryDirectory(prefix=_DOWNLOADED) as folder:
        copy = Path(folder, PurePosixPath(root).name)
        for path in _found(files, root):
            target = copy / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(str(path), str(target))
        yield copy


@contextmanager
def output_folder(bag: FleetBag) -> Iterator[Path]:
    """Return where to write the output of a bag; what is there at the end moves to its place.

    That is the bag, or one that stopped early (.partial), also after an error; it replaces the
    .partial of an earlier run. What a worker that was lost left behind is removed first.
    SettingError where something else is at its place.
    """
    files, root = _file_system(bag.out)
    target = Path(root)
    if not _is_local(files):
        with TemporaryDirectory(prefix=_DOWNLOADED) as folder:
            out = Path(folder, target.name)
            try:
                yield out
            finally:
                for made in _made(out):
                    if files.exists(partial := str(partial_of(target))):
                        files.rm(partial, recursive=True)
                    _upload(made, files, str(target.with_name(made.name)))
        return
    check_free(target, partial_allowed=True)
    # On the same disk, so that the output appears at once.
    scratch = target.with_name(f'{_SCRATCH}{target.name}')
    shutil.rmtree(scratch, ignore_errors=True)
    out = scratch / target.name
    try:
        yield out
    finally:
        try:
            for made in _made(out):
                remove_partial(target)
                made.rename(target.with_name(made.name))
        except OSError as err:
            raise SettingError(f'{target} cannot be written: {err.strerror}') from err
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _made(out: Path) -> list[Path]:
    """Return the bag that was written: it is whole, or stopped early."""
    return [path for path in (out, partial_of(out)) if path.exists()]


def _upload(folder: Path, files: Any, place: str) -> None:
    """Write a bag into object storage, metadata.yaml last."""
    for part in sorted(folder.iterdir(), key=lambda path: path.name == METADATA):
        files.put_file(str(part), f'{place}/{part.name}')


def _file_system(place: str) -> tuple[Any, str]:
    """Return the file system of fsspec and the path in it."""
    try:
        files, root = url_to_fs(place if '://' in place else str(Path(place).expanduser()))
    except (ImportError, ValueError) as err:
        raise SettingError(f'{place}: {err}; give a path, or a URL such as s3://bucket') from err
    return files, root.rstrip('/') or '/'


def _found(files: Any, root: str) -> list[PurePosixPath]:
    """Return the files at or below `root`; in object storage a name may be any text."""
    paths = [PurePosixPath(path) for path in files.find(root)]
    for path in paths:
        if '..' in path.parts or not path.is_relative_to(root):
            raise SettingError(f'{shown(str(path))} leads out of its folder: rename it')
    return paths


def _is_local(files: Any) -> bool:
    return isinstance(files, LocalFileSystem)


def _address(files: Any, path: str) -> str:
    return path if _is_local(files) else str(files.unstrip_protocol(path))
