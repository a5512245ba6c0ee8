"""What a scale remembers, as plain values and arrays, and back; no code is read with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import Camera
from depth_anything_ros.metric.alignment.bilateral_grid import BilateralGrid
from depth_anything_ros.metric.alignment.depth_and_sigma import Alignment
from depth_anything_ros.metric.alignment.depth_ordering import DepthOrdering
from depth_anything_ros.metric.alignment.held_out import HeldOutError
from depth_anything_ros.metric.alignment.local_error import LocalError
from depth_anything_ros.metric.alignment.refinement import Refinement
from depth_anything_ros.metric.alignment.scale_filter import Bias, ScaleState
from depth_anything_ros.metric.scale import Scale

__all__ = ['packed', 'unpacked']

_KINDS = {
    kind.__name__: kind
    for kind in (
        *(Alignment, BilateralGrid, Bias, Camera, DepthOrdering),
        *(HeldOutError, LocalError, Refinement, Scale, ScaleState),
    )
}


def packed(value: object, arrays: dict[str, npt.NDArray[Any]]) -> Any:
    """Return `value` for JSON, with what NumPy has in `arrays`; None for what is not of a kind."""
    if isinstance(value, np.ndarray | np.generic):
        name = f'kept_{len(arrays)}'
        arrays[name] = np.asarray(value)
        return {'array': name}
    if isinstance(value, deque):
        return {'newest': value.maxlen, 'of': packed(tuple(value), arrays)}
    if isinstance(value, tuple):
        return [packed(each, arrays) for each in value]
    if isinstance(value, dict):
        return {name: packed(each, arrays) for name, each in value.items()}
    if type(value).__name__ in _KINDS:
        return {'kind': type(value).__name__, 'of': packed(vars(value), arrays)}
    return value if isinstance(value, str | int | float) else None


def unpacked(value: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Return what `packed` was given."""
    if isinstance(value, list):
        return tuple(unpacked(each, arrays) for each in value)
    if not isinstance(value, dict):
        return value
    if 'array' in value:
        return arrays[value['array']][()]
    if 'newest' in value:
        return deque(unpacked(value['of'], arrays), value['newest'])
    if 'kind' in value:
        kind = _KINDS[value['kind']]
        made: object = object.__new__(kind)
        made.__dict__.update(unpacked(value['of'], arrays))
        return made
    return {name: unpacked(each, arrays) for name, each in value.items()}
