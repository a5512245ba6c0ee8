"""Depth images as compressed_depth_image_transport publishes them: PNG or RVL behind a header."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import DepthEncoding, FloatImage
from depth_anything_ros.messages.buffers import bytes_of, stored
from depth_anything_ros.messages.depth_images import depth_from_image, millimetres_of
from depth_anything_ros.messages.image_headers import read_header
from depth_anything_ros.messages.images import MAX_PIXELS

__all__ = ['depth_from_compressed', 'depth_from_message', 'fill_compressed_depth']

# Of 32FC1: A and B of the 16-bit value v = A / depth_m + B. Before them stands an enum, 0.
_HEADER = struct.Struct('<iff')
_RVL_SIZE = struct.Struct('<ii')
_PNG = b'\x89PNG'
# The transport's own 3 takes twice as long for 5 to 15 % less.
_PNG_LEVEL = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def depth_from_message(msg: Any) -> FloatImage:
    """Return metres along Z of an Image or a CompressedImage as float32 (H, W); FrameError."""
    return depth_from_compressed(msg) if hasattr(msg, 'format') else depth_from_image(msg)


def depth_from_compressed(msg: Any) -> FloatImage:
    """Return metres along Z of a sensor_msgs/CompressedImage as float32 (H, W), NaN where unknown.

    `format` is as in '16UC1; compressedDepth png', in old recordings 'compressedDepth' alone.
    FrameError says what is wrong.
    """
    encoding, _, codec = msg.format.rpartition('; ')
    if encoding not in ('', '16UC1', 'mono16', '32FC1') or not codec.startswith('compressedDepth'):
        raise FrameError(
            'bad_encoding',
            f'the compressed depth image has format {msg.format[:60]!r}: publish 16UC1 or 32FC1 '
            'by compressed_depth_image_transport',
        )
    data = bytes_of(msg.data).tobytes()
    body = data[_HEADER.size :]
    try:
        _, a, b = _HEADER.unpack_from(data)
        values = _png(body) if body.startswith(_PNG) else _rvl(body)
    except (ValueError, struct.error, cv2.error) as err:
        raise FrameError(
            'bad_compressed',
            f'the compressed depth image of {len(data)} bytes is not a whole PNG or RVL ({err}): '
            'look for a publisher or transport that cuts messages',
        ) from err
    with np.errstate(divide='ignore', invalid='ignore'):
        inverse = encoding == '32FC1' or (not encoding and a != 0.0)
        depth = np.float32(a) / (values - np.float32(b)) if inverse else values * 1e-3
    depth_m: FloatImage = np.asarray(depth, np.float32)
    depth_m[(values == 0) | ~(depth_m > 0.0)] = np.nan
    return depth_m


def fill_compressed_depth(
    msg: Any, depth_m: FloatImage, encoding: DepthEncoding, max_m: float, quantization: float
) -> None:
    """Write `depth_m` float32 (H, W), metres along Z, into a CompressedImage as PNG.

    Everything but the header is set, as compressed_depth_image_transport (codec.cpp) does with
    depth_max and depth_quantization. 0, unknown, stands for NaN, for `max_m` and beyond, and for
    what the 16 bits do not hold. Inverse depth is rounded, where the transport cuts it off and is
    half a step too far on average.
    """
    a = b = np.float32(0.0)
    if encoding is DepthEncoding.MILLIMETRES:
        values = millimetres_of(depth_m, max_m)
    else:
        a = np.float32(quantization * (quantization + 1.0))
        b = np.float32(1.0) - a / np.float32(max_m)
        with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
            inverse = np.rint(a / depth_m + b)
            known = (depth_m > 0.0) & (depth_m < max_m) & (inverse <= 65535.0)
            values = np.where(known, inverse, 0).astype(np.uint16)
    done, png = cv2.imencode('.png', values, _PNG_LEVEL)
    if not done:
        raise FrameError('bad_compressed', f'OpenCV cannot write a PNG of shape {depth_m.shape}')
    msg.format = f'{encoding.value}; compressedDepth png'
    header = np.frombuffer(_HEADER.pack(0, a, b), np.uint8)
    msg.data = stored(np.concatenate((header, png.ravel())), msg.data)


def _png(data: bytes) -> npt.NDArray[np.uint16]:
    header = read_header(data)
    if header is None or not header.complete:
        raise ValueError('it ends too early')
    _check_size(header.width, header.height)
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 2:
        raise ValueError('it is not a 16-bit PNG')
    return np.asarray(values, np.uint16)


def _rvl(data: bytes) -> npt.NDArray[np.uint16]:
    """Decode RVL: A. D. Wilson, Fast Lossless Depth Image Compression, 2017.

    Numbers are of three bits in each nibble, the lowest first, the fourth bit says that the next
    nibble belongs to them. They are runs: a count of zeros, a count of values, then for each value
    its difference to the last one.
    """
    width, height = _RVL_SIZE.unpack_from(data)
    _check_size(width, height)
    words = np.frombuffer(data, '<u4', (len(data) - _RVL_SIZE.size) // 4, _RVL_SIZE.size)
    # Eight nibbles in a word, the highest first.
    nibbles = (words[:, None] >> np.arange(28, -4, -4, dtype=np.uint32) & 15).ravel()
    ends = np.flatnonzero(nibbles < 8)
    starts = np.concatenate(([0], ends[:-1] + 1))[: len(ends)]
    if not ends.size:
        raise ValueError('it ends too early')
    nibbles = nibbles[: ends[-1] + 1].astype(np.int64)
    place = np.arange(nibbles.size) - np.repeat(starts, ends - starts + 1)
    if place.max() > 10:
        raise ValueError('it has a number of more than 32 bits')
    numbers = np.add.reduceat((nibbles & 7) << 3 * place, starts)
    values = np.zeros(width * height, np.int64)
    at = pixel = last = 0
    while pixel < values.size:
        if at + 1 >= numbers.size:
            raise ValueError('it ends too early')
        pixel += int(numbers[at])
        count = int(numbers[at + 1])
        deltas = numbers[at + 2 : at + 2 + count]
        if pixel + count > values.size or len(deltas) < count:
            raise ValueError('its runs do not fit its size')
        if count:
            steps = (deltas >> 1) ^ -(deltas & 1)
            values[pixel : pixel + count] = last + np.cumsum(steps)
            last = int(values[pixel + count - 1])
        elif not numbers[at]:
            raise ValueError('it has an empty run')
        pixel += count
        at += 2 + count
    if values.min() < 0 or values.max() > 65535:
        raise ValueError('it has values of more than 16 bits')
    return values.astype(np.uint16).reshape(height, width)


def _check_size(width: int, height: int) -> None:
    if not (width > 0 and height > 0 and width * height <= MAX_PIXELS):
        raise ValueError(f'it is {width} x {height} pixels')
