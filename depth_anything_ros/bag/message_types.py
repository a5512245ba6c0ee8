"""Message types: those a bag defines, those of every ROS 2, and new messages of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat, Nodetype
from rosbags.interfaces.typing import Typesdict
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from depth_anything_ros.messages.reference_messages import REFERENCE_TYPES

__all__ = ['lacking_fields', 'message_makers', 'output_store', 'store_for']

_IDL_PART = '=' * 80 + '\n'

# What is processed; of others the bytes are copied at most.
_USED = {*REFERENCE_TYPES, 'sensor_msgs/msg/CameraInfo', 'tf2_msgs/msg/TFMessage'}

_NOT_NUMPY = {'bool': False, 'string': ''}

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


@lru_cache(maxsize=64)
def lacking_fields(store: Typestore, kind: str) -> tuple[str, ...]:
    """Return which fields of a type that is processed its definition in the bag does not have."""
    if kind not in _USED or kind not in store.fielddefs:
        return ()
    return tuple(_lacking(store, output_store().fielddefs, kind, ''))


def _lacking(store: Typestore, known: Typesdict, kind: str, prefix: str) -> Iterator[str]:
    fields = dict(store.fielddefs[kind][1])
    for name, what in known[kind][1]:
        if name not in fields:
            yield prefix + name
        elif what[0] is Nodetype.NAME and fields[name] == what:
            yield from _lacking(store, known, what[1], f'{prefix}{name}.')
        elif fields[name][0] is not what[0]:
            yield f'{prefix}{name} of its type'


def output_store() -> Typestore:
    """Return the types of the outputs: those of Jazzy, which later releases read as well."""
    return get_typestore(Stores.ROS2_JAZZY)


def message_makers(store: Typestore) -> Mapping[str, Callable[..., Any]]:
    """Return, by type name, a function that makes a message from keyword arguments.

    Fields that are not given are zero-initialised, as rclpy does; rosbags has no defaults.
    """
    return {name: partial(_message, store, name) for name in store.fielddefs}


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
    """Register types, in place of others of the same name.

    One that differs in the case of names alone, as ROS 1's CameraInfo with its K, changes nothing.
    """
    changed = {
        name: body
        for name, body in types.items()
        if name not in store.fielddefs or _lower(store.fielddefs[name]) != _lower(body)
    }
    for name in changed:
        store.fielddefs.pop(name, None)
        store.types.pop(name, None)
    if changed:
        store.register(changed)


def _lower(body: Any) -> Any:
    return [(name.lower(), what) for name, what in body[1]]


def _message(store: Typestore, kind: str, /, **given: Any) -> Any:
    _, fields = store.fielddefs[kind]
    values = {
        field: given[field] if field in given else _zero(store, what) for field, what in fields
    }
    return store.types[kind](**values)


def _zero(store: Typestore, kind: Any) -> Any:
    """Return the value of a field: `kind` is (node, what), as in `fielddefs`."""
    node, what = kind
    if node is Nodetype.NAME:
        return _message(store, what)
    if node is Nodetype.BASE:
        return _NOT_NUMPY.get(what[0], 0.0 if what[0].startswith('float') else 0)
    (inner, element), length = what
    count = length if node is Nodetype.ARRAY else 0
    if inner is Nodetype.BASE and element[0] not in _NOT_NUMPY:
        return np.zeros(count, 'uint8' if element[0] in ('byte', 'char') else element[0])
    return [_zero(store, what[0]) for _ in range(count)]
