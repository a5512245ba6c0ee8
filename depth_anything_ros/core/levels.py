"""Images of more than 8 bits to 8: stretched where they use a small part of their range."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError

__all__ = ['Levels']

EVERY_LEVEL = 0.0, 65535.0

_WIDE = 65535 / 2
"""An image of 16 bits whose levels span as much is not stretched."""

_LEAST = 64
"""Nor one whose levels span less: that is the noise of a covered lens."""

_MOST_OUTSIDE = 0.25
_PERCENTS = 0.1, 99.9
# Rows and columns sampled: a thousandth of them is more than a few hot pixels.
_SAMPLED_SIDE = 128


class Levels:
    """The levels that become 0 and 255 in the images of one camera, or of one film.

    They are the 0.1st and the 99.9th percentile of the first image, and stay, so that nothing
    flickers, until an image has a quarter of its pixels outside, or spans less than half of them.
    """

    def __init__(self) -> None:
        self.bounds: tuple[float, float] | None = None
        """None before the first image."""

    @property
    def note(self) -> str:
        """What was done to the last image, in words; '' where nothing was."""
        if self.bounds in (None, EVERY_LEVEL):
            return ''
        low, high = self.bounds
        return f'levels {low:g} to {high:g} are stretched to 8 bits'

    def eight_bits(self, deep: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return uint8 of the shape of `deep`: (H, W) or (H, W, C), of which 3 channels count.

        FrameError where it has no finite value.
        """
        rows, columns = (side // _SAMPLED_SIDE | 1 for side in deep.shape[:2])
        # Steps that are odd: all colours of a Bayer pattern are met.
        sample = deep[::rows, ::columns]
        if sample.ndim == 3:
            sample = sample[..., :3]
        if deep.dtype != np.uint16:
            sample = sample[np.isfinite(sample)]
        if not sample.size:
            raise FrameError('unreadable', 'the picture has no finite value: export it again')
        if self.bounds is None or self._left_by(sample):
            self.bounds = _bounds_of(sample)
        low, high = self.bounds
        if deep.dtype != np.uint16:
            deep = np.nan_to_num(deep.astype(np.float32))
        elif low:
            low = int(low)
        above = np.maximum(deep, low) - low if low else np.ascontiguousarray(deep)
        scaled = cv2.convertScaleAbs(above, alpha=255.0 / max(high - low, 1e-9))
        return np.asarray(scaled, np.uint8)

    def _left_by(self, sample: npt.NDArray[Any]) -> bool:
        assert self.bounds is not None
        low, high = self.bounds
        outside = np.count_nonzero((sample < low) | (sample > high))
        if outside > _MOST_OUTSIDE * sample.size:
            return True
        own_low, own_high = _bounds_of(sample)
        return own_high - own_low < 0.5 * (high - low)


def _bounds_of(sample: npt.NDArray[Any]) -> tuple[float, float]:
    low, high = (float(each) for each in np.percentile(sample, _PERCENTS))
    if sample.dtype != np.uint16:
        return low, high
    if not _LEAST <= high - low < _WIDE:
        return EVERY_LEVEL
    return math.floor(low), math.ceil(high)
