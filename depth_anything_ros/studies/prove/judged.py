"""Metric depth of one frame at samples that its alignment has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from depth_anything_ros.core.types import Camera, FloatImage, Floats, Ints, Mask, ReferenceSamples
from depth_anything_ros.metric.alignment.sample_gate import cell_px

__all__ = ['HoldOut', 'Judged', 'Split', 'judged']

# The nearest other samples of the same sensor in the image, with which one is compared.
_NEIGHBOURS = 6
# A difference from their median has its noise, too.
_LOCAL = np.sqrt(1.0 + np.pi / 2.0 / _NEIGHBOURS)
_FOLDS = 5
# Side of a block in the cells in which the alignment keeps a sample each: 20 px of 640. Places in
# larger blocks are farther from any sample than places are in use, and are judged too hard.
_CELLS = 1.25
# A return of dust, glass or multipath stands alone; what is as thin as a pole has two rings on it.
_ALIKE, _LEAST_ALIKE = np.log(1.15), 2
# What a sensor beside the camera sees behind nearer things, the camera may not.
_BEHIND = 1.2
_FLANN_KDTREE_SINGLE = 4  # exact


class Split(NamedTuple):
    """All samples of a frame in pixels of its depth, and which (N,) may judge."""

    samples: ReferenceSamples
    judging: Mask


class HoldOut:
    """Keeps every fifth block of the image from the alignment, others in the next frame.

    Whole blocks, since neighbours of a sample tell its depth; no two of them touch. Pass `choose`
    to BagReplay; `split` is that of the last reference.
    """

    def __init__(self) -> None:
        self.split: Split | None = None
        self._turn = 0

    def choose(self, samples: ReferenceSamples, camera: Camera) -> ReferenceSamples:
        """Return the samples that are not held out."""
        self._turn = (self._turn + 1) % _FOLDS
        side = _CELLS * cell_px((camera.height, camera.width))
        column, row = (((each + 0.5) // side).astype(int) for each in (samples.u, samples.v))
        held = (column + 2 * row) % _FOLDS == self._turn
        self.split = Split(samples, held)
        return samples.chosen(~held)


@dataclass(frozen=True, eq=False)
class Judged:
    """Of n places: pixels (x, y) (n, 2), measured and found depth, its sigma, metres (n,).

    `local` (n,): ln(found / measured) less its median at the neighbours: the noise of the sensor,
    and what the network gets wrong from sample to sample; 0 for true depth. Of the places `asked`
    for, `outliers` stand alone among the samples of their sensor, and `hidden` lie behind nearer
    ones beside them: they are not judged, nor what has no metric depth.
    `abs_rel`: mean |error| / distance.
    """

    pixels: Ints
    true_m: Floats
    depth_m: Floats
    sigma_m: Floats
    local: Floats
    asked: int
    outliers: int
    hidden: int
    abs_rel: float


def judged(
    split: Split, depth_m: FloatImage, sigma_m: FloatImage, most: int, *, exact: bool = False
) -> Judged | None:
    """Judge depth (H, W) by some `most` samples, `exact` ones as they are; None by too few."""
    samples, places = split.samples, np.flatnonzero(split.judging)
    places = places[:: max(1, -(-places.size // most))]
    if not places.size or samples.u.size <= 2 * _NEIGHBOURS:
        return None
    seen = np.stack([samples.u, samples.v], axis=1).astype(np.float32)
    x, y = np.clip(np.rint(seen).astype(np.int64).T, 0, [[n - 1] for n in depth_m.shape[::-1]])
    true = samples.depth_m.astype(np.float64)
    ratio = np.log(depth_m[y, x] / true)
    local, alone = np.zeros(places.size), np.zeros(places.size, bool)
    hidden = alone
    if not exact:
        index = cv2.flann.Index(seen, {'algorithm': _FLANN_KDTREE_SINGLE})
        # The nearest is the sample itself, or one at the same place.
        around = index.knnSearch(seen[places], _NEIGHBOURS + 1)[0][:, 1:]
        beside = true[around] / true[places, None]
        alone = (np.abs(np.log(beside)) < _ALIKE).sum(axis=1) < _LEAST_ALIKE
        # By two of them: one may be an outlier.
        hidden = ~alone & (np.partition(beside, 1, axis=1)[:, 1] < 1.0 / _BEHIND)
        own = ratio[places]
        others = np.where(np.isfinite(ratio[around]), ratio[around], own[:, None])
        local = (own - np.median(others, axis=1)) / _LOCAL
    kept = np.isfinite(ratio[places]) & ~alone & ~hidden
    at = places[kept]
    found = depth_m[y[at], x[at]].astype(np.float64), sigma_m[y[at], x[at]].astype(np.float64)
    counts = places.size, int(alone.sum()), int(hidden.sum())
    abs_rel = float(np.abs(found[0] / true[at] - 1.0).mean()) if at.size else float('nan')
    pixels = np.stack([x[at], y[at]], axis=1)
    return Judged(pixels, true[at], *found, local[kept], *counts, abs_rel)
