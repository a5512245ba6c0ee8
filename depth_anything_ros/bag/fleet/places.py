"""Where the bags of a fleet lie, and where their outputs go: folders or object storage.

fsspec reads and writes both: a path, or a URL such as s3://bucket/folder.
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, mkdtemp

from depth_anything_ros.bag.fleet.storage import Storage
from depth_anything_ros.bag.opening import RECORDING
from depth_anything_ros.bag.writing import METADATA, check_free, partial_of, remove_partial
from depth_anything_ros.core.errors import SettingError

__all__ = ['FleetBag', 'check_there', 'fetched', 'find_bags', 'is_there', 'output_folder']

_SCRATCH = '.fleet-'
# Of mkdtemp.
_RANDOM = 8
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
    for name, bag in bags.items():
        for above in PurePosixPath(name).parents:
            if outer := bags.get(str(above)):
                raise SettingError(
                    f'the output of {bag.source} would lie inside of that of {outer.source}: move '
                    'or rename one of them'
                )
    return [bags[name] for name in sorted(bags)]


def check_there(place: str) -> Storage:
    """Return the storage of a place; SettingError where nothing is there."""
    storage = Storage(place)
    if not storage.exists(storage.root):
        raise SettingError(f'{place} does not exist: check the path')
    return storage


def _below(place: str, out: str) -> Iterator[tuple[str, str]]:
    """Return (source, name) of each bag at a place."""
    storage = check_there(place)
    root = storage.root
    if storage.is_file(root):
        if RECORDING.search(root):
            yield storage.address(root), RECORDING.sub('', PurePosixPath(root).name)
        return
    if storage.exists(f'{root}/{METADATA}'):
        yield storage.address(root), PurePosixPath(root).name
        return
    paths = storage.files()
    folders = {path.parent for path in paths if path.name == METADATA}
    recordings = {path for path in paths if RECORDING.search(str(path))}
    alone = {path for path in recordings if path.parent not in folders}
    outputs = Storage(out)
    for path in folders | alone:
        inside = outputs.same_as(storage) and path.is_relative_to(outputs.root)
        if not inside and f'/{_SCRATCH}' not in str(path):
            name = str(path.relative_to(root))
            found = name if path in folders else RECORDING.sub('', name)
            yield storage.address(str(path)), found


def is_there(bag: FleetBag) -> bool:
    """Return whether the output of a bag is finished: metadata.yaml is written last."""
    storage = Storage(bag.out)
    return storage.exists(f'{storage.root}/{METADATA}')


@contextmanager
def fetched(bag: FleetBag) -> Iterator[Path]:
    """Return the path of a bag on this machine, where it is a copy for this block only."""
    storage = Storage(bag.source)
    root = Path(storage.root)
    if storage.is_local:
        yield root
        return
    with TemporaryDirectory(prefix=_DOWNLOADED) as folder:
        copy = Path(folder, root.name)
        for path in storage.files():
            storage.get(str(path), copy / path.relative_to(root))
        yield copy


@contextmanager
def output_folder(bag: FleetBag) -> Iterator[Path]:
    """Return where to write the output of a bag; what is there at the end moves to its place.

    That is the bag, or one that stopped early (.partial), also after an error; it replaces the
    .partial of an earlier run. What a worker that was lost left behind is removed first.
    SettingError where something else is at its place.
    """
    storage = Storage(bag.out)
    target = Path(storage.root)
    if not storage.is_local:
        with TemporaryDirectory(prefix=_DOWNLOADED) as folder:
            out = Path(folder, target.name)
            try:
                yield out
            finally:
                for made in _made(out):
                    if storage.exists(partial := str(partial_of(target))):
                        storage.remove(partial)
                    # metadata.yaml last.
                    for part in sorted(made.iterdir(), key=lambda path: path.name == METADATA):
                        storage.put(part, f'{target.with_name(made.name)}/{part.name}')
        return
    check_free(target, partial_allowed=True)
    lost = f'{_SCRATCH}{"?" * _RANDOM}-{glob.escape(target.name)}'
    for scratch in target.parent.glob(lost):
        shutil.rmtree(scratch, ignore_errors=True)
    # On the same disk, so that the output appears at once. A worker that was thought to be lost
    # has another one.
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(mkdtemp(f'-{target.name}', _SCRATCH, target.parent))
    except OSError as err:
        raise SettingError(f'{target} cannot be written: {err.strerror}') from err
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
