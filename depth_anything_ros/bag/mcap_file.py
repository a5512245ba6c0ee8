"""MCAP files: by their index where they have one, else record by record, as far as they go.

rosbags opens finished files of ROS 2 only, gives up at the first damaged chunk, and unpacks
whatever a chunk holds. The mcap package decodes the records outside of chunks.
"""

from __future__ import annotations

import heapq
import os
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from functools import lru_cache
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Schema
from mcap.stream_reader import MAGIC_SIZE, read_magic
from mcap.summary import Summary
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
    Qos,
)
from rosbags.rosbag2.metadata import parse_qos

from depth_anything_ros.bag.reasons import Reason
from depth_anything_ros.bag.unpacking import unpacked
from depth_anything_ros.settings.plain_yaml import plain_yaml

__all__ = ['MAGIC', 'McapFile']

MAGIC = b'\x89MCAP0\r\n'

_RECORD_HEAD = struct.Struct('<BQ')
"""Opcode and length of a record."""
_CHUNK_HEAD = struct.Struct('<QQQII')
"""Times of the first and last message, unpacked size, checksum, length of the compression."""
_MESSAGE_HEAD = struct.Struct('<HIQQ')
"""Channel, sequence number, time of receipt, time of publication."""

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


class _Chunk(NamedTuple):
    """A chunk with messages of these channels; `first_ns` is the first receipt in it."""

    first_ns: int
    place: _Place
    channels: frozenset[int]


_Message = tuple[int, int, bytes]
"""Channel, time of receipt, serialised message."""


