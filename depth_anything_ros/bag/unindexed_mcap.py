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
from collections.abc import Collection, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import MAGIC_SIZE, StreamReader, breakup_chunk, read_magic
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
    Qos,
)
from rosbags.rosbag2.metadata import parse_qos

__all__ = ['UnindexedMcap', 'is_indexed']

_RECORD_HEAD = struct.Struct('<BQ')
"""Opcode and length of a record."""

_INDEX_HEAD_SIZE, _INDEX_ENTRY_SIZE = _RECORD_HEAD.size + 2 + 4, 8 + 8
"""Of a MessageIndex record: up to its entries, and one entry."""

_FORMATS = {
    'ros2msg': MessageDefinitionFormat.MSG,
    'ros2idl': MessageDefinitionFormat.IDL,
    'omgidl': MessageDefinitionFormat.IDL,
}
_FOREVER_NS = 2**63 - 1


class _Place(NamedTuple):
    """Where the content of a record is; of one that is `cut` the end is missing."""

    opcode: int
    at: int
    size: int
    cut: bool = False


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

    A chunk that is cut off is read as far as it goes, unless it is compressed. Opening reads the
    whole file once. At most a chunk is unpacked at a time, and what overlaps the next one is held.
    """

    def __init__(self, path: Path) -> None:
        self.truncated = ''
        self.start_time, self.end_time = _FOREVER_NS, 0
        self._path = path
        self._schemas: dict[int, Schema] = {}
        self._connections: dict[int, Connection] = {}
        self._counts: Counter[int] = Counter()
        # With the time of receipt of the first message in it.
        self._chunks: list[tuple[int, _Place]] = []
        self._cut_at: int | None = None
        self._file = path.open('rb')
        try:
            self._scan()
        except BaseException:
            self.close()
            raise

    @property
    def connections(self) -> list[Connection]:
        """Return the topics, with the number of messages that can be read."""
        return [x._replace(msgcount=self._counts[x.id]) for x in self._connections.values()]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(
        self, connections: Collection[Connection]
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Return connection, time of receipt and serialised message, by time of receipt.

        Messages outside of chunks come as they are in the file.
        """
        wanted = {x.id: x for x in connections}
        sources = self._in_chunks(), self._outside_chunks()
        for message in heapq.merge(*sources, key=_log_time):
            if message.channel_id in wanted:
                yield wanted[message.channel_id], message.log_time, message.data

    def _scan(self) -> None:
        """Find chunks, channels and counts, and where the file is cut off."""
        read_magic(ReadDataStream(self._file))
        damage: Exception | None = None
        damaged_at = 0
        for place in self._places():
            # At the end of the file damage is part of the cut.
            if damage is not None and place.opcode in (Opcode.CHUNK, Opcode.MESSAGE):
                raise damage
            try:
                records = self._unpack(place)
            except Exception as err:
                if place.opcode != Opcode.CHUNK:
                    raise
                damage, damaged_at = err, place.at - _RECORD_HEAD.size
                continue
            times_ns = [x.log_time for x in records if isinstance(x, Message)]
            if times_ns:
                first_ns = min(times_ns)
                self.start_time = min(self.start_time, first_ns)
                self.end_time = max(self.end_time, max(times_ns) + 1)
                if place.opcode == Opcode.CHUNK:
                    self._chunks.append((first_ns, place))
            for record in records:
                self._learn(record)
        if damage is not None:
            self._cut_at = damaged_at
        if self._cut_at is not None:
            self.truncated = (
                f'{self._path.name} ends in the middle of a record, at byte {self._cut_at} (its '
                f'recorder did not close it): {sum(self._counts.values())} messages are there to '
                'read, what followed is lost'
            )

    def _places(self) -> Iterator[_Place]:
        """Return each whole record of the data section, then a chunk that is cut off.

        No size is larger than the file, whatever the heads of the records say.
        """
        end = os.fstat(self._file.fileno()).st_size
        at = MAGIC_SIZE
        while at + _RECORD_HEAD.size <= end:
            self._file.seek(at)
            opcode, size = _RECORD_HEAD.unpack(self._file.read(_RECORD_HEAD.size))
            if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                return
            content = at + _RECORD_HEAD.size
            # A power cut leaves blocks of zeros.
            if opcode == 0 or content + size > end:
                if opcode == Opcode.CHUNK:
                    yield _Place(opcode, content, end - content, cut=True)
                break
            yield _Place(opcode, content, size)
            at = content + size
        self._cut_at = at

    def _unpack(self, place: _Place) -> Sequence[McapRecord]:
        """Return the records of a chunk, or a single schema, channel or message."""
        if place.opcode not in (Opcode.CHUNK, Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
            return ()
        self._file.seek(place.at)
        stream = ReadDataStream(BytesIO(self._file.read(place.size)))
        if place.opcode == Opcode.MESSAGE:
            return (Message.read(stream, place.size),)
        if place.opcode != Opcode.CHUNK:
            return ((Schema if place.opcode == Opcode.SCHEMA else Channel).read(stream),)
        chunk = Chunk.read(stream)
        if not place.cut:
            return breakup_chunk(chunk, validate_crc=True)
        return () if chunk.compression else list(_whole_records(chunk.data))

    def _learn(self, record: McapRecord) -> None:
        """Count a message, or keep a schema or channel."""
        if isinstance(record, Message):
            self._counts[record.channel_id] += 1
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
            self._connections[record.id] = Connection(
                record.id, record.topic, kind, definition, '', 0, ext, self
            )

    def _in_chunks(self) -> Iterator[Message]:
        """Return the messages in chunks; these overlap, so messages wait for the next one."""
        chunks = sorted(self._chunks)
        nexts = [*(start_ns for start_ns, _ in chunks[1:]), _FOREVER_NS]
        held: list[Message] = []
        for (_, place), next_ns in zip(chunks, nexts, strict=False):
            held += self._messages_at(place)
            held.sort(key=_log_time)
            ready = bisect_left(held, next_ns, key=_log_time)
            yield from held[:ready]
            del held[:ready]

    def _outside_chunks(self) -> Iterator[Message]:
        for place in self._places():
            if place.opcode == Opcode.MESSAGE:
                yield from self._messages_at(place)

    def _messages_at(self, place: _Place) -> list[Message]:
        return [x for x in self._unpack(place) if isinstance(x, Message)]


def _whole_records(data: bytes) -> Iterator[McapRecord]:
    """Return the records of a chunk that is cut off, up to the last whole one."""
    try:
        yield from StreamReader(BytesIO(data), skip_magic=True).records
    except (EndOfFile, struct.error):
        return


def _log_time(message: Message) -> int:
    return message.log_time


def _profiles(text: str) -> list[Qos]:
    try:
        return parse_qos(text)
    except Exception:  # noqa: BLE001 - foreign text, without which messages can be read
        return []
