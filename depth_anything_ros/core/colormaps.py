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

# Corners for blue, green, red: places from 0 to 1, and the levels there. Spectral is ColorBrewer's
# in eleven classes (Cynthia Brewer, colorbrewer2.org, Apache-2.0), from its blue end to its red
# one; jet is matplotlib's.
_ELEVEN = np.linspace(0.0, 1.0, 11)
_Levels = tuple[float, ...] | npt.NDArray[np.float64]
_CORNERS: dict[str, tuple[tuple[_Levels, _Levels], ...]] = {
    'spectral_r': (
        (_ELEVEN, np.array((162, 189, 165, 164, 152, 191, 139, 97, 67, 79, 66)) / 255.0),
        (_ELEVEN, np.array((79, 136, 194, 221, 245, 255, 224, 174, 109, 62, 1)) / 255.0),
        (_ELEVEN, np.array((94, 50, 102, 171, 230, 255, 254, 253, 244, 213, 158)) / 255.0),
    ),
    'jet': (
        ((0.0, 0.11, 0.34, 0.65, 1.0), (0.5, 1.0, 1.0, 0.0, 0.0)),
        ((0.0, 0.125, 0.375, 0.64, 0.91, 1.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)),
        ((0.0, 0.35, 0.66, 0.89, 1.0), (0.0, 0.0, 1.0, 1.0, 0.5)),
    ),
    'gray': (((0.0, 1.0), (0.0, 1.0)),) * 3,
}


def colorize(normalized: FloatImage, table: LookupTable) -> BgrImage:
    """Return `normalized` float32 (H, W) in the colours of `table`, uint8 (H, W, 3) BGR.

    0 is far, 1 is near, values beyond are clipped, NaN becomes `NAN_BGR`.
    """
    clipped = np.clip(normalized, 0.0, 1.0)
    levels = cv2.convertScaleAbs(clipped, alpha=255.0)
    image = cv2.applyColorMap(levels, table.reshape(256, 1, 3))
    unknown = np.isnan(clipped)
    if unknown.any():
        # Saturates to NAN_BGR, ten times faster than indexing with a mask.
        cv2.add(image, _TOWARDS_NAN, dst=image, mask=unknown.view(np.uint8))
    return np.asarray(image, np.uint8)


def _table(name: str) -> LookupTable:
    if name in _FROM_OPENCV:
        colors = cv2.applyColorMap(np.arange(256, dtype=np.uint8), _FROM_OPENCV[name])
        table = np.asarray(colors, np.uint8).reshape(256, 3)
    else:
        rows = np.linspace(0.0, 1.0, 256)
        channels = [np.interp(rows, places, levels) for places, levels in _CORNERS[name]]
        table = np.rint(np.stack(channels, axis=1) * 255.0).astype(np.uint8)
    table.flags.writeable = False
    return table


COLORMAPS: dict[str, LookupTable] = {name: _table(name) for name in COLORMAP_NAMES}
"""Read-only tables by matplotlib's names, in lower case; equal to its own to one level of 255."""
