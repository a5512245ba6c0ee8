"""Bags of any age and state, read in one way: topics, then messages in their order."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, Qos
from rosbags.serde import SerdeError
from rosbags.typesys.store import Typestore

from depth_anything_ros.bag.message_types import lacking_fields, store_for
from depth_anything_ros.bag.opening import Storage, open_storages
from depth_anything_ros.bag.reasons import Reason
from depth_anything_ros.bag.unpacking import ZSTD, unpacked
from depth_anything_ros.core.errors import DepthAnythingError, SettingError

__all__ = ['BagMessage', 'BagReader', 'BagTopic']

_CDR = 'cdr'

# How many topics a message names: as a guess at what was meant, and of all there are.
_NEAREST, _LISTED = 3, 10


@dataclass(frozen=True)
class BagTopic:
    """One topic: its type, its messages, the QoS its publishers offered, its definition.

    `serialization` is 'cdr' wherever ROS recorded; `digest` is the type's RIHS01, '' if unknown.
    `other_kinds` are further types under the same name, by which it cannot be read.
    """

    name: str
    kind: str
    count: int
    qos: tuple[Qos, ...]
    definition: MessageDefinition
    digest: str
    serialization: str
    other_kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One message as it was recorded, received at `receive_ns`."""

    topic: str
    kind: str
    receive_ns: int
    raw: bytes = field(repr=False)
    _store: Typestore = field(repr=False, compare=False)

    def read(self) -> Any:
        """Deserialise it, anew at each call; arrays are NumPy's.

        Bytes behind its end are passed over, as rclpy does. DepthAnythingError where the type is
        not known, lacks fields of ROS's own, or the bytes are none of it.
        """
        try:
            if lacking := lacking_fields(self._store, self.kind):
                raise DepthAnythingError(
                    f'messages of {self.topic} cannot be used: {self.kind} in this bag has no '
                    f'{", ".join(lacking)}; convert the bag to the types of ROS 2'
                )
            return self._deserialized()
        except KeyError as err:
            raise DepthAnythingError(
                f'messages of {self.topic} cannot be read: type {err.args[0]} is neither defined '
                'in the bag nor part of ROS 2; leave the topic out, or record it where the '
                'package of that type is installed'
            ) from err
        except (SerdeError, ValueError, IndexError, AssertionError, struct.error) as err:
            raise DepthAnythingError(
                f'the message of {self.topic} received at {self.receive_ns} ns is not a '
                f'{self.kind} ({str(err).rstrip(".")}): record the bag again, or leave the topic '
                'out'
            ) from err

    def _deserialized(self) -> Any:
        # As Typestore.deserialize_cdr, which refuses more bytes than the type has.
        representation = self.raw[:2]
        if representation not in (b'\0\0', b'\0\1'):
            raise SerdeError('it does not begin as CDR')
        types = self._store.get_msgdef(self.kind)
        read = types.deserialize_cdr_le if representation[1] else types.deserialize_cdr_be
        return read(self.raw[4:], 0, types.cls, self._store)[0]


