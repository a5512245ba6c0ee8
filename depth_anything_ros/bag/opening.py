"""The files that make up a bag: found with or without metadata.yaml, and opened.

metadata.yaml says only in which order they come: rosbag2 writes it last, so a recording that was
cut off has none. Everything else the files say again. What cannot be opened is left out by name,
as long as something else can be.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote as shell_quote
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

from depth_anything_ros.bag.mcap_file import MAGIC, McapFile
from depth_anything_ros.bag.reasons import Reason
from depth_anything_ros.bag.unpacking import ZSTD, unpack_file
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.settings.plain_yaml import plain_yaml, plain_yaml_file

__all__ = ['RECORDING', 'Storage', 'open_storages', 'unpacked_name']

_ROS_1 = b'#ROSBAG'
_SQLITE = b'SQLite format 3\0'
_LFS = b'version https://git-lfs'
_HEAD_BYTES = 24
_SUFFIXES = ('.mcap', '.db3')
_PACKED = ('.zstd', '.zst')
_UNPACK = dict.fromkeys(('.tar', '.tgz'), 'tar -xf') | {
    '.gz': 'gunzip', '.bz2': 'bunzip2', '.xz': 'unxz', '.lz4': 'lz4 -dm', '.zip': 'unzip'
}  # fmt: skip

_ENDINGS = '|'.join(map(re.escape, (*_PACKED, *_UNPACK)))
RECORDING = re.compile(rf'(?<=[^/])\.(mcap|db3|bag)({_ENDINGS})?$')
"""The ending of a file that is one of a bag, or may once have been."""


class SqliteFile(Sqlite3Reader):
    """Reads a sqlite3 file of a bag by rosbags."""

    def __init__(self, path: Path) -> None:
        # rosbags makes a URI of the path, in which some characters mean something.
        uri = quote(str(path))
        with closing(sqlite3.connect(f'file:{uri}?immutable=1', uri=True)) as file:
            # One without an end would stop whoever reads it, and rosbag2 writes none.
            views = file.execute('SELECT name FROM sqlite_master WHERE type = "view"').fetchall()
            if views:
                raise ValueError(f'it has views, as {views[0][0]}')
            columns = [column for _, column, *_ in file.execute('PRAGMA table_info(topics)')]
            if 'offered_qos_profiles' in columns:
                # rosbags reads whatever YAML is there.
                for (text,) in file.execute('SELECT offered_qos_profiles FROM topics'):
                    plain_yaml(text)
        super().__init__(Path(uri))
        self.open()
        if not all(isinstance(y, str) for x in self.connections for y in (x.topic, x.msgtype)):
            raise ValueError('its topics have no names')


@dataclass
class Storage:
    """One opened file of a bag; `left_out` says what in it cannot be read."""

    path: Path
    reader: SqliteFile | McapFile
    left_out: list[Reason] = field(default_factory=list)
    unpacked_into: TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Close the file, and remove it where it was unpacked."""
        self.reader.close()
        if self.unpacked_into is not None:
            self.unpacked_into.cleanup()


def open_storages(path: Path, left_out: list[Reason]) -> list[Storage]:
    """Open the files of the bag at `path`, a folder or one of its files, in their order.

    What is left out of a folder is added to `left_out`. SettingError where there is no ROS 2 bag,
    DepthAnythingError where none of its files can be read; nothing is left open then.
    """
    if not path.exists():
        raise SettingError(f'bag {path} does not exist: check the path')
    if not path.is_dir():
        return [_open_file(path)]
    opened: list[Storage] = []
    error: DepthAnythingError | None = None
    try:
        for file in _files(path, left_out):
            try:
                opened.append(_open_file(file))
            except DepthAnythingError as err:
                error = error or err
                Reason.add(left_out, file.name, str(err))
    except BaseException:
        for storage in opened:
            storage.close()
        raise
    if not opened and error is not None:
        raise error
    return opened


def _holds_recordings(folder: Path) -> bool:
    with suppress(OSError):
        return any(_recordings(folder))
    return False


def _files(folder: Path, left_out: list[Reason]) -> list[Path]:
    """Return the files in their order; those that are missing are added to `left_out`."""
    found, named = list(_recordings(folder)), _named_files(folder)
    if not found and not named:
        bags = [x for x in sorted(folder.glob('*/')) if _holds_recordings(x)]
        fix = 'give a folder with .mcap or .db3 files, or such a file'
        if bags:
            every = f'{shell_quote(str(folder))}/*'
            fix = f'give the {len(bags)} bags in it, as {every}, or use `bag fleet`'
        raise SettingError(f'folder {folder} is not a bag: {fix}')
    # bag_10 comes after bag_9.
    found.sort(key=lambda file: ([int(x) for x in re.findall(r'\d+', file.name)], file.name))
    # Unpacked by hand beside the packed file.
    files = [x for x in found if x.suffix not in _PACKED or x.with_suffix('') not in found]
    if not named:
        return files
    by_name = {unpacked_name(file.name): file for file in files}
    wanted = dict.fromkeys(map(unpacked_name, named))
    missing = [name for name in wanted if name not in by_name]
    if len(missing) == len(wanted):
        raise DepthAnythingError(
            f'bag {folder} lacks {", ".join(missing)[:200]}, which its metadata.yaml names: copy '
            'it there, or remove metadata.yaml to read the rest'
        )
    for name in missing:
        Reason.add(left_out, name, f'{name} is missing, which metadata.yaml names: copy it there')
    for name, file in by_name.items():
        if name not in wanted:
            why = f'{file.name} is not named in metadata.yaml: remove that to read all files'
            Reason.add(left_out, file.name, why)
    return [by_name[name] for name in wanted if name in by_name]


