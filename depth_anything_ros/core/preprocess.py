"""A camera image to the network's input, and the network's output back to the image's size."""

from __future__ import annotations

from functools import lru_cache
from os import PathLike

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.input_format import IMAGENET, Channels
from depth_anything_ros.core.network_size import MAX_INPUT_SIZE, network_size
from depth_anything_ros.core.types import BgrImage, FloatImage

__all__ = [
    'MAX_INPUT_SIZE',
    'Channels',
    'check_bgr',
    'network_input',
    'network_size',
    'upsample',
]


def check_bgr(bgr: object) -> None:
    """Refuse, as FrameError, what is not a uint8 (H, W, 3) array with a pixel in it."""
    if isinstance(bgr, np.ndarray):
        if bgr.dtype == np.uint8 and bgr.ndim == 3 and bgr.shape[2] == 3 and bgr.size:
            return
        found = f'{bgr.dtype} {bgr.shape}'
        if bgr.dtype.kind == 'f':
            fix = '; of values from 0 to 1 (255 * image).astype(np.uint8) makes them'
        elif bgr.ndim == 2:
            fix = '; of a grey image cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) makes one'
        elif bgr.ndim == 3 and bgr.shape[0] == 3 and bgr.shape[2] > 4:
            fix = '; image.transpose(1, 2, 0) puts the channels last'
        elif bgr.shape[2:] == (4,):
            fix = '; cv2.cvtColor(image, cv2.COLOR_BGRA2BGR) leaves the alpha channel out'
        else:
            fix = ''
    elif bgr is None:
        found, fix = 'None', '; cv2.imread returns None where it finds no picture: check the path'
    elif isinstance(bgr, str | PathLike):
        found, fix = type(bgr).__name__, '; cv2.imread(path) reads one'
    else:
        found = type(bgr).__name__
        fix = '; np.asarray(image)[..., ::-1] makes one of an RGB image'
    raise FrameError('bad_image', f'the image is {found}: give uint8 (H, W, 3), channels BGR{fix}')


def network_input(
    bgr: BgrImage,
    size: tuple[int, int],
    out: FloatImage | None = None,
    channels: Channels = IMAGENET,
) -> FloatImage:
    """Return the network's input, float32 (3, h, w): resized, by default RGB of ImageNet's values.

    `size` is (h, w) as from `network_size`. `out`, when given, is a C-contiguous float32
    array of that shape and is filled and returned. Resizing is cubic on float32 planes, as
    upstream resizes: on bytes it would clip overshoots and be off by 0.25 at sharp edges.
    Normalising comes first, since it commutes with resizing and a byte has 256 values.
    """
    check_bgr(bgr)
    height, width = size
    if out is None:
        out = np.empty((3, height, width), np.float32)
    elif out.shape != (3, height, width) or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f'out must be C-contiguous float32 (3, {height}, {width})')
    planes = cv2.split(bgr)
    for (index, lookup), target in zip(channels, out, strict=True):
        normalised = cv2.LUT(planes[index], lookup)
        cv2.resize(normalised, (width, height), dst=target, interpolation=cv2.INTER_CUBIC)
    return out


def upsample(inverse_depth: FloatImage, size: tuple[int, int]) -> FloatImage:
    """Return (h, w) float32 resized bilinearly to `size` (H, W), corner pixels onto corner pixels.

    Equals torch's F.interpolate(mode='bilinear', align_corners=True), as upstream resizes.
    OpenCV knows no such resize: cv2.resize aligns edges, and cv2.remap rounds positions to
    1/32 pixel in some releases. Two passes, rows first.
    """
    if inverse_depth.shape == size:
        return inverse_depth
    rows = _resized_rows(inverse_depth, size[0])
    # Columns are taken as rows of the transpose: whole cache lines, not single values.
    columns = _resized_rows(_transposed(rows), size[1])
    return _transposed(columns)


def _transposed(image: FloatImage) -> FloatImage:
    return np.asarray(cv2.transpose(image), np.float32)


def _resized_rows(image: FloatImage, count: int) -> FloatImage:
    """Resize (n, m) linearly to (count, m), first and last row kept."""
    above, below, weight = _row_taps(image.shape[0], count)
    low = image[above]
    out = image[below]
    out -= low
    out *= weight
    out += low
    return out


@lru_cache(maxsize=32)
def _row_taps(
    length: int, count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatImage]:
    """Return, per output row, the two input rows around it and the weight of the second.

    In float32 as torch computes it: the last bit of a position shows in steep places.
    """
    step = np.float32(length - 1) / np.float32(max(count - 1, 1))
    position = np.arange(count, dtype=np.float32) * step
    above = np.minimum(position.astype(np.intp), length - 1)
    below = np.minimum(above + 1, length - 1)
    weight = (position - above.astype(np.float32))[:, None]
    for table in (above, below, weight):
        table.flags.writeable = False  # every caller gets the same ones
    return above, below, weight
