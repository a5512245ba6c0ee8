"""Colormaps of 256 colours for values between 0 (far) and 1 (near)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import COLORMAP_NAMES, BgrImage, FloatImage

__all__ = ['COLORMAPS', 'NAN_BGR', 'LookupTable', 'colorize']

LookupTable = npt.NDArray[np.uint8]
"""(256, 3) uint8, channels blue, green, red; row 0 is far, row 255 near."""

NAN_BGR = (255, 0, 255)
"""Magenta, in no table: the colour of NaN."""

_TOWARDS_NAN = np.array((255.0, -255.0, 255.0, 0.0))

# OpenCV's tables are matplotlib's to one level in every release from 4.6 to 5.0, but for jet:
# OpenCV's is another curve.
_FROM_OPENCV = {
    'viridis': cv2.COLORMAP_VIRIDIS,
    'plasma': cv2.COLORMAP_PLASMA,
    'magma': cv2.COLORMAP_MAGMA,
    'inferno': cv2.COLORMAP_INFERNO,
    'turbo': cv2.COLORMAP_TURBO,
}

# ColorBrewer's Spectral in eleven classes (Cynthia Brewer, colorbrewer2.org, Apache-2.0) from
# its blue end to its red one, as R, G, B.
_SPECTRAL_R_RGB = (
    (94, 79, 162),
    (50, 136, 189),
    (102, 194, 165),
    (171, 221, 164),
    (230, 245, 152),
    (255, 255, 191),
    (254, 224, 139),
    (253, 174, 97),
    (244, 109, 67),
    (213, 62, 79),
    (158, 1, 66),
)

# The corners of matplotlib's jet for blue, green, red: places, and the levels there.
_JET_BGR = (
    ((0.0, 0.11, 0.34, 0.65, 1.0), (0.5, 1.0, 1.0, 0.0, 0.0)),
    ((0.0, 0.125, 0.375, 0.64, 0.91, 1.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)),
    ((0.0, 0.35, 0.66, 0.89, 1.0), (0.0, 0.0, 1.0, 1.0, 0.5)),
)


def colorize(normalized: FloatImage, table: LookupTable, out: BgrImage | None = None) -> BgrImage:
    """Return `normalized` float32 (H, W) in the colours of `table`, uint8 (H, W, 3) BGR.

    0 is far, 1 is near, values beyond are clipped, NaN becomes `NAN_BGR`. Where `out` uint8
    (H, W, 3) is given, it is written and returned. ValueError if it has another shape or type.
    """
    if out is not None and (out.shape != (*normalized.shape, 3) or out.dtype != np.uint8):
        raise ValueError(f'out is {out.dtype} {out.shape}, not uint8 {(*normalized.shape, 3)}')
    clipped = np.clip(normalized, 0.0, 1.0)
    levels = cv2.convertScaleAbs(clipped, alpha=255.0)
    image = cv2.applyColorMap(levels, table.reshape(256, 1, 3), out)
    unknown = np.isnan(clipped)
    if unknown.any():
        # Saturates to NAN_BGR, ten times faster than indexing with a mask.
        cv2.add(image, _TOWARDS_NAN, dst=image, mask=unknown.view(np.uint8))
    return np.asarray(image, np.uint8)


def _table(name: str) -> LookupTable:
    if name == 'spectral_r':
        return _spectral_r_table()
    if name == 'jet':
        return _jet_table()
    if name == 'gray':
        return _table_of([_ROWS] * 3)
    return _opencv_table(_FROM_OPENCV[name])


def _opencv_table(code: int) -> LookupTable:
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8), code)
    return np.asarray(table, np.uint8).reshape(256, 3)


def _spectral_r_table() -> LookupTable:
    places = np.linspace(0.0, 1.0, len(_SPECTRAL_R_RGB))
    blue_green_red = np.array(_SPECTRAL_R_RGB).T[::-1]
    return _table_of([np.interp(_ROWS, places, levels / 255.0) for levels in blue_green_red])


def _jet_table() -> LookupTable:
    return _table_of([np.interp(_ROWS, places, levels) for places, levels in _JET_BGR])


def _table_of(channels: list[npt.NDArray[np.float64]]) -> LookupTable:
    return np.rint(np.stack(channels, axis=1) * 255.0).astype(np.uint8)


def _frozen(table: LookupTable) -> LookupTable:
    table.flags.writeable = False
    return table


_ROWS = np.linspace(0.0, 1.0, 256)

COLORMAPS: dict[str, LookupTable] = {name: _frozen(_table(name)) for name in COLORMAP_NAMES}
"""Read-only tables by matplotlib's names, in lower case; equal to its own to one level of 255."""
