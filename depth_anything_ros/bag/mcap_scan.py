"""MCAP files without their end or index, record by record: of a cut off recording what is there.

rosbags opens finished files only, and reads files without chunks only where they are sorted by
time. Records and their layout follow https://mcap.dev/spec.
"""

from __future__ import annotations

import heapq
import os
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
)
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.metadata import parse_qos
from rosbags.rosbag2.storage_mcap import decompress

__all__ = ['McapScan']

_MAGIC = b'\x89MCAP0\r\n'
_HEAD = struct.Struct('<BQ')
_MESSAGE = struct.Struct('<HIQQ')
_FORMATS = {
    'ros2msg': MessageDefinitionFormat.MSG,
    'ros2idl': MessageDefinitionFormat.IDL,
    'omgidl': MessageDefinitionFormat.IDL,
}
_FOREVER_NS = 2**63 - 1

Found = tuple[Connection, int, bytes]
"""Connection, time of receipt in nanoseconds, serialised message."""


class _Op(IntEnum):
    NONE = 0x00
    FOOTER = 0x02
    SCHEMA = 0x03
    CHANNEL = 0x04
    MESSAGE = 0x05
    CHUNK = 0x06
    MESSAGE_INDEX = 0x07
    DATA_END = 0x0F


class _Chunk(NamedTuple):
    """Where a chunk's records lie; of a `cut` one fewer than `raw_size` bytes are there."""

    start_ns: int
    end_ns: int
    raw_size: int
    crc: int
    compression: str
    at: int
    size: int
    cut: bool


