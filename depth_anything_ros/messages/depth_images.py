"""Depth images by REP 118: 16UC1 in millimetres, 32FC1 in metres, along Z."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import DepthEncoding, FloatImage
from depth_anything_ros.messages.buffers import bytes_of
from depth_anything_ros.messages.encodings import RawImage
from depth_anything_ros.messages.images import MAX_PIXELS, fill_image

__all__ = ['depth_from_image', 'fill_depth_image', 'inverse_depth_from_image', 'millimetres_of']

# Item type, and metres per unit. mono16 is what some drivers call 16UC1.
_ENCODINGS = {'16UC1': ('u2', 0.001), 'mono16': ('u2', 0.001), '32FC1': ('f4', 1.0)}


def depth_from_image(msg: Any) -> FloatImage:
    """Return metres along Z of a sensor_msgs/Image as a new float32 (H, W), NaN where unknown.

    Zero and less mean unknown, in 32FC1 too, where many drivers write 0; +inf (nothing within
    range) stays. FrameError says what is wrong.
    """
    pixels, metres = _pixels(msg)
    # Bytes may spell a signalling NaN, of which NumPy warns.
    with np.errstate(invalid='ignore'):
        depth: FloatImage = np.multiply(pixels, np.float32(metres), dtype=np.float32)
    depth[~(depth > 0.0)] = np.nan
    return depth


def inverse_depth_from_image(msg: Any) -> FloatImage:
    """Return a 32FC1 image of relative depth as it is, float32 (H, W); 0 is far, not unknown.

    FrameError says what is wrong.
    """
    if msg.encoding != '32FC1':
        raise FrameError('bad_encoding', f'the image is {msg.encoding[:40]!r}, and not 32FC1')
    return np.array(_pixels(msg)[0], np.float32)


def fill_depth_image(
    msg: Any, depth_m: FloatImage, encoding: DepthEncoding = DepthEncoding.METRES
) -> None:
    """Write `depth_m` float32 (H, W), metres, into `msg`; all but the header is set.

    In metres NaN stays, and zero becomes NaN: depth_image_proc would put a point into the camera.
    In millimetres as `millimetres_of` has it.
    """
    if encoding is DepthEncoding.MILLIMETRES:
        fill_image(msg, millimetres_of(depth_m), encoding.value)
        return
    empty = depth_m <= 0.0
    # Hardly ever: what is copied otherwise is the message alone.
    if empty.any():
        depth_m = np.where(empty, np.float32(np.nan), depth_m)
    fill_image(msg, depth_m, '32FC1')


def millimetres_of(depth_m: FloatImage, farthest_m: float = 65.535) -> npt.NDArray[np.uint16]:
    """Return whole millimetres; 0, unknown by REP 118, beyond `farthest_m` or 65.535 m.

    Nothing is clipped: what lies farther has no value there that would not be wrong.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        mm = np.rint(depth_m * np.float32(1e3))
        # A comparison with NaN is false.
        return np.where((mm > 0) & (mm <= min(65535.0, farthest_m * 1e3)), mm, 0).astype(np.uint16)


def _pixels(msg: Any) -> tuple[npt.NDArray[Any], float]:
    """Return a view of the pixels (H, W), and the metres of one unit."""
    if msg.encoding not in _ENCODINGS:
        raise FrameError(
            'bad_encoding',
            f'the depth image has encoding {msg.encoding[:40]!r}: publish 16UC1 (millimetres) or '
            '32FC1 (metres)',
        )
    kind, metres = _ENCODINGS[msg.encoding]
    width, height, step = int(msg.width), int(msg.height), int(msg.step)
    if not 0 < width * height <= MAX_PIXELS:
        raise FrameError(
            'bad_size',
            f'the depth image is {width} x {height} pixels, not between 1 and {MAX_PIXELS} in '
            'all: look for a damaged header',
        )
    big_endian = bool(msg.is_bigendian)
    raw = RawImage(msg.encoding, bytes_of(msg.data), width, height, step, big_endian)
    raw.require_step(width * int(kind[1]))
    raw.require_bytes(step * height)
    pixels = raw.plane((height, width), ('>' if big_endian else '<') + kind, 0, step)
    return pixels, metres
