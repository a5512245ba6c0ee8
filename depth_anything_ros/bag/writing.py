"""Write a bag that is whole or not there: beside its name first, renamed when it is done.

A bag OUT is written in the folder OUT.writing. It becomes OUT when it is finished, or OUT.partial,
a valid bag too, when it has to stop early. A file that could not be written to its end (a full
disk) is removed: half a chunk is no bag.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

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

from depth_anything_ros.bag.parts import bag_files, join_parts
from depth_anything_ros.bag.reading import BagTopic
from depth_anything_ros.core.errors import DepthAnythingError, SettingError

__all__ = ['RELIABLE', 'STORAGES', 'BagWriter', 'check_free', 'partial_of', 'storage_of']

STORAGES: Mapping[str, tuple[StoragePlugin, CompressionMode]] = MappingProxyType(
    {
        'mcap': (StoragePlugin.MCAP, CompressionMode.STORAGE),
        'sqlite3': (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    }
)
"""Each storage with what rosbag2 compresses in it: chunks, or messages one by one."""

RELIABLE = Qos(
    QosHistory.KEEP_LAST,
    10,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    QosTime(0, 0),
    QosTime(0, 0),
    QosLiveliness.AUTOMATIC,
    QosTime(0, 0),
    False,
)
"""What a node that publishes depth offers; any subscriber matches it on playback."""

# Left free for the end of the bag, and for whatever else runs on the machine.
_RESERVE_BYTES = 64 * 2**20
# A message is held in memory, packed and unpacked, before a chunk is written.
_COPIES = 4

# Of a type that is neither defined in the bag nor known.
_NO_HASH = 'RIHS01_' + 64 * '0'
_IDL_HEAD = 80 * '=' + '\nIDL: '


class BagWriter:
    """Writes one bag; end it by `finish`, `leave` or `discard`.

    An error while writing discards what was written, and is a DepthAnythingError where the disk
    is to blame. Not for several threads at once.
    """

    def __init__(
        self, out: Path, storage: str, *, compress: bool = False, begun: Path | None = None
    ) -> None:
        """`begun` is a bag with the same topics that this one goes on after; it will be moved.

        SettingError where there is something at `out` already, or it cannot be created.
        """
        self.out = out
        self.closed = False
        self._begun = begun
        self._work = _work_of(out)
        self._folder = self._work / f'{out.name}_{len(bag_files(begun)) if begun else 0}'
        self._largest = 0
        self._connections: dict[tuple[str, str], Connection] = {}
        check_free(out)
        plugin, packed = STORAGES[storage]
        self._writer = Writer(self._folder, version=9, storage_plugin=plugin)
        if compress:
            self._writer.set_compression(packed, CompressionFormat.ZSTD)
        try:
            self._writer.open()
        except OSError as err:
            shutil.rmtree(self._work, ignore_errors=True)
            raise SettingError(
                f'{out} cannot be written ({err.strerror}): name another output'
            ) from err

    def add_output(self, topic: str, kind: str, store: Typestore) -> None:
        """Announce a topic that is new."""
        self._connections[topic, kind] = self._writer.add_connection(
            topic, kind, typestore=store, offered_qos_profiles=(RELIABLE,)
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
        self._connections[topic.name, topic.kind] = self._writer.add_connection(
            topic.name,
            topic.kind,
            msgdef=definition,
            rihs01=topic.digest or (store.hash_rihs01(topic.kind) if known else _NO_HASH),
            serialization_format=topic.serialization,
            offered_qos_profiles=topic.qos,
        )

    def write(self, topic: str, kind: str, receive_ns: int, raw: bytes | memoryview) -> None:
        """Write one serialised message of an announced topic."""
        try:
            self._writer.write(self._connections[topic, kind], receive_ns, raw)
        except BaseException as err:
            self._fail(err)
            raise
        self._largest = max(self._largest, len(raw))

    def want_of_room(self) -> str:
        """Say that the disk is nearly full; '' while there is room for more."""
        free = shutil.disk_usage(self._work).free
        needed = _RESERVE_BYTES + _COPIES * self._largest
        if free >= needed:
            return ''
        return f'only {free / 1e6:.0f} MB are left on the disk of {self.out}: make room'

    def finish(self) -> Path:
        """Close the bag and give it its name."""
        return self._end(self.out, {})

    def leave(self, notes: Mapping[str, bytes]) -> Path:
        """Close the bag early as OUT.partial, with files of these names and contents beside."""
        return self._end(partial_of(self.out), notes)

    def discard(self) -> None:
        """Remove what was written; what was begun before stays."""
        if not self.closed:
            self.closed = True
            # A full disk refuses the last buffer too.
            with suppress(OSError, sqlite3.Error):
                self._writer.abort()
            shutil.rmtree(self._work, ignore_errors=True)

    def _end(self, target: Path, notes: Mapping[str, bytes]) -> Path:
        try:
            self._writer.close()
            for name, content in notes.items():
                (self._folder / name).write_bytes(content)
            if self._begun is not None:
                join_parts(self._begun, self._folder)
        except BaseException as err:
            self._fail(err)
            raise
        self.closed = True
        if self._begun is not None:
            shutil.rmtree(self._begun, ignore_errors=True)
        self._folder.rename(target)
        self._work.rmdir()
        return target

    def _fail(self, err: BaseException) -> None:
        """Discard, and say it where the disk is to blame."""
        self.discard()
        if isinstance(err, (OSError, sqlite3.Error, WriterError)):
            reason = (isinstance(err, OSError) and err.strerror) or str(err)
            kept = f'; {self._begun} stays as it was' if self._begun is not None else ''
            raise DepthAnythingError(
                f'{self.out} cannot be written ({reason}): what was written is removed{kept}; '
                'make room and start again'
            ) from err


def partial_of(out: Path) -> Path:
    """Give the name of a bag that stopped early."""
    return out.with_name(f'{out.name}.partial')


def storage_of(bag: Path) -> str:
    """Name the storage of a bag, by the names of its files."""
    files = sorted(bag.iterdir()) if bag.is_dir() else [bag]
    return 'sqlite3' if any('.db3' in file.suffixes for file in files) else 'mcap'


def check_free(out: Path) -> None:
    """SettingError where something is in the way of a bag at `out`."""
    work = _work_of(out)
    if out.exists():
        raise SettingError(f'{out} is already there: give another name or remove it')
    if work.exists():
        raise SettingError(
            f'{work} is there: another run writes it, or it is left of one that was killed; '
            'remove it then'
        )


def _work_of(out: Path) -> Path:
    return out.with_name(f'{out.name}.writing')
