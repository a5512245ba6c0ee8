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
    from depth_anything_ros.core.types import Camera
    from depth_anything_ros.estimator.frame import Frame
    from depth_anything_ros.estimator.model import DepthModel, load
    from depth_anything_ros.estimator.stream import DepthStream
    from depth_anything_ros.metric.references import DepthImage, Ground, Odometry, Points, Scan

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
    'Odometry',
    'Points',
    'Scan',
    'SettingError',
    'WeightsError',
    'load',
]

_HOMES = {
    'BackendError': 'core.errors',
    'Camera': 'core.types',
    'DepthAnythingError': 'core.errors',
    'DepthImage': 'metric.references',
    'DepthModel': 'estimator.model',
    'DepthStream': 'estimator.stream',
    'Frame': 'estimator.frame',
    'FrameError': 'core.errors',
    'Ground': 'metric.references',
    'Odometry': 'metric.references',
    'Points': 'metric.references',
    'Scan': 'metric.references',
    'SettingError': 'core.errors',
    'WeightsError': 'core.errors',
    'load': 'estimator.model',
}
"""Where each public name is defined; nothing is imported before it is used."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)


def __dir__() -> list[str]:
    return [*__all__, '__version__']
