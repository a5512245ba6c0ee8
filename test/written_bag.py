"""Small bags for tests, written message by message."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rosbags.interfaces import Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from lab.sample_messages import SampleMessages

MAKE = SampleMessages()
STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}


def write_bag(
    path: Path,
    messages: Iterable[tuple[str, int, Any]],
    storage: str = 'mcap',
    compression: CompressionMode = CompressionMode.NONE,
    version: Any = 9,
    qos: tuple[Qos, ...] = (),
    extra_topics: tuple[tuple[str, str], ...] = (),
) -> Path:
    """Write (topic, time of receipt in ns, message) in this order; `extra_topics` stay empty."""
    writer = Writer(path, version=version, storage_plugin=STORAGES[storage])
    writer.set_compression(compression, CompressionFormat.ZSTD)
    connections: dict[str, Any] = {}
    with writer:

        def connect(topic: str, kind: str) -> Any:
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, kind, typestore=MAKE.store, offered_qos_profiles=qos
                )
            return connections[topic]

        for topic, kind in extra_topics:
            connect(topic, kind)
        for topic, receive_ns, message in messages:
            kind = message.__msgtype__
            data = MAKE.store.serialize_cdr(message, kind)
            writer.write(connect(topic, kind), receive_ns, data)
    return path
