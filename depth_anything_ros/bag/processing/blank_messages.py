"""Messages of rosbags with every field zero, as rclpy makes them; rosbags has no defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

__all__ = ['blank_makers', 'output_store']

_NOT_NUMPY = {'bool': False, 'string': ''}


def output_store() -> Typestore:
    """Return the types of what is written: those of Jazzy, which later releases read as well."""
    return get_typestore(Stores.ROS2_JAZZY)


def blank_makers(store: Typestore) -> Mapping[str, Callable[..., Any]]:
    """Give, by type name, a function that makes a message of the fields it is given."""
    return {name: partial(_made, store, name) for name in store.fielddefs}


def _made(store: Typestore, kind: str, /, **given: Any) -> Any:
    _, fields = store.fielddefs[kind]
    values = {
        field: given[field] if field in given else _zero(store, what) for field, what in fields
    }
    return store.types[kind](**values)


def _zero(store: Typestore, kind: Any) -> Any:
    """Return the value of a field: `kind` is (node, what), as in `fielddefs`."""
    node, what = kind
    if node is Nodetype.NAME:
        return _made(store, what)
    if node is Nodetype.BASE:
        return _NOT_NUMPY.get(what[0], 0.0 if what[0].startswith('float') else 0)
    (inner, element), length = what
    count = length if node is Nodetype.ARRAY else 0
    if inner is Nodetype.BASE and element[0] not in _NOT_NUMPY:
        return np.zeros(count, 'uint8' if element[0] in ('byte', 'char') else element[0])
    return [_zero(store, what[0]) for _ in range(count)]
