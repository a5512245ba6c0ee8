"""Depth from any camera with Depth Anything V2: relative, and metric where a reference is there.

>>> import depth_anything_ros as da
>>> model = da.load('demo')
>>> frame = model(image)  # uint8 (H, W, 3) BGR

docs/python.md shows what a frame holds, and how to get metres.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_anything_ros.core.errors import (
        BackendError,
        DepthAnythingError,
        FrameError,
        SettingError,
        WeightsError,
    )
    from depth_anything_ros.core.types import CameraModel as Camera
    from depth_anything_ros.estimator.frame import Frame
    from depth_anything_ros.estimator.model import DepthModel, load
    from depth_anything_ros.estimator.stream import DepthStream
    from depth_anything_ros.metric.references import DepthImage, Ground, Points, Scan

__version__ = '0.1.0'

__all__ = [
    'BackendError',
    'Camera',
    'DepthAnythingError',
    'DepthImage',
    'DepthModel',
    'DepthStream',
    'Frame',
    'FrameError',
    'Ground',
    'Points',
    'Scan',
    'SettingError',
    'WeightsError',
    'load',
]

_HOMES = {
    'core.errors': (
        'BackendError',
        'DepthAnythingError',
        'FrameError',
        'SettingError',
        'WeightsError',
    ),
    'core.types': ('CameraModel',),
    'estimator.frame': ('Frame',),
    'estimator.model': ('DepthModel', 'load'),
    'estimator.stream': ('DepthStream',),
    'metric.references': ('DepthImage', 'Ground', 'Points', 'Scan'),
}
"""Where each public name is defined; nothing is imported before it is used."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f'{__name__}.{module}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return [*__all__, '__version__']
