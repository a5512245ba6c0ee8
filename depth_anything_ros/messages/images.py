"""Images between ROS messages and BGR arrays.

Messages are duck-typed: those of rclpy (`data` is array('B')) and those read from a bag by
rosbags (`data` is a NumPy array) are served alike, and nothing of ROS is imported.
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.messages.buffers import bytes_of, stored
from depth_anything_ros.messages.encodings import DEPTH_ENCODINGS, ENCODINGS, RawImage
from depth_anything_ros.messages.image_headers import FORMATS, check_scans, read_header

__all__ = ['MAX_PIXELS', 'bgr_from_compressed', 'bgr_from_image', 'fill_compressed', 'fill_image']

MAX_PIXELS = 100_000_000
"""Pixels beyond which an image is taken for a damaged header."""

_DEPTH_HINT = 'that is a depth image: remap it to the reference topic (reference:=), not to image'
_UNREADABLE = 'cannot be decoded by OpenCV'
_FILLED: dict[str, tuple[type[np.generic], int]] = {
    '32FC1': (np.float32, 1),
    'bgr8': (np.uint8, 3),
    'mono8': (np.uint8, 1),
    '16UC1': (np.uint16, 1),
}


def bgr_from_image(
    msg: Any, max_pixels: int = MAX_PIXELS, levels: Levels | None = None
) -> BgrImage:
    """Return the pixels of a sensor_msgs/Image as uint8 (H, W, 3), channels blue, green, red.

    bgr8 is a read-only view of `msg.data`, padded rows included: it must not outlive a change
    of the message. Every other encoding is one conversion into a new array; 16 bits become 8 by
    `levels`, or by those of the image alone. What is not in `ENCODINGS` goes to cv_bridge where
    that is installed. FrameError says what is wrong.
    """
    encoding = msg.encoding
    if encoding in DEPTH_ENCODINGS:
        raise FrameError('depth_image', f"the image has encoding '{encoding}': {_DEPTH_HINT}")
    width, height = int(msg.width), int(msg.height)
    _check_size(width, height, max_pixels)
    layout = ENCODINGS.get(encoding)
    if layout is None:
        return _bgr_from_cv_bridge(msg)
    data = _bytes_of(msg.data)
    raw = RawImage(
        encoding, data, width, height, int(msg.step), bool(msg.is_bigendian), levels or Levels()
    )
    return layout.to_bgr(raw)


def bgr_from_compressed(
    msg: Any, max_pixels: int = MAX_PIXELS, levels: Levels | None = None
) -> BgrImage:
    """Decode a sensor_msgs/CompressedImage to uint8 (H, W, 3), channels blue, green, red.

    The data decide on the format, whatever `format` says of it; grey images become bgr8, and 16
    bits 8 by `levels`, or by those of the image alone. EXIF orientation is ignored, since
    camera_info describes the sensor. FrameError says what is wrong. Nothing is decoded whose
    header was not read: a small file can promise gigabytes.
    """
    kind = msg.format
    if 'compresseddepth' in kind.lower() or kind.split(';')[0].strip() in DEPTH_ENCODINGS:
        raise FrameError('depth_image', f'the image has format {kind[:60]!r}: {_DEPTH_HINT}')
    data = _bytes_of(msg.data)
    header = read_header(data.tobytes())
    if header is None:
        raise _undecodable(kind, data, f'has no whole header of a {FORMATS}')
    _check_size(header.width, header.height, max_pixels)
    check_scans(header, 'the compressed image')
    # OpenCV 4.6 paints the missing part of a JPEG grey and calls it an image.
    if not header.complete:
        raise FrameError(
            'bad_compressed',
            f'the compressed image of {data.size} bytes (format {kind[:60]!r}) ends before '
            'its end marker: the publisher or the transport cuts messages',
        )
    try:
        # To be read as the file says: the 'rgb8' or 'bgr8' that image_transport writes in front
        # names the raw topic's order, not that of the compressed pixels.
        how = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(data, how)
    except cv2.error as err:
        raise _undecodable(kind, data, _UNREADABLE) from err
    if image is None:
        raise _undecodable(kind, data, _UNREADABLE)
    return np.asarray(image) if image.dtype == np.uint8 else (levels or Levels()).eight_bits(image)


def fill_image(msg: Any, pixels: npt.NDArray[Any], encoding: str) -> None:
    """Copy `pixels` into a sensor_msgs/Image: 32FC1, 16UC1, mono8 (H, W) or bgr8 (H, W, 3).

    Everything but the header is set. The type of the array must be that of the encoding.
    """
    dtype, channels = _FILLED[encoding]
    if pixels.dtype != dtype or pixels.shape[2:] != (() if channels == 1 else (channels,)):
        raise ValueError(f'{encoding} does not hold {pixels.dtype} of shape {pixels.shape}')
    msg.height, msg.width = pixels.shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = int(sys.byteorder == 'big')
    msg.step = msg.width * channels * pixels.itemsize
    msg.data = stored(pixels, msg.data)


def fill_compressed(msg: Any, bgr: BgrImage, quality: int = 90) -> None:
    """Encode `bgr` uint8 (H, W, 3) into a CompressedImage as JPEG of `quality` 1 to 100.

    Everything but the header is set, `format` as compressed_image_transport writes it.
    """
    done, jpeg = cv2.imencode('.jpg', bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise FrameError('bad_compressed', f'OpenCV cannot write a JPEG of shape {bgr.shape}')
    msg.format = 'bgr8; jpeg compressed bgr8'
    msg.data = stored(jpeg, msg.data)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width <= 0 or height <= 0:
        raise FrameError('empty_image', f'the image is {width} x {height} pixels: no picture')
    if width * height > max_pixels:
        raise FrameError(
            'image_too_large',
            f'the image is {width} x {height} pixels, more than the limit of {max_pixels}: '
            'shrink it before this node, or look for a damaged header',
        )


def _bytes_of(data: Any) -> npt.NDArray[np.uint8]:
    """View the bytes of an image; no image has none."""
    flat = bytes_of(data)
    if not flat.size:
        raise FrameError('empty_image', 'the image has no data: the driver sent an empty message')
    return flat


def _undecodable(kind: str, data: npt.NDArray[np.uint8], why: str) -> FrameError:
    return FrameError(
        'bad_compressed',
        f'the compressed image {why} (format {kind[:60]!r}, {data.size} bytes, starting with '
        f'{data[:4].tobytes().hex(" ")}): publish jpeg or png, or use the raw image',
    )


def _bgr_from_cv_bridge(msg: Any) -> BgrImage:
    """Let cv_bridge convert what this module does not know."""
    name = msg.encoding[:40]

    def refusal(why: str, fix: str = '') -> FrameError:
        known = ', '.join(ENCODINGS)
        return FrameError('bad_encoding', f'{why}: {fix}publish one of {known}')

    try:
        # A cv_bridge built against another NumPy fails with more than ImportError.
        from cv_bridge import CvBridge
    except Exception as err:
        why = f'encoding {name!r} is not supported without cv_bridge ({type(err).__name__})'
        raise refusal(why, 'install it, or ') from err
    try:
        image = np.asarray(CvBridge().imgmsg_to_cv2(msg, 'bgr8'))
    except Exception as err:
        why = ' '.join(str(err).split())[:120]
        raise refusal(
            f'encoding {name!r} is not supported, and cv_bridge refuses it ({why})'
        ) from err
    if image.dtype != np.uint8 or image.shape != (int(msg.height), int(msg.width), 3):
        made = f'{image.dtype} of shape {image.shape}'
        raise refusal(f'cv_bridge made {made} out of encoding {name!r}')
    return image
