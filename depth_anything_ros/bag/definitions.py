"""The message types of a bag: those it defines itself, and those that every ROS 2 knows."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat
from rosbags.interfaces.typing import Typesdict
from rosbags.typesys import (
    Stores,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)
from rosbags.typesys.store import Typestore

__all__ = ['store_for']

_IDL_PART = '=' * 80 + '\n'

_log = logging.getLogger(__name__)


def store_for(connections: Iterable[Connection]) -> Typestore:
    """Return a typestore that reads the messages of these connections.

    The bag's own definitions count. Of types without one the newest ROS's are taken, but those
    of Humble where the bag defines nothing at all: rosbag2 stores definitions ever since, and
    Humble's sensor_msgs/Range is shorter.
    """
    definitions = {
        (x.msgtype, x.msgdef)
        for x in connections
        if x.msgdef.format is not MessageDefinitionFormat.NONE
    }
    store = get_typestore(Stores.LATEST)
    if not definitions:
        _put(store, get_typestore(Stores.ROS2_HUMBLE).fielddefs)
    for kind, definition in definitions:
        try:
            _put(store, _parse(kind, definition))
        except Exception:  # noqa: BLE001 - a definition is foreign text, and one topic's only
            _log.debug('the definition of %s cannot be used', kind, exc_info=True)
    return store


def _parse(kind: str, definition: MessageDefinition) -> Typesdict:
    if definition.format is MessageDefinitionFormat.MSG:
        return get_types_from_msg(definition.data, kind)
    parts = definition.data.split(_IDL_PART)
    types: Typesdict = {}
    for part in parts:
        # rosbag2 puts the name above each of several texts, and nothing above a single one.
        text = part.partition('\n')[2] if part.startswith('IDL: ') else part
        if text.strip():
            types.update(get_types_from_idl(text))
    return types


def _put(store: Typestore, types: Typesdict) -> None:
    """Register types, in place of others of the same name."""
    changed = {name: body for name, body in types.items() if store.fielddefs.get(name) != body}
    for name in changed:
        store.fielddefs.pop(name, None)
        store.types.pop(name, None)
    if changed:
        store.register(changed)
