"""Corners followed from image to image (Lucas-Kanade)."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.geometry.projection import (
    directions_from_pixels,
    pixels_from_directions,
)
from depth_anything_ros.core.types import Camera, Floats, Ints

__all__ = ['TRACKS', 'Tracks']

TRACKS = 400
"""Slots for tracks: the index of one is the same in all images while it is followed."""

# Tracks start at the best corner of a cell; so many cells lie along the longer side.
_CELLS_ALONG = 27
_LEAST_SIDE = 4
_LEAST_CORNER = 2e-5
# Empty slots are filled when they are this share of all.
_REFILL_SHARE = 0.15
_BORDER_PX = 4
_LOST_BORDER_PX = 4
# Followed there and back, a track comes home this close.
_BACK_PX = 0.7
_LUCAS_KANADE = {
    'winSize': (17, 17),
    'maxLevel': 3,
    'criteria': (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.02),
    'minEigThreshold': 1e-3,
}
# On the way back the place is known well enough for two levels of the pyramid.
_BACK = _LUCAS_KANADE | {'maxLevel': 1}

Grey = npt.NDArray[np.uint8]


class Tracks:
    """Pixels (TRACKS, 2) of the newest image and their rays (TRACKS, 3), NaN in empty slots."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        # Of a cell, in pixels at half the size.
        self._side = max(_LEAST_SIDE, max(camera.width, camera.height) // 2 // _CELLS_ALONG)
        self.pixels = np.full((TRACKS, 2), np.nan, np.float32)
        self.rays = np.full((TRACKS, 3), np.nan)
        self._age = np.zeros(TRACKS, np.int64)
        self._grey: Grey | None = None

    def follow(self, grey: Grey, rotation: Floats) -> Ints:
        """Follow the tracks into the next image, start others, return the slots that were lost.

        `rotation` (3, 3) from the camera before to this one tells where to look first.
        """
        index = np.flatnonzero(np.isfinite(self.pixels[:, 0]))
        if self._grey is not None and index.size:
            self._follow(index, self._grey, grey, rotation)
        self._grey = grey
        lost = index[np.isnan(self.pixels[index, 0])]
        self._start(grey)
        return np.asarray(lost)

    def _find_rays(self) -> None:
        """Find the rays, with z = 1, of all pixels; where the lens shows nothing is no track."""
        u, v = self.pixels.T.astype(np.float64)
        x, y = directions_from_pixels(u, v, self._camera)
        self.rays = np.stack([x, y, np.ones_like(x)], axis=1)
        self.pixels[np.isnan(x)] = np.nan

    def _follow(self, index: Ints, last: Grey, grey: Grey, rotation: Floats) -> None:
        """Follow the tracks at `index` (n,) from the `last` image into the next."""
        before = self.pixels[index][:, None]
        guess = self._turned(self.rays[index] @ rotation.T)[:, None]
        guess = np.where(np.isfinite(guess), guess, before)
        flow = partial(cv2.calcOpticalFlowPyrLK, flags=cv2.OPTFLOW_USE_INITIAL_FLOW)
        after, found, _ = flow(last, grey, before, guess.copy(), **_LUCAS_KANADE)
        kept = found[:, 0] > 0
        if kept.any():
            start = (before - guess + after)[kept]
            back, again, _ = flow(grey, last, after[kept], start, **_BACK)
            apart = np.linalg.norm((back - before[kept])[:, 0], axis=1)
            kept[kept] = (again[:, 0] > 0) & (apart < _BACK_PX)
        after = after[:, 0]
        end = np.array(grey.shape[::-1]) - _LOST_BORDER_PX - 1
        kept &= ((after >= _LOST_BORDER_PX) & (after < end)).all(axis=1)
        # Of tracks that come within half a cell the oldest goes on. Driving backwards all draw
        # together, and would hold the slots that what comes into view needs.
        place = np.where(kept[:, None], after, 0.0).astype(np.int64) // self._side
        cell = np.where(kept, place @ (1, grey.shape[1]), -1)
        oldest = np.argsort(-self._age[index], kind='stable')
        first = oldest[np.unique(cell[oldest], return_index=True)[1]]
        kept &= np.isin(np.arange(kept.size), first)
        self._age += 1
        self.pixels[index[kept]] = after[kept]
        self.pixels[index[~kept]] = np.nan
        self._find_rays()

    def _start(self, grey: Grey) -> None:
        """Start tracks in cells of `grey` that have none."""
        free = np.flatnonzero(np.isnan(self.pixels[:, 0]))
        if free.size < _REFILL_SHARE * TRACKS:
            return
        # At half the size: a track need not start at the pixel of the corner.
        half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        (height, width), side = half.shape, self._side
        rows, columns = height // side, width // side
        score = cv2.cornerMinEigenVal(half, 3)[: rows * side, : columns * side]
        blocks = score.reshape(rows, side, columns, side).transpose(0, 2, 1, 3)
        tiles = blocks.reshape(rows * columns, side * side)
        cell, best = np.arange(rows * columns), tiles.argmax(axis=1)
        value = tiles[cell, best]
        u, v = cell % columns * side + best % side, cell // columns * side + best // side
        taken = self.pixels[np.isfinite(self.pixels[:, 0])].astype(np.int64) // (2 * side)
        value[np.minimum(taken, (columns - 1, rows - 1)) @ (1, columns)] = 0.0
        value[(u < _BORDER_PX) | (v < _BORDER_PX)] = 0.0
        value[(u >= width - _BORDER_PX) | (v >= height - _BORDER_PX)] = 0.0
        count = min(free.size, int(np.count_nonzero(value > _LEAST_CORNER)))
        chosen = np.argsort(-value)[:count]
        self._age[free[:count]] = 0
        self.pixels[free[:count]] = 2.0 * np.stack([u, v], axis=1)[chosen] + 0.5
        self._find_rays()

    def _turned(self, rays: Floats) -> npt.NDArray[np.float32]:
        """Return the pixels (n, 2) of directions (n, 3), NaN where the lens ends."""
        x, y, z = rays.T.astype(np.float32)
        with np.errstate(all='ignore'):
            z = np.where(z > 0.1, z, np.float32('nan'))
            return np.stack(pixels_from_directions(x / z, y / z, self._camera), axis=1)