def unpacked_name(name: str) -> str:
    """Return the name of a file without the ending of rosbag2's compression."""
    return name.removesuffix('.zstd').removesuffix('.zst')


def _recordings(folder: Path) -> Iterator[Path]:
    """Return the files of a folder that are of a bag, by their name or what is in them."""
    for file in folder.iterdir():
        with suppress(DepthAnythingError):
            if RECORDING.search(file.name) or _head(file).startswith(MAGIC):
                yield file


def _named_files(folder: Path) -> list[str]:
    """Return the files that metadata.yaml names, nothing where it is missing or damaged."""
    try:
        content: Any = plain_yaml_file(folder / 'metadata.yaml')
        named = content['rosbag2_bagfile_information']['relative_file_paths']
        # Old versions wrote the folder in front.
        named = named if isinstance(named, list) else [named]
        return [Path(name).name for name in named if isinstance(name, str)]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _head(path: Path) -> bytes:
    # Nothing may ever come out of a pipe.
    if not path.is_file():
        raise DepthAnythingError(f'{path} is not a regular file: name a bag folder or its files')
    try:
        with path.open('rb') as file:
            return file.read(_HEAD_BYTES)
    except OSError as err:
        raise DepthAnythingError(
            f'bag {path} cannot be read: {err.strerror}; check its permissions'
        ) from err


def _open_file(path: Path) -> Storage:
    head = _head(path)
    if head.startswith(MAGIC):
        return _open_mcap(path, path)
    if head.startswith(_SQLITE):
        return _open_sqlite(path, path)
    if head.startswith(ZSTD):
        return _open_packed(path)
    if head.startswith(_ROS_1) or path.suffix == '.bag':
        target = path.with_suffix('')
        raise SettingError(
            f'{path} is a ROS 1 bag: convert it with `rosbags-convert --src '
            f'{shell_quote(str(path))} --dst {shell_quote(f"{target}_ros2")} --dst-typestore '
            'ros2_jazzy` and give the new folder'
        )
    if head.startswith(_LFS):
        raise DepthAnythingError(
            f'{path} is a pointer of Git LFS, and not the file itself: run `git lfs pull` in its '
            'folder'
        )
    if path.suffix in _UNPACK:
        raise SettingError(
            f'{path} is packed: unpack it with `{_UNPACK[path.suffix]} {shell_quote(str(path))}`'
        )
    if not head:
        raise DepthAnythingError(f'bag {path} is an empty file: nothing was recorded into it')
    if path.suffix in _SUFFIXES:
        why = f'it begins as {head[:8]!r}, which is no {path.suffix[1:]} file'
        raise _damaged(path, ValueError(why), 'copy it again')
    raise SettingError(f'{path} is not a bag: give a bag folder, or a .mcap or .db3 file')


def _open_packed(path: Path) -> Storage:
    """Open a file that rosbag2 compressed as a whole, from a temporary folder."""
    folder, cut = TemporaryDirectory(prefix='depth_anything-'), ''
    try:
        target = Path(folder.name, path.stem)
        cut = unpack_file(path, target)
        sqlite = _head(target).startswith(_SQLITE)
        storage = (_open_sqlite if sqlite else _open_mcap)(target, path)
    except BaseException as err:
        folder.cleanup()
        if isinstance(err, (ValueError, OSError, DepthAnythingError)):
            raise _damaged(path, ValueError(cut or err), 'copy it again') from err
        raise
    if cut:
        Reason.add(storage.left_out, path.name, f'{path.name} is damaged: {cut}')
    storage.unpacked_into = folder
    return storage


def _open_mcap(path: Path, named: Path) -> Storage:
    try:
        reader = McapFile(path, named.name)
    except Exception as err:
        raise _damaged(named, err, 'nothing in it can be read; copy it again') from err
    return Storage(named, reader, reader.left_out)


def _open_sqlite(path: Path, named: Path) -> Storage:
    log = path.with_name(path.name + '-wal')
    left = log.exists() and log.stat().st_size > 0
    file = shell_quote(str(path))
    merge = f"run `sqlite3 {file} 'PRAGMA wal_checkpoint(TRUNCATE)'` to bring them in"
    try:
        reader = SqliteFile(path)
    except Exception as err:
        raise _damaged(named, err, merge if left else 'copy it again') from err
    storage = Storage(named, reader)
    stray = reader.metadata.message_count - sum(x.msgcount for x in reader.connections)
    if stray:
        why = f'{named.name} has {stray} messages of no topic'
        Reason.add(storage.left_out, named.name, why, stray)
    if left:
        why = f'{log.name} holds messages that never reached {path.name}: {merge}'
        Reason.add(storage.left_out, log.name, why)
    return storage


def _damaged(path: Path, err: Exception, fix: str) -> DepthAnythingError:
    reason = ' '.join((str(err) or type(err).__name__).split()).rstrip('.')
    return DepthAnythingError(f'bag {path} cannot be opened: {reason}; {fix}')
