"""MCAP files without an end or an index, read record by record as far as they go.

rosbags opens finished files only, and reads files without chunks only where they are sorted by
time. The mcap package decodes the records; where they are, and which are whole, is found here.
"""

from __future__ import annotations

import heapq
import os
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, McapRecord, Message, MessageIndex, Schema
from mcap.stream_reader import MAGIC_SIZE, StreamReader, breakup_chunk, read_magic
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

__all__ = ['UnindexedMcap', 'is_indexed']

_HEAD_SIZE = 1 + 8
"""Opcode and length of a record."""

_INDEX_HEAD_SIZE, _INDEX_ENTRY_SIZE = _HEAD_SIZE + 2 + 4, 8 + 8
"""Of a MessageIndex record: up to its entries, and one entry."""

_CHUNK_HEAD_SIZE = 64
"""Enough for all of a Chunk record but its data."""

_FORMATS = {
    'ros2msg': MessageDefinitionFormat.MSG,
    'ros2idl': MessageDefinitionFormat.IDL,
    'omgidl': MessageDefinitionFormat.IDL,
}
_FOREVER_NS = 2**63 - 1

Setting = TypeVar('Setting', bound=Enum)


class _ChunkPlace(NamedTuple):
    """Where a Chunk record is; of one that is `cut` the end is missing."""

    start_ns: int
    end_ns: int
    at: int
    size: int
    cut: bool


def is_indexed(path: Path) -> bool:
    """Return whether the file has an index of every message, by which rosbags reads it.

    What the index leaves out rosbags passes over. Raises what mcap raises for a damaged file.
    """
    with path.open('rb') as file:
        summary = SeekingReader(file, record_size_limit=path.stat().st_size).get_summary()
    if summary is None or summary.statistics is None:
        return False
    indexed = 0
    for chunk in summary.chunk_indexes:
        heads = _INDEX_HEAD_SIZE * len(chunk.message_index_offsets)
        indexed += (chunk.message_index_length - heads) // _INDEX_ENTRY_SIZE
    counts = summary.statistics.channel_message_counts
    known = sum(count for channel, count in counts.items() if channel in summary.channels)
    return indexed == known == summary.statistics.message_count > 0


