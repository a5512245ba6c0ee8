"""Write a bag that is whole or not there: beside its name first, renamed when it is done.

A bag OUT is written in the folder OUT.writing. It becomes OUT when it is finished, or OUT.partial,
a valid bag too, when it has to stop early. A file that could not be written to its end (a full
disk) is removed: half a chunk is no bag.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import CompressionFormat, Writer, WriterError
from rosbags.typesys.store import Typestore

from depth_anything_ros.bag.formats import RELIABLE, STORAGES
from depth_anything_ros.bag.parts import METADATA, bag_files, join_parts
from depth_anything_ros.bag.processing.interruption import undisturbed
from depth_anything_ros.bag.reading import BagTopic
from depth_anything_ros.core.errors import DepthAnythingError, SettingError

__all__ = ['BagWriter', 'check_free', 'check_outside', 'is_finished', 'partial_of', 'storage_of']

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
        check_free(out, resume=begun is not None)
        self.out = out
        self.closed = False
        self._begun = begun
        self._work = _work_of(out)
        self._folder = self._work / f'{out.name}_{len(bag_files(begun)) if begun else 0}'
        self._largest = 0
        self._connections: dict[tuple[str, str], Connection] = {}
        plugin, packed = STORAGES[storage]
        self._writer = Writer(self._folder, version=9, storage_plugin=plugin)
        if compress:
            self._writer.set_compression(packed, CompressionFormat.ZSTD)
        try:
            self._writer.open()
        except OSError as err:
            shutil.rmtree(self._work, ignore_errors=True)
            raise _cannot(out, err.strerror) from err

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
            # Half a message would cost the whole file.
            with undisturbed():
                self._writer.write(self._connections[topic, kind], receive_ns, raw)
        except Exception as err:
            self._fail(err)
            raise
        self._largest = max(self._largest, len(raw))

    def disk_space_problem(self) -> str:
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
        if self.closed:
            return
        self.closed = True
        with undisturbed(last=True):
            # A full disk refuses the last buffer too.
            with suppress(OSError, sqlite3.Error):
                self._writer.abort()
            shutil.rmtree(self._work, ignore_errors=True)

    def _end(self, target: Path, notes: Mapping[str, bytes]) -> Path:
        # It is short, and done by the time an interruption that was held back would be told.
        with undisturbed(last=True):
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
            self._rename(target)
        return target

    def _rename(self, target: Path) -> None:
        """Return the bag, which is whole by now, its name."""
        try:
            if self._begun is not None:
                shutil.rmtree(self._begun)
            self._folder.rename(target)
            self._work.rmdir()
        except OSError as err:
            raise DepthAnythingError(
                f'{self._folder} holds the whole bag, and cannot become {target} '
                f'({err.strerror}): move it there by hand'
            ) from err

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
    """Return the name of a bag that stopped early."""
    return out.with_name(f'{out.name}.partial')


def storage_of(bag: Path) -> str:
    """Name the storage of a bag, by the names of its files."""
    files = sorted(bag.iterdir()) if bag.is_dir() else [bag]
    return 'sqlite3' if any('.db3' in file.suffixes for file in files) else 'mcap'


def is_finished(out: Path) -> bool:
    """Say whether there is a bag at `out` that was written to its end."""
    return (out / METADATA).is_file()


def check_free(out: Path, *, resume: bool = False) -> None:
    """SettingError where no bag can be written at `out`, or something is in the way.

    A part of it that is there already is in the way unless it is to be gone on with.
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
            f'{work} is there: another run writes it, or it is left of one that was killed; '
            'remove it then'
        )
    if partial in taken and not resume:
        raise SettingError(
            f'{partial} is left of a run that was stopped: go on with --resume, or remove it'
        )
    if not parent.is_dir():
        raise _cannot(out, f'{parent} is no folder')
    if not os.access(parent, os.W_OK | os.X_OK):
        raise _cannot(out, f'no permission to write into {parent}')


def check_outside(bag: Path, out: Path) -> None:
    """SettingError where what is written would become part of the bag that is read."""
    if bag.is_dir() and out.resolve().is_relative_to(bag.resolve()):
        raise SettingError(f'{out} lies inside of the bag {bag}: name an output beside it')


def _cannot(out: Path, reason: str | None) -> SettingError:
    return SettingError(f'{out} cannot be written ({reason}): name another output')


def _work_of(out: Path) -> Path:
    return out.with_name(f'{out.name}.writing')
