"""The files that make up a bag: found with or without metadata.yaml, and opened.

metadata.yaml says only in which order they come and whether whole files are compressed: rosbag2
writes it last, so a recording that was cut off has none. Everything else the files say again.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rosbags.rosbag2 import Reader

from depth_anything_ros.bag.unindexed_mcap import UnindexedMcap, is_indexed
from depth_anything_ros.core.errors import DepthAnythingError, SettingError

__all__ = ['Storage', 'open_storages']

_ROS_1 = b'#ROSBAG'
_SUFFIXES = ('.mcap', '.db3')


class Storage(NamedTuple):
    """One opened file of a bag, or a folder of compressed ones; `truncated` as in BagReader."""

    path: Path
    reader: Reader | UnindexedMcap
    truncated: str = ''


def open_storages(path: Path) -> list[Storage]:
    """Open the files of the bag at `path`, a folder or one of its files, in their order.

    SettingError where there is no ROS 2 bag, DepthAnythingError where a file cannot be read;
    nothing is left open then.
    """
    if not path.exists():
        raise SettingError(f'bag {path} does not exist: check the path')
    if not path.is_dir():
        return [_open_file(path)]
    metadata = _metadata(path)
    if str(metadata.get('compression_mode') or '').lower() == 'file':
        # rosbags unpacks the files into the folder for temporary ones.
        fix = 'give the unpacked files room by TMPDIR, or unpack them with unzstd'
        return [Storage(path, _open(path, fix))]
    opened: list[Storage] = []
    try:
        for file in _files(path, metadata):
            opened.append(_open_file(file))
    except BaseException:
        for storage in opened:
            storage.reader.close()
        raise
    return opened


def _metadata(folder: Path) -> dict[str, Any]:
    """Return what metadata.yaml says, or nothing where it is missing or damaged."""
    try:
        content = yaml.safe_load((folder / 'metadata.yaml').read_text())
        information = content['rosbag2_bagfile_information']
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return {}
    return information if isinstance(information, dict) else {}


def _files(folder: Path, metadata: dict[str, Any]) -> list[Path]:
    named = metadata.get('relative_file_paths')
    if named:
        # Old versions wrote the folder in front.
        files = [folder / Path(str(name)).name for name in named]
        if missing := [file.name for file in files if not file.exists()]:
            raise DepthAnythingError(
                f'bag {folder} lacks {", ".join(missing)}, which its metadata.yaml names: copy '
                'it there, or remove metadata.yaml to read the rest'
            )
        return files
    files = [file for file in folder.iterdir() if file.suffix in _SUFFIXES]
    # bag_10 comes after bag_9.
    files.sort(key=lambda file: ([int(x) for x in re.findall(r'\d+', file.name)], file.name))
    if files:
        return files
    if compressed := sorted(folder.glob('*.zstd')):
        raise _compressed(compressed[0])
    if old := sorted(folder.glob('*.bag')):
        raise _ros_1(old[0])
    raise SettingError(
        f'folder {folder} is no bag: give a folder with .mcap or .db3 files, or such a file'
    )


def _open_file(path: Path) -> Storage:
    try:
        with path.open('rb') as file:
            head = file.read(len(_ROS_1))
    except OSError as err:
        raise DepthAnythingError(
            f'bag {path} cannot be read: {err.strerror}; check its permissions'
        ) from err
    if head == _ROS_1 or path.suffix == '.bag':
        raise _ros_1(path)
    if path.suffix == '.zstd':
        raise _compressed(path)
    if path.suffix not in _SUFFIXES:
        raise SettingError(f'{path} is no bag: give a bag folder, or a .mcap or .db3 file')
    if not head:
        raise DepthAnythingError(f'bag {path} is an empty file: nothing was recorded into it')
    return _open_mcap(path) if path.suffix == '.mcap' else _open_sqlite(path)


def _open_mcap(path: Path) -> Storage:
    """Open with rosbags; where it lacks an end, an index or an order it can use, record by record.

    DepthAnythingError where it cannot be read at all.
    """
    try:
        if is_indexed(path):
            reader = Reader(path)
            reader.open()
            return Storage(path, reader)
    except Exception:  # noqa: BLE001 - whatever is wrong is found again record by record
        pass
    try:
        unindexed = UnindexedMcap(path)
    except Exception as err:
        raise _damaged(path, err, f'try `mcap recover {path} -o fixed.mcap`') from err
    return Storage(path, unindexed, unindexed.truncated)


def _open_sqlite(path: Path) -> Storage:
    log = path.with_name(path.name + '-wal')
    left = log.exists() and log.stat().st_size > 0
    merge = f"run `sqlite3 {path} 'PRAGMA wal_checkpoint(TRUNCATE)'` to bring them in"
    fix = merge if left else f'try `sqlite3 {path} .recover | sqlite3 fixed.db3`'
    reader = _open(path, fix)
    note = f'{log.name} holds messages that never reached {path.name}: {merge}' if left else ''
    return Storage(path, reader, note)


def _open(path: Path, fix: str) -> Reader:
    """Open with rosbags; `fix` says what to do where that is not possible."""
    try:
        reader = Reader(path)
        reader.open()
    except Exception as err:
        raise _damaged(path, err, fix) from err
    return reader


def _damaged(path: Path, err: Exception, fix: str) -> DepthAnythingError:
    reason = ' '.join((str(err) or type(err).__name__).split()).rstrip('.')
    return DepthAnythingError(f'bag {path} cannot be opened: {reason}; {fix}')


def _ros_1(path: Path) -> SettingError:
    return SettingError(
        f'{path} is a ROS 1 bag: convert it with `rosbags-convert --src {path} --dst '
        f'{path.with_suffix("")}` and give the new folder'
    )


def _compressed(path: Path) -> SettingError:
    return SettingError(
        f'{path} is a compressed file without the metadata.yaml that says so: unpack it with '
        f'`unzstd {path}`'
    )
