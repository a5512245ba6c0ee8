"""Metric depth of one frame at the places where something judges it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import FloatImage, Floats, Ints
from depth_anything_ros.studies.prove.held_out import Split

__all__ = ['NEIGHBOURS', 'Judged', 'judged_by_samples', 'judged_by_truth']

NEIGHBOURS = 6
"""The nearest other samples of the same sensor in the image, with which a sample is compared."""

# A return of dust, glass or multipath stands alone; what is as thin as a pole has two rings on it.
_ALIKE, _LEAST_ALIKE = np.log(1.15), 2
# What a sensor beside the camera sees behind a nearer thing, the camera may not.
_BEHIND = 1.2
_FLANN_KDTREE_SINGLE = 4  # exact


@dataclass(frozen=True, eq=False)
class Judged:
    """Of n places: pixels (x, y) (n, 2), measured and found depth and its sigma, metres, (n,).

    `local` (n,): ln(found / measured) less its median at the neighbours: the noise of the
    sensor, and what the network gets wrong from sample to sample; 0 against ground truth.
    `asked` places were judged or not: `outliers` stand alone among the samples of their sensor,
    `hidden` lie behind a nearer one beside them, `unknown` have no metric depth.
    """

    pixels: Ints
    true_m: Floats
    depth_m: Floats
    sigma_m: Floats
    local: Floats
    asked: int
    outliers: int = 0
    hidden: int = 0
    unknown: int = 0

    @property
    def abs_rel(self) -> float:
        """Mean |error| / distance, with the noise of the judge."""
        return float(np.mean(np.abs(self.depth_m - self.true_m) / self.true_m))


def judged_by_samples(
    split: Split, depth_m: FloatImage, sigma_m: FloatImage, most: int
) -> Judged | None:
    """Judge depth (H, W) by the samples held out, at most `most`; None where these are few."""
    samples = split.samples
    asked = np.flatnonzero(split.held)
    asked = asked[:: max(1, -(-asked.size // most))]
    if not asked.size or samples.u.size <= 2 * NEIGHBOURS:
        return None
    height, width = depth_m.shape
    u = np.clip(np.rint(samples.u), 0, width - 1).astype(np.int64)
    v = np.clip(np.rint(samples.v), 0, height - 1).astype(np.int64)
    around = _nearest(np.stack([samples.u, samples.v], axis=1), asked)
    measured = samples.depth_m.astype(np.float64)
    true, beside = measured[asked], measured[around]
    alike = np.abs(np.log(beside / true[:, None])) < _ALIKE
    alone = alike.sum(axis=1) < _LEAST_ALIKE
    # By two of them: one alone may be an outlier.
    hidden = ~alone & (true > _BEHIND * np.partition(beside, 1, axis=1)[:, 1])
    ratio = np.log(depth_m[v, u] / measured)
    known = np.isfinite(ratio[asked])
    kept = known & ~alone & ~hidden
    places, around = asked[kept], around[kept]
    others = np.where(np.isfinite(ratio[around]), ratio[around], ratio[places][:, None])
    return Judged(
        np.stack([u[places], v[places]], axis=1),
        measured[places],
        depth_m[v[places], u[places]].astype(np.float64),
        sigma_m[v[places], u[places]].astype(np.float64),
        ratio[places] - np.median(others, axis=1),
        asked.size,
        int(alone.sum()),
        int(hidden.sum()),
        int((~known & ~alone & ~hidden).sum()),
    )


def judged_by_truth(
    truth: FloatImage,
    depth_m: FloatImage,
    sigma_m: FloatImage,
    limits_m: tuple[float, float],
    most: int,
) -> Judged:
    """Judge depth (H, W) by true depth of any size, at some `most` places within `limits_m`."""
    height, width = depth_m.shape
    step = max(1, round((height * width / most) ** 0.5))
    y, x = (each.ravel() for each in np.mgrid[step // 2 : height : step, step // 2 : width : step])
    rows, columns = y * truth.shape[0] // height, x * truth.shape[1] // width
    true = truth[rows, columns]
    # A comparison with NaN is false.
    inside = np.flatnonzero((true >= limits_m[0]) & (true <= limits_m[1]))
    found = depth_m[y[inside], x[inside]]
    kept = inside[np.isfinite(found)]
    return Judged(
        np.stack([x[kept], y[kept]], axis=1),
        true[kept].astype(np.float64),
        depth_m[y[kept], x[kept]].astype(np.float64),
        sigma_m[y[kept], x[kept]].astype(np.float64),
        np.zeros(kept.size),
        inside.size,
        unknown=inside.size - kept.size,
    )


def _nearest(points: npt.NDArray[np.float32], asked: Ints) -> Ints:
    """Return the neighbours (n, NEIGHBOURS) of the points (N, 2) numbered `asked`."""
    index = cv2.flann.Index(np.ascontiguousarray(points), {'algorithm': _FLANN_KDTREE_SINGLE})
    found, _ = index.knnSearch(np.ascontiguousarray(points[asked]), NEIGHBOURS + 1)
    # The nearest is the point itself, or one at the same place.
    return np.asarray(found[:, 1:], np.int64)
