"""Write a bag that is either complete or absent: under another name, renamed when it is done.

A bag OUT is written in the folder OUT.writing. It becomes OUT when it is finished, or OUT.partial,
also a valid bag, when it has to stop early. A file that could not be written to its end (a full
disk) is removed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PosixPath
from shlex import quote as shell_quote
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote

from rosbags.interfaces import (
    Connection,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError
from rosbags.typesys.store import Typestore

from depth_anything_ros.bag.reading import BagReader, BagTopic
from depth_anything_ros.bag.signals import delayed_interrupt
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.settings.plain_yaml import plain_yaml_file

__all__ = [
    'METADATA',
    'RELIABLE',
    'STORAGES',
    'BagWriter',
    'check_free',
    'check_outside',
    'damage_of',
    'is_finished',
    'partial_of',
    'remove_partial',
    'storage_of',
]

METADATA = 'metadata.yaml'

STORAGES: Mapping[str, tuple[StoragePlugin, CompressionMode]] = MappingProxyType(
    {
        'mcap': (StoragePlugin.MCAP, CompressionMode.STORAGE),
        'sqlite3': (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    }
)
"""Each storage with what rosbag2 compresses in it: chunks, or messages one by one."""

_UNSET = QosTime(0, 0)

RELIABLE = Qos(
    QosHistory.KEEP_LAST,
    10,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    _UNSET,
    _UNSET,
    QosLiveliness.AUTOMATIC,
    _UNSET,
    False,
)
"""What drivers and the node offer; any subscriber matches it on playback."""

# Left free for the end of the bag, and for whatever else runs on the machine.
_RESERVE_BYTES = 64 * 2**20
# A message is held in memory, packed and unpacked, before a chunk is written.
_COPIES = 4
_AHEAD_BYTES = 16 * 2**20

Result = TypeVar('Result')

# Of a type that is neither defined in the bag nor known.
_NO_HASH = 'RIHS01_' + 64 * '0'
_IDL_HEAD = 80 * '=' + '\nIDL: '


class BagWriter:
    """Writes one bag; end it with `finish`, `leave_partial` or `discard`.

    A thread of its own writes, at most 16 MiB behind: SQLite wants one, and a network leaves it
    time. An error while writing discards what was written, is raised by a later call, and is a
    DepthAnythingError where the disk is to blame. Not thread-safe.
    """

    def __init__(self, out: Path, storage: str, *, compress: bool = False) -> None:
        """SettingError where something is at `out` already, or it cannot be created."""
        check_free(out)
        self.out = out
        self.closed = False
        self._work = _work_of(out)
        self._folder = _folder_of(out)
        self._largest = 0
        self._thread = ThreadPoolExecutor(1, 'bag-writer')
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._waiting_bytes = 0
        self._connections: dict[tuple[str, str], Connection] = {}
        plugin, packed = STORAGES[storage]
        self._writer = Writer(self._folder, version=9, storage_plugin=plugin)
        self._writer.path = _UriPath(self._folder)
        if compress:
            self._writer.set_compression(packed, CompressionFormat.ZSTD)
        try:
            self._thread.submit(self._writer.open).result()
        except (OSError, sqlite3.Error) as err:
            self._thread.shutdown()
            shutil.rmtree(self._work, ignore_errors=True)
            raise _cannot(out, getattr(err, 'strerror', None) or str(err)) from err

    def add_output(self, topic: str, kind: str, store: Typestore) -> None:
        """Announce a topic that is new."""
        self._connections[topic, kind] = self._now(
            self._writer.add_connection,
            topic,
            kind,
            typestore=store,
            offered_qos_profiles=(RELIABLE,),
        )

    def add_copy(self, topic: BagTopic, store: Typestore) -> None:
        """Announce a topic of another bag, as it was; `store` knows that bag's types."""
        known = topic.kind in store.fielddefs
        definition = topic.definition.data
        if topic.definition.format is MessageDefinitionFormat.NONE:
            # An empty definition would be that of an empty message.
            definition = f'? the definition of {topic.kind} is not known'
            if known:
                definition, _ = store.generate_msgdef(topic.kind, ros_version=2)
        elif topic.definition.format is MessageDefinitionFormat.IDL:
            # By its head alone rosbags knows a definition for IDL.
            headed = definition.startswith(_IDL_HEAD)
            definition = definition if headed else f'{_IDL_HEAD}{topic.kind}\n{definition}'
        self._connections[topic.name, topic.kind] = self._now(
            self._writer.add_connection,
            topic.name,
            topic.kind,
            msgdef=definition,
            rihs01=topic.digest or (store.hash_rihs01(topic.kind) if known else _NO_HASH),
            serialization_format=topic.serialization,
            offered_qos_profiles=topic.qos,
        )

    def write(self, topic: str, kind: str, receive_ns: int, raw: bytes | memoryview) -> None:
        """Write one serialised message of an announced topic."""
        size = len(raw)
        self._wait(_AHEAD_BYTES - size)
        connection = self._connections[topic, kind]
        written = self._thread.submit(self._writer.write, connection, receive_ns, raw)
        self._waiting.append((written, size))
        self._waiting_bytes += size
        self._largest = max(self._largest, size)

    def _now(self, act: Callable[..., Result], *given: Any, **named: Any) -> Result:
        """Wait for what the thread does; raise what went wrong with it."""
        return self._result(self._thread.submit(act, *given, **named))

    def _result(self, done: Future[Result]) -> Result:
        try:
            return done.result()
        except Exception as err:
            self._fail(err)
            raise

    def _wait(self, most_bytes: int = 0) -> None:
        """Wait until at most so many bytes are waiting; raise what went wrong with them."""
        while self._waiting and (self._waiting_bytes > most_bytes or self._waiting[0][0].done()):
            self._result(self._waiting[0][0])
            self._waiting_bytes -= self._waiting.popleft()[1]

    def disk_space_problem(self) -> str:
        """Return a message if the disk is nearly full, else ''."""
        free = shutil.disk_usage(self._work).free
        needed = _RESERVE_BYTES + _COPIES * self._largest + self._waiting_bytes
        if free >= needed:
            return ''
        return f'only {free / 1e6:.0f} MB are left on the disk of {self.out}: make room'

    def finish(self) -> Path:
        """Close the bag and rename it to OUT."""
        return self._close_as(self.out)

    def leave_partial(self) -> Path:
        """Close the bag early and rename it to OUT.partial."""
        return self._close_as(partial_of(self.out))

    def discard(self) -> None:
        """Remove what was written."""
        if self.closed:
            return
        self.closed = True
        with delayed_interrupt():
            for written, _ in self._waiting:
                written.cancel()
            # A full disk refuses the last buffer too.
            with suppress(OSError, sqlite3.Error):
                self._thread.submit(self._writer.abort).result()
            self._thread.shutdown()
            shutil.rmtree(self._work, ignore_errors=True)

    def _close_as(self, target: Path) -> Path:
        # It takes too short a time to be worth interrupting.
        with delayed_interrupt():
            self._wait()
            self._now(self._writer.close)
            self._thread.shutdown()
            self.closed = True
            try:
                self._folder.rename(target)
                self._work.rmdir()
            except OSError as err:
                raise DepthAnythingError(
                    f'{self._folder} holds the whole bag, and cannot become {target} '
                    f'({err.strerror}): move it there by hand'
                ) from err
        return target

    def _fail(self, err: BaseException) -> None:
        """Discard the bag; DepthAnythingError where the disk is to blame."""
        self.discard()
        if isinstance(err, (OSError, sqlite3.Error, WriterError)):
            reason = (isinstance(err, OSError) and err.strerror) or str(err)
            raise DepthAnythingError(
                f'{self.out} cannot be written ({reason}): what was written is removed; '
                'make room and start again'
            ) from err