class _Fields:
    """Takes the fields of a record, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def number(self, kind: str) -> int:
        (value,) = struct.unpack_from('<' + kind, self._data, self.at)
        self.at += struct.calcsize('<' + kind)
        return int(value)

    def text(self) -> str:
        size = self.number('I')
        self.at += size
        if self.at > len(self._data):
            raise ReaderError('a text reaches beyond its record')
        return self._data[self.at - size : self.at].decode()


class McapScan:
    """Reads as a Reader of rosbags does; `truncated` says in a line what is missing, or ''.

    A chunk that is cut off is read as far as it goes, unless it is compressed.
    """

    def __init__(self, path: Path) -> None:
        self.truncated = ''
        self.start_time, self.end_time = _FOREVER_NS, 0
        self._path = path
        self._schemas: dict[int, tuple[str, MessageDefinition]] = {}
        self._channels: dict[int, Connection] = {}
        self._counts: Counter[int] = Counter()
        self._chunks: list[_Chunk] = []
        self._loose = False
        self._cut_at: int | None = None
        self._file = path.open('rb')
        try:
            self._walk()
        except BaseException:
            self.close()
            raise

    @property
    def connections(self) -> list[Connection]:
        """Return what was recorded, with the number of messages that can be read."""
        return [x._replace(msgcount=self._counts[x.id]) for x in self._channels.values()]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[Found]:
        """Return messages by time of receipt, from `start` on and before `stop` (nanoseconds).

        Those outside of chunks come as they lie in the file. An empty collection means all.
        """
        wanted = {x.id: x for x in connections or self.connections}
        begin, end = start or 0, _FOREVER_NS if stop is None else stop
        sources = [self._chunked(begin, end)]
        if self._loose:
            sources.append(self._outside())
        for channel, time_ns, data in heapq.merge(*sources, key=lambda item: item[1]):
            if channel in wanted and begin <= time_ns < end:
                yield wanted[channel], time_ns, data

    def _walk(self) -> None:
        """Find chunks, channels and counts without decoding more chunks than it takes."""
        if self._file.read(len(_MAGIC)) != _MAGIC:
            raise ReaderError('it does not begin as MCAP files do')
        index: dict[int, int] = {}
        for op, at, size in self._records():
            if op == _Op.MESSAGE_INDEX:
                fields = _Fields(self._read(at, size))
                channel = fields.number('H')
                index[channel] = index.get(channel, 0) + fields.number('I') // 16
            elif op == _Op.CHUNK:
                self._settle(index)
                self._chunks.append(self._chunk(at, size))
                index = {}
            elif op == _Op.MESSAGE:
                self._loose = True
                self._learn(op, self._read(at, _MESSAGE.size))
            elif op in (_Op.SCHEMA, _Op.CHANNEL):
                self._learn(op, self._read(at, size))
        self._settle(index, last=True)
        if self._cut_at is not None:
            self.truncated = (
                f'{self._path.name} ends in the middle of a record, at byte {self._cut_at} (its '
                f'recorder did not close it): {self._counts.total()} messages are there to read, '
                'what followed is lost'
            )

    def _records(self) -> Iterator[tuple[int, int, int]]:
        """Return operation, place and size of each whole record of the file, then a cut chunk."""
        size = os.fstat(self._file.fileno()).st_size
        at = len(_MAGIC)
        while at + _HEAD.size <= size:
            op, length = _HEAD.unpack(self._read(at, _HEAD.size))
            if op in (_Op.DATA_END, _Op.FOOTER):
                return
            if op == _Op.NONE or at + _HEAD.size + length > size:
                break
            yield op, at + _HEAD.size, length
            at += _HEAD.size + length
        self._cut_at = at
        if at + _HEAD.size <= size and op == _Op.CHUNK:
            yield op, at + _HEAD.size, size - at - _HEAD.size

    def _chunk(self, at: int, size: int) -> _Chunk:
        """Read the head of a chunk; one too short even for that counts as empty."""
        fields = _Fields(self._read(at, min(size, 64)))
        try:
            start_ns, end_ns, raw_size = (fields.number('Q') for _ in range(3))
            crc, compression, length = fields.number('I'), fields.text(), fields.number('Q')
        except (struct.error, ReaderError):
            return _Chunk(0, 0, 0, 0, '', at, 0, True)
        there = min(length, size - fields.at)
        cut, at = there < length, at + fields.at
        return _Chunk(start_ns, end_ns, raw_size, crc, compression, at, there, cut)

    def _settle(self, index: dict[int, int], last: bool = False) -> None:
        """Count the newest chunk's messages by its index; decode it where that does not do."""
        if not self._chunks:
            return
        if index and not last and index.keys() <= self._channels.keys():
            self._counts.update(index)
        else:
            try:
                records = list(self._inside(self._chunks[-1]))
            except Exception:
                # Power cuts leave blocks of zeros at the end; anywhere else it is damage.
                if not last:
                    raise
                self._cut_at = self._chunks.pop().at
                return
            for op, body in records:
                self._learn(op, body)
        chunk = self._chunks[-1]
        # A chunk of channels alone has no times.
        if chunk.end_ns:
            self.start_time = min(self.start_time, chunk.start_ns)
            self.end_time = max(self.end_time, chunk.end_ns + 1)

    def _learn(self, op: int, body: bytes) -> None:
        """Take a schema, a channel, or the time of a message."""
        if op == _Op.MESSAGE:
            channel, _, time_ns, _ = _MESSAGE.unpack_from(body)
            self._counts[channel] += 1
            self.start_time = min(self.start_time, time_ns)
            self.end_time = max(self.end_time, time_ns + 1)
        elif op == _Op.SCHEMA:
            fields = _Fields(body)
            key, name, kind = fields.number('H'), fields.text(), fields.text()
            known = _FORMATS.get(kind, MessageDefinitionFormat.NONE)
            text = fields.text() if known is not MessageDefinitionFormat.NONE else ''
            self._schemas[key] = name, MessageDefinition(known, text)
        elif op == _Op.CHANNEL:
            fields = _Fields(body)
            key, schema = fields.number('H'), fields.number('H')
            topic, serialization = fields.text(), fields.text()
            fields.number('I')
            pairs: dict[str, str] = {}
            while fields.at < len(body):
                name = fields.text()
                pairs[name] = fields.text()
            ext = ConnectionExtRosbag2(
                serialization, parse_qos(pairs.get('offered_qos_profiles', ''))
            )
            nameless = '', MessageDefinition(MessageDefinitionFormat.NONE, '')
            kind, definition = self._schemas.get(schema, nameless)
            self._channels[key] = Connection(key, topic, kind, definition, '', 0, ext, self)

    def _inside(self, chunk: _Chunk) -> Iterator[tuple[int, bytes]]:
        """Return operation and content of each whole record of a chunk."""
        data = self._read(chunk.at, chunk.size)
        if not chunk.cut:
            data = decompress(data, chunk.compression, chunk.raw_size, chunk.crc)
        elif chunk.compression:
            return
        at = 0
        while at + _HEAD.size <= len(data):
            op, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            if at > len(data):
                return
            yield op, data[at - length : at]

    def _chunked(self, begin: int, end: int) -> Iterator[tuple[int, int, bytes]]:
        """Return channel, time and data; chunks overlap, so messages wait for the next one."""
        chunks = sorted(x for x in self._chunks if x.end_ns >= begin and x.start_ns < end)
        nexts = [*(chunk.start_ns for chunk in chunks[1:]), _FOREVER_NS]
        held: list[tuple[int, int, bytes]] = []
        for chunk, next_ns in zip(chunks, nexts, strict=False):
            held += [_split(body) for op, body in self._inside(chunk) if op == _Op.MESSAGE]
            held.sort(key=lambda item: item[1])
            ready = bisect_left(held, next_ns, key=lambda item: item[1])
            yield from held[:ready]
            del held[:ready]

    def _outside(self) -> Iterator[tuple[int, int, bytes]]:
        for op, at, size in self._records():
            if op == _Op.MESSAGE:
                yield _split(self._read(at, size))

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return self._file.read(size)


def _split(body: bytes) -> tuple[int, int, bytes]:
    channel, _, time_ns, _ = _MESSAGE.unpack_from(body)
    return channel, time_ns, body[_MESSAGE.size :]