class McapFile:
    """Reads as a storage of rosbags does; `left_out` says what cannot be read.

    A file without an index is read once to open it. A chunk that is cut off is read as far as it
    goes, unless it is compressed. At most a chunk is unpacked at a time, and what overlaps the
    next one is held.
    """

    def __init__(self, path: Path, name: str) -> None:
        """`name` stands for the file in `left_out`. ValueError or OSError for other files."""
        self.left_out: list[Reason] = []
        self._name = name
        self._schemas: dict[int, Schema] = {}
        self._connections: dict[int, Connection] = {}
        self._counts: Counter[int] = Counter()
        self._chunks: list[_Chunk] = []
        self._indexed = False
        self._cut_at: int | None = None
        self._file = path.open('rb')
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            summary = self._summary()
            if summary is None:
                self._scan()
            else:
                self._take(summary)
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
        sources = [self._in_chunks(wanted)]
        if not self._indexed:
            sources.append(self._outside_chunks(wanted))
        for channel, receive_ns, raw in heapq.merge(*sources, key=itemgetter(1)):
            yield wanted[channel], receive_ns, raw

    def _summary(self) -> Summary | None:
        """Return the index, None where it is missing, damaged, or leaves messages out."""
        try:
            summary = SeekingReader(self._file, record_size_limit=self._size).get_summary()
        except Exception:  # noqa: BLE001 - whatever is wrong is found again record by record
            return None
        if summary is None or summary.statistics is None:
            return None
        indexed = 0
        for chunk in summary.chunk_indexes:
            heads = _INDEX_HEAD_SIZE * len(chunk.message_index_offsets)
            indexed += (chunk.message_index_length - heads) // _INDEX_ENTRY_SIZE
        counts = summary.statistics.channel_message_counts
        known = sum(count for channel, count in counts.items() if channel in summary.channels)
        whole = indexed == known == summary.statistics.message_count > 0
        return summary if whole else None

    def _take(self, summary: Summary) -> None:
        assert summary.statistics is not None
        self._indexed = True
        self._counts.update(summary.statistics.channel_message_counts)
        self._schemas = summary.schemas
        for channel in summary.channels.values():
            self._add(channel)
        for each in summary.chunk_indexes:
            at = each.chunk_start_offset + _RECORD_HEAD.size
            place = _Place(Opcode.CHUNK, at, each.chunk_length - _RECORD_HEAD.size)
            channels = frozenset(each.message_index_offsets)
            self._chunks.append(_Chunk(each.message_start_time, place, channels))

    def _scan(self) -> None:
        """Find chunks, channels and counts, and where the file is cut off."""
        self._file.seek(0)
        read_magic(ReadDataStream(self._file))
        damaged: list[tuple[int, str]] = []
        for place in self._places():
            # At the end of the file damage is part of the cut.
            if place.opcode in (Opcode.CHUNK, Opcode.MESSAGE):
                for at, why in damaged:
                    self._leave_out(at, why)
                damaged = []
            try:
                first_ns, channels = self._learn(place)
            except (ValueError, struct.error) as err:
                damaged.append((place.at - _RECORD_HEAD.size, str(err)))
                continue
            if channels and place.opcode == Opcode.CHUNK:
                self._chunks.append(_Chunk(first_ns, place, frozenset(channels)))
        cause = 'its recorder did not close it'
        if damaged:
            self._cut_at, cause = damaged[0]
        if self._cut_at is not None:
            why = (
                f'{self._name} ends in the middle of a record, at byte {self._cut_at} ({cause}): '
                f'{sum(self._counts.values())} messages are there to read, what followed is lost'
            )
            Reason.add(self.left_out, self._name, why)

    def _leave_out(self, at: int, why: str) -> None:
        where = f'{self._name}, byte {at}'
        if all(each.name != where for each in self.left_out):
            Reason.add(self.left_out, where, f'a damaged chunk of {self._name}: {why}')

    def _places(self) -> Iterator[_Place]:
        """Return each whole record of the data section, then a chunk that is cut off.

        No size is larger than the file, whatever the heads of the records say.
        """
        at = MAGIC_SIZE
        while at + _RECORD_HEAD.size <= self._size:
            self._file.seek(at)
            opcode, size = _RECORD_HEAD.unpack(self._file.read(_RECORD_HEAD.size))
            if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                return
            content = at + _RECORD_HEAD.size
            # A power cut leaves blocks of zeros.
            if opcode == 0 or content + size > self._size:
                if opcode == Opcode.CHUNK:
                    yield _Place(opcode, content, self._size - content, cut=True)
                break
            yield _Place(opcode, content, size)
            at = content + size
        self._cut_at = at

    def _read(self, place: _Place) -> bytes:
        """Return the records of a chunk, or the record itself; ValueError where it is damaged."""
        self._file.seek(place.at)
        # The index may point anywhere.
        data = self._file.read(min(place.size, self._size))
        if place.opcode != Opcode.CHUNK:
            return _RECORD_HEAD.pack(place.opcode, place.size) + data
        _, _, size, checksum, length = _CHUNK_HEAD.unpack_from(data)
        compression = data[_CHUNK_HEAD.size : _CHUNK_HEAD.size + length].decode()
        records = data[_CHUNK_HEAD.size + length + 8 :]
        if place.cut:
            return b'' if compression else records
        records = unpacked(records, compression, size)
        if checksum and crc32(records) != checksum:
            raise ValueError('its checksum is wrong')
        return records

    def _learn(self, place: _Place) -> tuple[int, set[int]]:
        """Count the messages at a place; return the first receipt, and their channels."""
        first_ns, channels = _FOREVER_NS, set[int]()
        if place.opcode not in (Opcode.CHUNK, Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
            return first_ns, channels
        data = self._read(place)
        found = list(_records(data, cut=place.cut))
        for opcode, at, size in found:
            if opcode == Opcode.MESSAGE:
                channel, _, receive_ns, _ = _MESSAGE_HEAD.unpack_from(data, at)
                self._counts[channel] += 1
                first_ns = min(first_ns, receive_ns)
                channels.add(channel)
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                stream = ReadDataStream(BytesIO(data[at : at + size]))
                if opcode == Opcode.CHANNEL:
                    self._add(Channel.read(stream))
                else:
                    schema = Schema.read(stream)
                    self._schemas[schema.id] = schema
        return first_ns, channels

    def _add(self, channel: Channel) -> None:
        kind, definition = '', MessageDefinition(MessageDefinitionFormat.NONE, '')
        if schema := self._schemas.get(channel.schema_id):
            kind = schema.name
            if schema.encoding in _FORMATS:
                text = schema.data.decode(errors='replace')
                definition = MessageDefinition(_FORMATS[schema.encoding], text)
        profiles = list(_profiles(channel.metadata.get('offered_qos_profiles', '')))
        ext = ConnectionExtRosbag2(channel.message_encoding, profiles)
        self._connections[channel.id] = Connection(
            channel.id, channel.topic, kind, definition, '', 0, ext, self
        )

    def _in_chunks(self, wanted: Collection[int]) -> Iterator[_Message]:
        """Return the messages in chunks; these overlap, so messages wait for the next one."""
        chunks = sorted(x for x in self._chunks if not x.channels.isdisjoint(wanted))
        nexts = [*(chunk.first_ns for chunk in chunks[1:]), _FOREVER_NS]
        held: list[_Message] = []
        for chunk, next_ns in zip(chunks, nexts, strict=False):
            held += self._messages_at(chunk.place, wanted)
            held.sort(key=itemgetter(1))
            ready = bisect_left(held, next_ns, key=itemgetter(1))
            yield from held[:ready]
            del held[:ready]
        yield from held

    def _outside_chunks(self, wanted: Collection[int]) -> Iterator[_Message]:
        for place in self._places():
            if place.opcode == Opcode.MESSAGE:
                yield from self._messages_at(place, wanted)

    def _messages_at(self, place: _Place, wanted: Collection[int]) -> list[_Message]:
        """Return the messages of some channels at a place; of a damaged one, none."""
        found: list[_Message] = []
        try:
            data = self._read(place)
            for opcode, at, size in _records(data, cut=place.cut):
                if opcode == Opcode.MESSAGE:
                    channel, _, receive_ns, _ = _MESSAGE_HEAD.unpack_from(data, at)
                    if channel in wanted:
                        raw = data[at + _MESSAGE_HEAD.size : at + size]
                        found.append((channel, receive_ns, raw))
        except (ValueError, struct.error) as err:
            self._leave_out(place.at - _RECORD_HEAD.size, str(err))
        return found


def _records(data: bytes, *, cut: bool) -> Iterator[tuple[int, int, int]]:
    """Return opcode, place and size of each record; ValueError if the last is not whole."""
    at = 0
    while at < len(data):
        if at + _RECORD_HEAD.size > len(data):
            break
        opcode, size = _RECORD_HEAD.unpack_from(data, at)
        at += _RECORD_HEAD.size + size
        if at > len(data):
            break
        yield opcode, at - size, size
    if at != len(data) and not cut:
        raise ValueError('a record ends behind its chunk')


@lru_cache(maxsize=64)
def _profiles(text: str) -> tuple[Qos, ...]:
    """Read what rosbag2 writes; of foreign text, without which messages can be read, nothing."""
    try:
        return tuple(parse_qos(plain_yaml(text)))
    except Exception:  # noqa: BLE001 - whatever the text makes rosbags do
        return ()