class _UriPath(PosixPath):
    """A path that rosbags puts into a URI, in which some characters mean something."""

    def __format__(self, _: str) -> str:
        return quote(str(self))


def partial_of(out: Path) -> Path:
    """Return the path of a bag that stopped early."""
    return out.with_name(f'{out.name}.partial')


def storage_of(bag: Path) -> str:
    """Name the storage of a bag, by the names of its files."""
    files = sorted(bag.iterdir()) if bag.is_dir() else [bag]
    return 'sqlite3' if any('.db3' in file.suffixes for file in files) else 'mcap'


def is_finished(out: Path) -> bool:
    """Return whether there is a bag at `out` that was written to its end."""
    return (out / METADATA).is_file()


def damage_of(out: Path) -> str:
    """Return why the finished bag `out` is not what was written, '' where its index fits."""
    try:
        metadata = plain_yaml_file(out / METADATA)['rosbag2_bagfile_information']
        with BagReader(out) as reader:
            if reader.left_out:
                return reader.left_out[0].message
            count, written = (
                sum(x.count for x in reader.topics.values()),
                metadata['message_count'],
            )
        return '' if count == written else f'{count} of {written} messages are there'
    except (DepthAnythingError, OSError, ValueError, LookupError, TypeError) as err:
        return str(err)


def remove_partial(out: Path) -> None:
    """Remove OUT.partial, if there is one; SettingError where that is not a bag."""
    partial = partial_of(out)
    if not partial.exists():
        return
    if not is_finished(partial):
        raise SettingError(f'{partial} is not a bag: rename or remove it')
    shutil.rmtree(partial)


def check_free(out: Path, *, partial_allowed: bool = False) -> None:
    """SettingError where no bag can be written at `out`, or something is in the way.

    OUT.partial is in the way unless `partial_allowed`.
    """
    if out.name in ('', '..'):
        raise SettingError(
            f"output '{out}' names no new folder: give the name of the bag to write"
        )
    work, partial = _work_of(out), partial_of(out)
    try:
        taken = [path for path in (out, work, partial) if path.exists()]
        parent = next(path for path in out.absolute().parents if path.exists())
    except OSError as err:
        raise _cannot(out, err.strerror) from err
    if out in taken:
        raise SettingError(f'{out} is already there: give another name or remove it')
    if work in taken:
        raise SettingError(
            f'{work} is there: another run writes it, or one that was killed left it with what '
            f'it had written; then remove it, or keep what is whole as a bag with `mv '
            f'{shell_quote(str(_folder_of(out)))} {shell_quote(f"{out}.killed")} && rmdir '
            f'{shell_quote(str(work))}`'
        )
    if partial in taken and not partial_allowed:
        raise SettingError(
            f'{partial} is left of a run that was stopped: start it again with --resume, or '
            'rename or remove it'
        )
    if not parent.is_dir():
        raise _cannot(out, f'{parent} is not a folder')
    if not os.access(parent, os.W_OK | os.X_OK):
        raise _cannot(out, f'no permission to write into {parent}')


def check_outside(bag: Path, out: Path) -> None:
    """SettingError where what is written would become part of the bag that is read."""
    if bag.is_dir() and out.resolve().is_relative_to(bag.resolve()):
        raise SettingError(f'{out} lies inside of the bag {bag}: name an output beside it')


def _cannot(out: Path, reason: str | None) -> SettingError:
    return SettingError(f'{out} cannot be written ({reason}): name another output')


def _folder_of(out: Path) -> Path:
    return _work_of(out) / f'{out.name}_0'


def _work_of(out: Path) -> Path:
    return out.with_name(f'{out.name}.writing')
