"""What is written into bags beside messages: storages and how each is packed, and QoS."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionMode, StoragePlugin

__all__ = ['LATCHED', 'RELIABLE', 'STORAGES']

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

LATCHED = RELIABLE._replace(depth=1, durability=QosDurability.TRANSIENT_LOCAL)
"""What /tf_static is offered with: late subscribers hear the last message."""
