"""A camera image to the network's input, and the network's output back to the image's size."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.types import BgrImage, FloatImage

__all__ = ['MAX_INPUT_SIZE', 'check_bgr', 'network_input', 'network_size', 'upsample']

MULTIPLE_PX = 14
"""The network cuts its input into patches of this side."""

MAX_INPUT_SIZE = 2072
"""Four times the size the networks were trained at; attention costs its fourth power."""

MAX_ASPECT = 4
"""Beyond this aspect ratio an image no longer gets all the pixels upstream's rule asks for."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_NORMALISED = tuple(
    ((np.arange(256) / 255.0 - mean) / std).astype(np.float32)
    for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)
)
"""For each of R, G, B: the normalised value of every byte."""


def network_size(
    height: int, width: int, input_size: int, max_pixels: int | None = None
) -> tuple[int, int]:
    """Return the (height, width) of the network's input for an image of `height` x `width`.

    Upstream's rule: the shorter side reaches `input_size`, the aspect is kept, both sides are
    multiples of 14 and at least `input_size`. A thin image explodes under it (100 x 4000
    would become 518 x 20720), so past `max_pixels` (4 * input_size ** 2 by default) both
    sides shrink together to that many pixels, down to 14.
    """
    if height < 1 or width < 1:
        raise SettingError(f'an image of {width}x{height} pixels is empty: both sides must be > 0')
    if not MULTIPLE_PX <= input_size <= MAX_INPUT_SIZE:
        raise SettingError(
            f'input_size {input_size} is out of range: give {MULTIPLE_PX} to {MAX_INPUT_SIZE} '
            'pixels, 518 for full quality'
        )
    if max_pixels is None:
        max_pixels = MAX_ASPECT * input_size**2
    if max_pixels < MULTIPLE_PX**2:
        raise SettingError(
            f'max_pixels {max_pixels} holds no patch: give at least {MULTIPLE_PX**2}'
        )
    scale = max(input_size / height, input_size / width)
    wanted = (
        _multiple(scale * height, at_least=input_size),
        _multiple(scale * width, at_least=input_size),
    )
    if wanted[0] * wanted[1] <= max_pixels:
        return wanted
    scale = math.sqrt(max_pixels / (height * width))
    shorter = max(MULTIPLE_PX, _floor(scale * min(height, width)))
    # When the shorter side stops at one patch, the longer one alone holds the cap.
    longer = min(_floor(scale * max(height, width)), _floor(max_pixels / shorter))
    longer = max(longer, MULTIPLE_PX)
    return (shorter, longer) if height <= width else (longer, shorter)


def check_bgr(bgr: object) -> None:
    """Refuse, as FrameError, what is no uint8 (H, W, 3) array with a pixel in it."""
    found = type(bgr).__name__
    if isinstance(bgr, np.ndarray):
        if bgr.dtype == np.uint8 and bgr.ndim == 3 and bgr.shape[2] == 3 and bgr.size:
            return
        found = f'{bgr.dtype} {bgr.shape}'
    raise FrameError('bad_image', f'the image is {found}: give uint8 (H, W, 3), channels BGR')


def network_input(
    bgr: BgrImage, size: tuple[int, int], out: FloatImage | None = None
) -> FloatImage:
    """Return the network's input, float32 (3, h, w): RGB, resized, ImageNet-normalised.

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
    for plane, lookup, target in zip(reversed(cv2.split(bgr)), _NORMALISED, out, strict=True):
        normalised = cv2.LUT(plane, lookup)
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


def _multiple(value: float, at_least: int) -> int:
    rounded = round(value / MULTIPLE_PX) * MULTIPLE_PX
    if rounded < at_least:
        rounded = math.ceil(value / MULTIPLE_PX) * MULTIPLE_PX
    return rounded


def _floor(value: float) -> int:
    # A thousandth of a patch of slack: a product of roots lands just below whole numbers.
    return math.floor(value / MULTIPLE_PX + 1e-3) * MULTIPLE_PX
