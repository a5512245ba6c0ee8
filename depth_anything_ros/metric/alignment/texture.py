"""Variance of a pixel from its surroundings: blurred edges and outstanding pixels."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.core.types import FloatImage

__all__ = ['texture_variance']

_BLUR_PX = 1.3
"""Width over which the network blurs depth edges."""

_AROUND = np.ones((7, 7), np.uint8)


def texture_variance(depth: FloatImage, max_depth_m: float) -> FloatImage:
    """Return the variance (H, W) of the log of depth (H, W) along Z in metres.

    Beside an edge the blur changes a pixel by as much as the inverse depth changes within its
    width; a pixel that differs from its neighbours is uncertain by the difference. A plane is
    neither: its inverse depth has the same slope everywhere.
    """
    # Unknown counts as far: an edge lies beside it.
    inverse = np.reciprocal(depth)
    cv2.patchNaNs(inverse, 1.0 / max_depth_m)
    smooth = cv2.blur(inverse, (3, 3))
    across, down = (
        np.asarray(cv2.Sobel(smooth, -1, x, 1 - x, scale=0.125), np.float32) for x in (1, 0)
    )
    # Not cv2.magnitude, whose last bit depends on where its arrays lie in memory.
    slope: FloatImage = np.square(across, out=across)
    slope += np.square(down, out=down)
    np.sqrt(slope, out=slope)
    slope -= np.asarray(cv2.erode(slope, _AROUND), np.float32)
    slope *= np.float32(_BLUR_PX)
    apart = np.asarray(cv2.absdiff(inverse, cv2.blur(inverse, (5, 5))), np.float32)
    variance: FloatImage = np.square(slope, out=slope)
    variance += np.square(apart, out=apart)
    variance /= np.square(inverse, out=inverse)
    return variance
