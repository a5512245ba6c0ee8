"""Cuts: where a film goes on with another scene.

The colours of each quarter of the picture are compared with those of the frame before, as
histograms: 0 is no difference, 1 none in common. A cut is a change of a quarter or more that is
also three times what is usual in this film, so that a film of single shots is not cut everywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import BgrImage

__all__ = ['CutDetector']

_BINS = 8
# Neighbours in drives at 10 Hz differ by up to 0.1, other scenes by 0.3 and more.
_LEAST_CHANGE = 0.25
_TIMES_USUAL = 3.0
_NEWEST_WEIGHT = 0.1


class CutDetector:
    """Follows one film; `usual` is all that it remembers of it besides the last frame."""

    def __init__(self) -> None:
        self.usual = 0.0
        """Mean change from frame to frame, the newest weighing most; 0 to 1."""

    def is_cut(self, before: BgrImage, now: BgrImage) -> bool:
        """Return whether two neighbouring frames, uint8 (H, W, 3), show different scenes."""
        change = float(np.abs(_histograms(before) - _histograms(now)).sum(axis=1).mean() / 2.0)
        cut = change > max(_LEAST_CHANGE, _TIMES_USUAL * self.usual)
        self.usual += _NEWEST_WEIGHT * (change - self.usual)
        return cut


def _histograms(bgr: BgrImage) -> npt.NDArray[np.float32]:
    """Return how each channel of each quarter of the picture is distributed, (12, bins)."""
    halves = np.array_split(bgr, 2)
    quarters = [quarter for half in halves for quarter in np.array_split(half, 2, axis=1)]
    found = [
        cv2.calcHist([np.ascontiguousarray(quarter)], [channel], None, [_BINS], [0, 256]).ravel()
        / max(1, quarter[..., 0].size)
        for quarter in quarters
        for channel in range(3)
    ]
    return np.stack(found).astype(np.float32)
