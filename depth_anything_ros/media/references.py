"""Metric references in files: depth images and points, named as the images they belong to."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.packages import missing
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.messages.image_headers import read_header
from depth_anything_ros.messages.images import MAX_PIXELS
from depth_anything_ros.metric.references import DepthImage, Points
from depth_anything_ros.settings.plain_yaml import file_bytes

__all__ = ['ReferenceFiles']

_LEVELS_PER_M = 1000.0
"""REP 118: 16 bits are millimetres."""
_MOST_VALUES, _MOST_BYTES, _MOST_TEXT = 3 * MAX_PIXELS, 2**30, 2**27
"""In a file of points or depth; bytes of a picture, and of a text."""


class ReferenceFiles:
    """The references in a folder, or the one of a single picture."""

    def __init__(
        self,
        path: Path,
        levels_per_m: float | None = None,
        camera_from_points: Transform | None = None,
    ) -> None:
        """`levels_per_m` of PNG files that do not say it themselves; millimetres without.

        `camera_from_points`: where points were measured; in the optical frame of the image
        without. SettingError where there is no such folder or file.
        """
        self._path, self._levels_per_m = path, levels_per_m
        self._camera_from_points = camera_from_points or IDENTITY
        self.single = path.is_file()
        if self.single and path.suffix.lower() not in _READERS:
            raise SettingError(f'--reference {path} is not a reference: name one of {_KINDS}')
        if not self.single and not path.is_dir():
            raise SettingError(f'--reference {path} does not exist: name a folder or a file')

    def of(self, name: str) -> DepthImage | Points:
        """Return the reference of the image `name`; FrameError where there is none of use."""
        return self._read(self._path if self.single else self._find(name))

    @cached_property
    def kind(self) -> ReferenceKind:
        """That of the first of them that can be used."""
        files = [self._path] if self.single else sorted(self._path.iterdir())
        for path in files:
            with suppress(FrameError, SettingError, KeyError):
                return self._read(path).kind
        return ReferenceKind.DEPTH_IMAGE

    def _read(self, path: Path) -> DepthImage | Points:
        try:
            values = _READERS[path.suffix.lower()](path, self._levels_per_m)
        except (FrameError, SettingError):
            raise
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error
        except Exception as error:  # libraries raise whatever their parsers do
            raise _unusable(path, ' '.join(str(error).split())[:120]) from error
        if values.ndim != 2:
            raise _unusable(path, f'it has the shape {values.shape}, not (H, W) or (N, 3)')
        if values.shape[1] == 3:
            return Points(values, self._camera_from_points)
        # By REP 118 there is no depth of 0.
        return DepthImage(np.where(values > 0.0, values, np.float32(np.nan)))

    def _find(self, name: str) -> Path:
        beside = self._path / name
        found = [
            path
            for suffix in _READERS
            if (path := beside.with_name(beside.name + suffix)).is_file()
        ]
        if len(found) == 1:
            return found[0]
        if not found:
            raise FrameError('no_reference', f'{self._path} has no {name}.*')
        names = ', '.join(path.name for path in found)
        raise FrameError('no_reference', f'several references: {names}; leave one of them')


def _from_png(path: Path, levels_per_m: float | None) -> npt.NDArray[np.float32]:
    data = file_bytes(path, _MOST_BYTES)
    header = read_header(data)
    if header is None or header.width * header.height > MAX_PIXELS:
        raise ValueError('it is not a PNG, or too large')
    image = Image.open(io.BytesIO(data))
    if not image.mode.startswith('I'):
        raise ValueError(f'it is a picture ({image.mode}), and depth has one channel of 16 bits')
    text = image.info
    if levels_per_m is None and 'scale' in text:
        if text.get('unit') != 'm':
            raise ValueError('it says that it holds relative depth: save depth_mm')
        return np.asarray(image, np.float32) * np.float32(text['scale'])
    return np.asarray(image, np.float32) / np.float32(levels_per_m or _LEVELS_PER_M)


def _from_npy(path: Path, _: float | None) -> npt.NDArray[np.float32]:
    # Maps what is there, whatever size the header declares.
    values = np.load(path, 'r', allow_pickle=False)
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f'it holds {values.dtype}: save metres, as float32')
    _check_count(values.size)
    return np.array(values, np.float32)


def _from_exr(path: Path, _: float | None) -> npt.NDArray[np.float32]:
    try:
        import OpenEXR
    except ImportError as error:
        raise SettingError(missing(f'--reference {path}', 'OpenEXR')) from error
    data = file_bytes(path, _MOST_BYTES)
    with OpenEXR.File(io.BytesIO(data), header_only=True) as file:
        for part in file.parts:
            first, last = np.asarray(part.header['dataWindow'], np.int64)
            _check_count(len(part.header['channels']) * math.prod((last - first + 1).tolist()))
    with OpenEXR.File(io.BytesIO(data)) as file:
        channels = file.channels()
        if 'inverse depth' in file.header().get('comments', ''):
            raise ValueError('it says that it holds relative depth: save depth_exr')
        if 'Z' not in channels and len(channels) != 1:
            raise ValueError(f'it has the channels {", ".join(channels)}: depth is Z')
        name = 'Z' if 'Z' in channels else next(iter(channels))
        return np.array(channels[name].pixels, np.float32)


def _from_text(path: Path, _: float | None) -> npt.NDArray[np.float32]:
    try:
        text = file_bytes(path, _MOST_TEXT).decode('utf-8-sig', 'replace')
    except ValueError as error:
        raise ValueError(f'it has {error}: save the points as .npy') from error
    lines = text.splitlines()
    rows = [line.replace(',', ' ').split() for line in lines if not line.startswith('#')]
    rows = [row for row in rows if row]
    if rows and rows[0][:3] == ['x', 'y', 'z']:
        rows = rows[1:]
    points = np.array([row[:3] for row in rows], np.float32)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError('its lines must be x y z in metres')
    return points


def _check_count(count: int) -> None:
    if count > _MOST_VALUES:
        raise ValueError(f'it has {count} values, more than the limit of {_MOST_VALUES}')


_READERS: dict[str, Callable[[Path, float | None], npt.NDArray[np.float32]]] = {
    '.png': _from_png,
    '.npy': _from_npy,
    '.exr': _from_exr,
    '.txt': _from_text,
    '.csv': _from_text,
    '.xyz': _from_text,
}
_KINDS = ' '.join(_READERS)


def _unusable(path: Path, why: str) -> FrameError:
    return FrameError('bad_reference', f'{path} cannot be used: {why}')