class UnindexedMcap:
    """Reads as a Reader of rosbags does; `truncated` says in a line what is missing, or ''.

    A chunk that is cut off is read as far as it goes, unless it is compressed.
    """

    def __init__(self, path: Path) -> None:
        self.truncated = ''
        self.start_time, self.end_time = _FOREVER_NS, 0
        self._path = path
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Connection] = {}
        self._counts: Counter[int] = Counter()
        self._chunks: list[_ChunkPlace] = []
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
        """Return the topics, with the number of messages that can be read."""
        return [x._replace(msgcount=self._counts[x.id]) for x in self._channels.values()]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Return connection, time of receipt and serialised message, by time of receipt.

        From `start` on and before `stop` (nanoseconds). Messages outside of chunks come as they
        are in the file. An empty collection means all.
        """
        wanted = {x.id: x for x in connections or self.connections}
        begin, end = start or 0, _FOREVER_NS if stop is None else stop
        sources = [self._chunked(begin, end)]
        if self._loose:
            sources.append(self._outside())
        for message in heapq.merge(*sources, key=_log_time):
            if message.channel_id in wanted and begin <= message.log_time < end:
                yield wanted[message.channel_id], message.log_time, message.data

    def _walk(self) -> None:
        """Find chunks, channels and counts, and decode no more chunks than it takes."""
        read_magic(ReadDataStream(self._file))
        index: Counter[int] = Counter()
        for opcode, at, size in self._places():
            if opcode == Opcode.MESSAGE_INDEX:
                entries = MessageIndex.read(self._stream(at, size))
                index[entries.channel_id] += len(entries.records)
            elif opcode == Opcode.CHUNK:
                self._count_newest(index)
                self._chunks.append(self._chunk_place(at, size))
                index = Counter()
            elif opcode == Opcode.MESSAGE:
                self._loose = True
                self._learn(Message.read(self._stream(at, size), size))
            elif opcode == Opcode.SCHEMA:
                self._learn(Schema.read(self._stream(at, size)))
            elif opcode == Opcode.CHANNEL:
                self._learn(Channel.read(self._stream(at, size)))
        self._count_newest(index, last=True)
        if self._cut_at is not None:
            self.truncated = (
                f'{self._path.name} ends in the middle of a record, at byte {self._cut_at} (its '
                f'recorder did not close it): {sum(self._counts.values())} messages are there to '
                'read, what followed is lost'
            )

    def _places(self) -> Iterator[tuple[int, int, int]]:
        """Return opcode, place and size of each whole record of the file, then a cut chunk.

        No size is larger than the file, whatever the heads of the records say.
        """
        end = os.fstat(self._file.fileno()).st_size
        at = MAGIC_SIZE
        while at + _HEAD_SIZE <= end:
            head = self._stream(at, _HEAD_SIZE)
            opcode, size = head.read1(), head.read8()
            if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                return
            at += _HEAD_SIZE
            # A power cut leaves blocks of zeros.
            if opcode == 0 or at + size > end:
                self._cut_at = at - _HEAD_SIZE
                if opcode == Opcode.CHUNK:
                    yield opcode, at, end - at
                return
            yield opcode, at, size
            at += size
        self._cut_at = at

    def _chunk_place(self, at: int, size: int) -> _ChunkPlace:
        """Return where a chunk is; one too short even for its head counts as empty."""
        cut = self._cut_at is not None
        try:
            head = Chunk.read(self._stream(at, min(size, _CHUNK_HEAD_SIZE)))
        except (EndOfFile, struct.error):
            return _ChunkPlace(0, 0, at, 0, True)
        return _ChunkPlace(head.message_start_time, head.message_end_time, at, size, cut)

    def _count_newest(self, index: Counter[int], last: bool = False) -> None:
        """Count the newest chunk's messages by its index; decode it where that does not do."""
        if not self._chunks:
            return
        if index and not last and index.keys() <= self._channels.keys():
            self._counts.update(index)
        else:
            try:
                records = list(self._inside(self._chunks[-1]))
            except Exception:
                # At the end of the file it is part of the cut; anywhere else it is damage.
                if not last:
                    raise
                self._cut_at = self._chunks.pop().at
                return
            for record in records:
                self._learn(record)
        chunk = self._chunks[-1]
        # A chunk of channels alone has no times.
        if chunk.end_ns:
            self.start_time = min(self.start_time, chunk.start_ns)
            self.end_time = max(self.end_time, chunk.end_ns + 1)

    def _learn(self, record: McapRecord) -> None:
        """Take a schema, a channel, or the time of a message."""
        if isinstance(record, Message):
            self._counts[record.channel_id] += 1
            self.start_time = min(self.start_time, record.log_time)
            self.end_time = max(self.end_time, record.log_time + 1)
        elif isinstance(record, Schema):
            self._schemas[record.id] = record
        elif isinstance(record, Channel):
            kind, definition = '', MessageDefinition(MessageDefinitionFormat.NONE, '')
            if schema := self._schemas.get(record.schema_id):
                kind = schema.name
                if schema.encoding in _FORMATS:
                    text = schema.data.decode()
                    definition = MessageDefinition(_FORMATS[schema.encoding], text)
            profiles = _profiles(record.metadata.get('offered_qos_profiles', ''))
            ext = ConnectionExtRosbag2(record.message_encoding, profiles)
            self._channels[record.id] = Connection(
                record.id, record.topic, kind, definition, '', 0, ext, self
            )

    def _inside(self, place: _ChunkPlace) -> Iterable[McapRecord]:
        """Return each whole record of a chunk."""
        if not place.size:
            return ()
        chunk = Chunk.read(self._stream(place.at, place.size))
        if not place.cut:
            return breakup_chunk(chunk, validate_crc=True)
        return () if chunk.compression else _whole_records(chunk.data)

    def _chunked(self, begin: int, end: int) -> Iterator[Message]:
        """Return the messages in chunks; these overlap, so messages wait for the next one."""
        chunks = sorted(x for x in self._chunks if x.end_ns >= begin and x.start_ns < end)
        nexts = [*(chunk.start_ns for chunk in chunks[1:]), _FOREVER_NS]
        held: list[Message] = []
        for chunk, next_ns in zip(chunks, nexts, strict=False):
            held += [x for x in self._inside(chunk) if isinstance(x, Message)]
            held.sort(key=_log_time)
            ready = bisect_left(held, next_ns, key=_log_time)
            yield from held[:ready]
            del held[:ready]

    def _outside(self) -> Iterator[Message]:
        for opcode, at, size in self._places():
            if opcode == Opcode.MESSAGE:
                yield Message.read(self._stream(at, size), size)

    def _stream(self, at: int, size: int) -> ReadDataStream:
        self._file.seek(at)
        return ReadDataStream(BytesIO(self._file.read(size)))


def _whole_records(data: bytes) -> Iterator[McapRecord]:
    """Return the records of a chunk that is cut off, up to the last whole one."""
    try:
        yield from StreamReader(BytesIO(data), skip_magic=True).records
    except (EndOfFile, struct.error):
        return


def _log_time(message: Message) -> int:
    return message.log_time


def _profiles(text: str) -> list[Qos]:
    """Return the QoS profiles of a channel; none where they cannot be read.

    Their settings are numbers in older bags, names in newer ones.
    """

    def setting(kind: type[Setting], value: Any) -> Setting:
        try:
            return kind(value) if isinstance(value, int) else kind[str(value).upper()]
        except (KeyError, ValueError):
            return kind['UNKNOWN']

    def time(value: Any) -> QosTime:
        return QosTime(value['sec'], value['nsec'])

    try:
        return [
            Qos(
                setting(QosHistory, each['history']),
                each['depth'],
                setting(QosReliability, each['reliability']),
                setting(QosDurability, each['durability']),
                time(each['deadline']),
                time(each['lifespan']),
                setting(QosLiveliness, each['liveliness']),
                time(each['liveliness_lease_duration']),
                each['avoid_ros_namespace_conventions'],
            )
            for each in yaml.safe_load(text) or ()
        ]
    except (yaml.YAMLError, KeyError, TypeError):
        return []
