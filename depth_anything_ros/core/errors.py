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
    'one_line',
    'printable',
    'require_number',
    'shown',
]

_LONGEST_NAME, _LONGEST_MESSAGE = 100, 2000


class DepthAnythingError(Exception):
    """Root of every error that this package raises on purpose; its message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


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
        super().__init__(message)
        self.reason = reason


def require_number(value: object, name: str, unit: str) -> None:
    """Raise SettingError where `value`, called `name`, is not a finite number."""
    if not isinstance(value, Real) or not math.isfinite(value):
        raise SettingError(f'{name} is {value!r}: give {unit}')


def printable(text: str) -> str:
    """Return `text` on one line that every terminal takes: a file name is any bytes."""
    return ''.join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def one_line(text: str) -> str:
    """Return a text of which others chose parts, escaped and cut: it forges no line."""
    return printable(text[:_LONGEST_MESSAGE])[:_LONGEST_MESSAGE]


def shown(name: str) -> str:
    """Return a name that somebody else chose, in quotes, escaped and cut, for a message."""
    return repr(name if len(name) <= _LONGEST_NAME else f'{name[:_LONGEST_NAME]}...')
