"""The exceptions of this package, under one root.

Every message is one line that says what was wrong, with the value, and how to fix it.
"""

from __future__ import annotations

import math
from numbers import Real

__all__ = [
    'BackendError',
    'DepthAnythingError',
    'DeviceMemoryError',
    'FrameError',
    'SettingError',
    'WeightsError',
    'require_number',
    'shown',
]

_LONGEST_NAME, _LONGEST_MESSAGE = 100, 2000


class DepthAnythingError(Exception):
    """Root of every error that this package raises on purpose."""


class SettingError(DepthAnythingError):
    """A parameter or an argument has a value that cannot be used."""


class WeightsError(DepthAnythingError):
    """A checkpoint is missing, damaged, of the wrong kind, or cannot be fetched."""


class BackendError(DepthAnythingError):
    """A backend or its device is missing or does not work."""


class DeviceMemoryError(BackendError):
    """The memory of the device does not hold a frame; a smaller input size may fit."""


class FrameError(DepthAnythingError):
    """One frame cannot be used; the next one may be.

    `reason` is a short snake_case word under which diagnostics count such frames, for
    instance 'bad_encoding'.
    """

    def __init__(self, reason: str, message: str) -> None:
        if not message.isprintable():
            message = repr(message)[1:-1]
        super().__init__(message[:_LONGEST_MESSAGE])
        self.reason = reason


def require_number(value: object, name: str, unit: str) -> None:
    """Raise SettingError where `value`, called `name`, is not a finite number."""
    if not isinstance(value, Real) or not math.isfinite(value):
        raise SettingError(f'{name} is {value!r}: give {unit}')


def shown(name: str) -> str:
    """Return a name that somebody else chose, in quotes, escaped and cut, for a message."""
    return repr(name if len(name) <= _LONGEST_NAME else f'{name[:_LONGEST_NAME]}...')
