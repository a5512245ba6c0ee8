"""Bags of any age and state, read in one way: topics, then messages in their order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import zstandard
from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, Qos
from rosbags.serde import SerdeError
from rosbags.typesys.store import Typestore

from depth_anything_ros.bag.message_types import store_for
from depth_anything_ros.bag.opening import Storage, open_storages
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.messages.encodings import DEPTH_ENCODINGS, ENCODINGS
from depth_anything_ros.messages.images import MAX_PIXELS, bgr_from_compressed, bgr_from_image

__all__ = [
    'COMPRESSED_IMAGE',
    'IMAGE',
    'BagMessage',
    'BagReader',
    'BagTopic',
    'bgr_of',
    'is_color',
]

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'

# Messages compressed one by one begin so; CDR begins with a zero.
_ZSTD = b'\x28\xb5\x2f\xfd'

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

        DepthAnythingError where the type is not known or the bytes are none of it.
        """
        try:
            return self._store.deserialize_cdr(self.raw, self.kind)
        except KeyError as err:
            raise DepthAnythingError(
                f'messages of {self.topic} cannot be read: type {err.args[0]} is neither defined '
                'in the bag nor part of ROS 2; leave the topic out, or record it where the '
                'package of that type is installed'
            ) from err
        except (SerdeError, ValueError, IndexError, AssertionError) as err:
            raise DepthAnythingError(
                f'the message of {self.topic} received at {self.receive_ns} ns is no {self.kind} '
                f'({str(err).rstrip(".")}): record the bag again, or leave the topic out'
            ) from err


class BagReader:
    """Reads one bag: a folder, or a single .mcap or .db3 file.

    Use it as a context manager; whatever is wrong with the bag is a DepthAnythingError. Known
    once entered: `topics` by name, and `truncated`, a line on what is missing at the end of a
    recording that was cut off, '' for a whole one. `store` knows every type of the bag, and
    serialises as well.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()
        self.topics: dict[str, BagTopic] = {}
        self.truncated = ''
        self._storages: list[Storage] = []

    def __enter__(self) -> BagReader:
        try:
            self._storages = open_storages(self.path)
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
        self.truncated = '; '.join(x.truncated for x in self._storages if x.truncated)
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def start_ns(self) -> int:
        """Time of the first receipt in nanoseconds; 0 in a bag without messages."""
        return min((x.reader.start_time for x in self._filled()), default=0)

    @property
    def end_ns(self) -> int:
        """Time of the last receipt in nanoseconds; 0 in a bag without messages."""
        return max((x.reader.end_time - 1 for x in self._filled()), default=0)

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
            known = f'near it are {self._listing(nearest)}' if nearest else ''
            known = known or f'it has {self._listing()}'
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
        """Return the topics of these types that have messages."""
        return [x.name for x in self.topics.values() if x.kind in kinds and x.count]

    def color_topics(self) -> list[str]:
        """Return the topics whose first message is a colour image, not a depth image.

        Of an image recorded raw and compressed it is the raw topic. DepthAnythingError, with
        the topics there are, where there is none.
        """
        images = self.of_type(IMAGE, COMPRESSED_IMAGE)
        firsts = [next(self.messages([topic])) for topic in images]
        found = [message.topic for message in firsts if is_color(message)]
        if not found:
            cut = f'; {self.truncated}' if self.truncated else ''
            raise DepthAnythingError(
                f'bag {self.path} has no colour images: it has {self._listing()}; record a topic '
                f'of type Image or CompressedImage{cut}'
            )
        twins = {f'{topic}/compressed' for topic in found}
        return [topic for topic in found if topic not in twins]

    def _close(self) -> None:
        for storage in self._storages:
            storage.reader.close()
        self._storages = []

    def _filled(self) -> list[Storage]:
        return [x for x in self._storages if x.reader.end_time > 0]

    def _listing(self, names: Iterable[str] | None = None) -> str:
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
            try:
                for connection, time_ns, raw in storage.reader.messages(connections):
                    data = _decompressed(raw) if raw[:4] == _ZSTD else raw
                    yield BagMessage(
                        connection.topic, connection.msgtype, time_ns, data, self.store
                    )
            except Exception as err:
                reason = ' '.join((str(err) or type(err).__name__).split()).rstrip('.')
                raise DepthAnythingError(
                    f'bag {storage.path} is damaged: {reason}; copy it again, or fix it with '
                    '`mcap recover` or `sqlite3 .recover`'
                ) from err


def bgr_of(
    kind: str, image: Any, max_pixels: int = MAX_PIXELS, levels: Levels | None = None
) -> BgrImage:
    """Return the pixels (H, W, 3) of a message that was read, of type Image or CompressedImage."""
    decode = bgr_from_compressed if kind == COMPRESSED_IMAGE else bgr_from_image
    return decode(image, max_pixels=max_pixels, levels=levels)


def is_color(message: BagMessage) -> bool:
    """Return whether an Image or CompressedImage is a colour image, convertible to BGR."""
    content = message.read()
    if message.kind == COMPRESSED_IMAGE:
        name = str(content.format).lower()
        depth = name.split(';')[0].strip().upper() in DEPTH_ENCODINGS
        return not depth and 'compresseddepth' not in name
    # Some drivers call their 16UC1 depth mono16.
    depth = content.encoding == 'mono16' and 'depth' in message.topic
    return content.encoding in ENCODINGS and not depth


def _decompressed(raw: bytes) -> bytes:
    """Return the content of a zstd frame, which need not say how large it is."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    data = frame.decompress(raw)
    if not frame.eof:
        raise zstandard.ZstdError('a compressed message ends too early')
    return data


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