class BagReader:
    """Reads one bag: a folder, or a single .mcap or .db3 file.

    Use it as a context manager; a bag of which nothing can be read is a DepthAnythingError. Known
    once entered: `topics` by name. `store` knows every type of the bag, and serialises as well.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()
        self.topics: dict[str, BagTopic] = {}
        self._missing: list[Reason] = []
        self._storages: list[Storage] = []

    def __enter__(self) -> BagReader:
        try:
            self._storages = open_storages(self.path, self._missing)
        except OSError as err:
            raise DepthAnythingError(
                f'bag {self.path} cannot be opened ({err.strerror}): check the path and its '
                'permissions'
            ) from err
        try:
            connections = [x for storage in self._storages for x in storage.reader.connections]
            self.store = store_for(connections)
            self.topics = _topics(connections)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def left_out(self) -> list[Reason]:
        """What of the bag cannot be read: files, and damage found in them so far."""
        return [*self._missing, *(x for each in self._storages for x in each.left_out)]

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """Return the messages of some topics, or of all, by time of receipt.

        A bag of several files is read file by file, as rosbag2 plays it. SettingError for a topic
        that is not there.
        """
        chosen = self.topics.keys() if topics is None else topics
        for name in chosen:
            self.require(name)
        return self._messages(frozenset(chosen))

    def require(self, name: str) -> BagTopic:
        """Return topic of that name; SettingError, with names near it, if it cannot be read."""
        if name not in self.topics:
            nearest = get_close_matches(name, self.topics, _NEAREST, cutoff=0.5)
            known = f'near it are {self.listing(nearest)}' if nearest else ''
            known = known or f'it has {self.listing()}'
            raise SettingError(f'bag {self.path} has no topic {name}: {known}')
        topic = self.topics[name]
        if topic.other_kinds:
            raise SettingError(
                f'topic {name} of bag {self.path} has messages of several types '
                f'({", ".join((topic.kind, *topic.other_kinds))}): leave it out, or record each '
                'type under a name of its own'
            )
        return topic

    def of_type(self, *kinds: str) -> list[str]:
        """Return the topics of these types that have messages, serialised by ROS 2."""
        return [
            x.name
            for x in self.topics.values()
            if x.kind in kinds and x.count and x.serialization == _CDR
        ]

    def _close(self) -> None:
        for storage in self._storages:
            storage.close()
        self._storages = []

    def listing(self, names: Iterable[str] | None = None) -> str:
        """Describe some topics, or the first ones of all."""
        shown = list(self.topics)[:_LISTED] if names is None else names
        topics = [self.topics[name] for name in shown]
        rows = [f'{x.name} ({x.kind}, {x.count} messages)' for x in topics]
        if names is None and len(self.topics) > _LISTED:
            rows.append(f'and {len(self.topics) - _LISTED} more')
        return ', '.join(rows) or 'no topics at all'

    def _messages(self, topics: frozenset[str]) -> Iterator[BagMessage]:
        for storage in self._storages:
            connections = [x for x in storage.reader.connections if x.topic in topics]
            # Without connections, rosbags gives all.
            if not connections:
                continue
            received = 0
            try:
                for connection, time_ns, raw in storage.reader.messages(connections):
                    received += 1
                    try:
                        data = unpacked(raw, 'zstd') if raw.startswith(ZSTD) else raw
                    except ValueError as err:
                        why = f'a message of {connection.topic} cannot be unpacked: {err}'
                        Reason.add(storage.left_out, connection.topic, why)
                        continue
                    yield BagMessage(
                        connection.topic, connection.msgtype, time_ns, data, self.store
                    )
            except Exception as err:  # noqa: BLE001 - one bad file does not hide the others
                reason = ' '.join((str(err) or type(err).__name__).split()).rstrip('.')
                count = max(1, sum(x.msgcount for x in connections) - received)
                why = f'{storage.path.name} is damaged: {reason}; copy it again'
                Reason.add(storage.left_out, storage.path.name, why, count)


def _topics(connections: list[Connection]) -> dict[str, BagTopic]:
    """Join the connections of each topic, of several files or publishers."""
    joined: dict[str, list[Connection]] = {}
    for connection in connections:
        joined.setdefault(connection.topic, []).append(connection)
    topics = {}
    for name in sorted(joined):
        # Of several types those count that have messages.
        same = sorted(joined[name], key=lambda x: not x.msgcount)
        extras = [x.ext for x in same if isinstance(x.ext, ConnectionExtRosbag2)]
        qos = {profile: None for extra in extras for profile in extra.offered_qos_profiles}
        topics[name] = BagTopic(
            name,
            same[0].msgtype,
            sum(x.msgcount for x in same),
            tuple(qos),
            same[0].msgdef,
            next((x.digest for x in same if x.digest), ''),
            extras[0].serialization_format,
            tuple(sorted({x.msgtype for x in same if x.msgcount} - {same[0].msgtype})),
        )
    return topics
