"""Pixel encodings of sensor_msgs/Image and the way from each to BGR.

Names and layouts follow sensor_msgs/image_encodings.hpp; conversions follow cv_bridge: 16 bit
becomes 8 bit by 255 / 65535 where an image uses half of that or more; YUV is ITU-R BT.601 with
limited range. Generic OpenCV types are taken in OpenCV's own channel order, so 8UC3 is bgr8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.core.types import BgrImage

__all__ = ['DEPTH_ENCODINGS', 'ENCODINGS', 'RawImage']

DEPTH_ENCODINGS = ('16UC1', '32FC1')
"""Encodings that REP 118 gives to depth images."""


@dataclass(frozen=True)
class RawImage:
    """Pixels as a message carries them: `data` uint8 (N,), rows `step` bytes apart.

    `levels` are those of the camera, where pixels have 16 bits.
    """

    encoding: str
    data: npt.NDArray[np.uint8]
    width: int
    height: int
    step: int
    big_endian: bool
    levels: Levels = field(default_factory=Levels)

    def plane(
        self, shape: tuple[int, ...], dtype: str, offset: int, step: int
    ) -> npt.NDArray[Any]:
        """View `shape` items from byte `offset` on, rows `step` bytes apart, without a copy."""
        item = np.dtype(dtype).itemsize
        inner = (shape[2] * item, item) if len(shape) == 3 else (item,)
        view: npt.NDArray[Any] = np.ndarray(shape, dtype, self.data, offset, (step, *inner))
        return view

    def require_step(self, row_bytes: int) -> None:
        """Refuse rows that overlap."""
        if self.step < row_bytes:
            raise FrameError(
                'bad_step',
                f'step is {self.step} bytes, but a row of {self.width} {self.encoding} pixels '
                f'takes {row_bytes}: the driver must set step to that or more',
            )

    def require_bytes(self, expected: int) -> None:
        """Refuse data that end before the last row or go on behind it."""
        if self.data.size != expected:
            raise FrameError(
                'bad_data_size',
                f'data hold {self.data.size} bytes, but {self.width} x {self.height} '
                f'{self.encoding} with step {self.step} takes {expected}: the driver must fill '
                'height, step and encoding to match what it sends',
            )

    def require_even(self, *, height: bool) -> None:
        """Refuse sizes that the shared chroma of a YUV encoding cannot cover."""
        if self.width % 2 or (height and self.height % 2):
            sides = 'width and height' if height else 'width'
            raise FrameError(
                'odd_size',
                f'{self.encoding} shares colour between neighbouring pixels and needs an even '
                f'{sides}, not {self.width} x {self.height}: crop the image by one pixel',
            )


class Encoding(Protocol):
    """One way of laying out pixels."""

    def to_bgr(self, raw: RawImage) -> BgrImage:
        """Return uint8 (H, W, 3); FrameError where the bytes do not fit the layout."""


@dataclass(frozen=True)
class Packed:
    """Interleaved channels of `bits` each; `code` is cv2's conversion, None for BGR itself."""

    channels: int
    bits: int
    code: int | None

    def to_bgr(self, raw: RawImage) -> BgrImage:
        """Return uint8 (H, W, 3): a read-only view of the message where no code is needed."""
        pixels = self._pixels(raw)
        if self.bits == 16:
            # Native byte order and aligned rows, which OpenCV needs; no copy if they are so.
            pixels = raw.levels.eight_bits(np.ascontiguousarray(pixels, np.uint16))
        # A swap of channels by cv2 takes 0.02 ms at 640x480. A view with a negative stride (rgb8)
        # or a zero one (mono8) is free here and costs 2 ms in the first cv2 call that copies it.
        bgr = pixels if self.code is None else cv2.cvtColor(pixels, self.code)
        return np.asarray(bgr, np.uint8)

    def _pixels(self, raw: RawImage) -> npt.NDArray[Any]:
        raw.require_step(raw.width * self.channels * self.bits // 8)
        raw.require_bytes(raw.step * raw.height)
        size = (raw.height, raw.width)
        shape = size if self.channels == 1 else (*size, self.channels)
        kind = 'u1' if self.bits == 8 else '>u2' if raw.big_endian else '<u2'
        return raw.plane(shape, kind, 0, raw.step)


@dataclass(frozen=True)
class PackedYuv(Packed):
    """Two pixels in four bytes: Y of each, U and V of both."""

    def to_bgr(self, raw: RawImage) -> BgrImage:
        """Return uint8 (H, W, 3)."""
        raw.require_even(height=False)
        return super().to_bgr(raw)


@dataclass(frozen=True)
class Bayer(Packed):
    """One colour per pixel, filled in bilinearly."""

    def to_bgr(self, raw: RawImage) -> BgrImage:
        """Return uint8 (H, W, 3)."""
        # OpenCV answers with black below this size, and says nothing.
        if min(raw.width, raw.height) < 3:
            raise FrameError(
                'bad_size',
                f'{raw.encoding} needs 3 x 3 pixels or more, not {raw.width} x {raw.height}',
            )
        return super().to_bgr(raw)


def _semi_planar_step(raw: RawImage, bytes_per_pixel: float) -> int:
    """Return the step of the Y plane for a Y plane followed by one of interleaved chroma.

    sensor_msgs does not say whether `step` counts the Y plane or every plane. Without padding
    the number of bytes tells, so both are understood; padded rows have the step of Y.
    """
    tight = int(raw.width * raw.height * bytes_per_pixel)
    if raw.data.size == tight:
        return raw.width
    raw.require_step(raw.width)
    raw.require_bytes(int(raw.step * raw.height * bytes_per_pixel))
    return raw.step


@dataclass(frozen=True)
class HalfChroma:
    """Y plane, then a plane of chroma pairs with half the rows and columns (NV12, NV21)."""

    code: int

    def to_bgr(self, raw: RawImage) -> BgrImage:
        """Return uint8 (H, W, 3)."""
        raw.require_even(height=True)
        step = _semi_planar_step(raw, 1.5)
        luma = raw.plane((raw.height, raw.width), 'u1', 0, step)
        pairs = (raw.height // 2, raw.width // 2, 2)
        chroma = raw.plane(pairs, 'u1', step * raw.height, step)
        return np.asarray(cv2.cvtColorTwoPlane(luma, chroma, self.code), np.uint8)


@dataclass(frozen=True)
class FullChroma:
    """Y plane, then a plane of U, V pairs of the same size in rows twice as long (NV24)."""

    def to_bgr(self, raw: RawImage) -> BgrImage:
        """Return uint8 (H, W, 3)."""
        step = _semi_planar_step(raw, 3.0)
        size = raw.height, raw.width
        luma = raw.plane(size, 'u1', 0, step)
        chroma = raw.plane((*size, 2), 'u1', step * raw.height, 2 * step)
        # OpenCV does not know NV24. Each pixel is written as a YUYV pair of equal pixels, which
        # it does know, and one of the two is kept.
        u, v = cv2.split(chroma)
        pairs = cv2.merge((luma, u, luma, v)).reshape(raw.height, 2 * raw.width, 2)
        doubled = cv2.cvtColor(pairs, cv2.COLOR_YUV2BGR_YUY2)
        bgr = cv2.resize(doubled, (raw.width, raw.height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(bgr, np.uint8)


_UYVY = PackedYuv(2, 8, cv2.COLOR_YUV2BGR_UYVY)
_YUYV = PackedYuv(2, 8, cv2.COLOR_YUV2BGR_YUY2)

# ROS names a Bayer pattern by its first two rows, OpenCV by the second row from its second
# column on: rggb is BG.
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2BGR,
    'bggr': cv2.COLOR_BayerRG2BGR,
    'gbrg': cv2.COLOR_BayerGR2BGR,
    'grbg': cv2.COLOR_BayerGB2BGR,
}

ENCODINGS: dict[str, Encoding] = {
    'bgr8': Packed(3, 8, None),
    'rgb8': Packed(3, 8, cv2.COLOR_RGB2BGR),
    'bgra8': Packed(4, 8, cv2.COLOR_BGRA2BGR),
    'rgba8': Packed(4, 8, cv2.COLOR_RGBA2BGR),
    'mono8': Packed(1, 8, cv2.COLOR_GRAY2BGR),
    'bgr16': Packed(3, 16, None),
    'rgb16': Packed(3, 16, cv2.COLOR_RGB2BGR),
    'bgra16': Packed(4, 16, cv2.COLOR_BGRA2BGR),
    'rgba16': Packed(4, 16, cv2.COLOR_RGBA2BGR),
    'mono16': Packed(1, 16, cv2.COLOR_GRAY2BGR),
    '8UC1': Packed(1, 8, cv2.COLOR_GRAY2BGR),
    '8UC3': Packed(3, 8, None),
    '8UC4': Packed(4, 8, cv2.COLOR_BGRA2BGR),
    '16UC3': Packed(3, 16, None),
    '16UC4': Packed(4, 16, cv2.COLOR_BGRA2BGR),
    'uyvy': _UYVY,
    'yuv422': _UYVY,
    'yuyv': _YUYV,
    'yuv422_yuy2': _YUYV,
    'nv12': HalfChroma(cv2.COLOR_YUV2BGR_NV12),
    'nv21': HalfChroma(cv2.COLOR_YUV2BGR_NV21),
    'nv24': FullChroma(),
    **{f'bayer_{order}8': Bayer(1, 8, code) for order, code in _BAYER.items()},
    **{f'bayer_{order}16': Bayer(1, 16, code) for order, code in _BAYER.items()},
}
"""Every encoding that is converted here, by its name in sensor_msgs."""
