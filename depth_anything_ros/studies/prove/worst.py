"""A frame to look at: the image with its errors, and its metric depth."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.studies.prove.judged import Judged

__all__ = ['CAPTION', 'picture_of']

CAPTION = (
    'left: the image, with the judged samples in blue where depth is too small by 20 % or more, '
    'red where it is too large by as much, white where it is right; right: metric depth, '
    'red near, blue far, black unknown'
)

_WIDTH_PX = 480
_FULL = 0.2


def picture_of(frame: Frame, judged: Judged) -> BgrImage:
    """Return both side by side, uint8 (h, 960, 3) BGR; the frame has metric depth."""
    assert frame.depth_m is not None
    height, width = frame.depth_m.shape
    size = _WIDTH_PX, max(1, round(_WIDTH_PX * height / width))
    left = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
    places = (judged.pixels * (_WIDTH_PX / width)).astype(int)
    errors = np.clip(np.log(judged.depth_m / judged.true_m) / _FULL, -1.0, 1.0)
    for (x, y), error in zip(places.tolist(), errors.tolist(), strict=True):
        fade = 255 * (1.0 - abs(error))
        colour = (fade, fade, 255) if error > 0 else (255, fade, fade)
        cv2.circle(left, (x, y), 3, (0, 0, 0), -1)
        cv2.circle(left, (x, y), 2, colour, -1)
    depth_m = cv2.resize(frame.depth_m, size, interpolation=cv2.INTER_NEAREST)
    known = np.isfinite(depth_m)
    inverse = np.where(known, 1.0 / depth_m, 0.0).astype(np.float32)
    low, high = np.percentile(inverse[known], (2, 98)) if known.any() else (0.0, 1.0)
    level = np.clip((inverse - low) / max(high - low, 1e-9), 0.0, 1.0).astype(np.float32)
    right = colorize(level, COLORMAPS['spectral_r'])
    right[~known] = 0
    return np.concatenate([left, right], axis=1)
