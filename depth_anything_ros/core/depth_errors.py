"""Errors of one frame against another: metric depth, its sigma, scans, relative depth, clouds.

Each function takes the ground truth, or the earlier frame, first. The names of its figures are
those of `bag compare`; an undefined figure is left out. `coverage` is always there, so that
frames with nothing known in common do not count as equal.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import FloatImage

__all__ = [
    'cloud_figures',
    'correlation',
    'metric_figures',
    'relative_figures',
    'scan_figures',
    'sigma_figures',
]

_MOST_RANKED = 20_000
_MOST_QUERIES = 4_000
_FLANN_KDTREE_SINGLE = 4  # exact for three dimensions
_LEAST_SPREAD = 1e-6
_LEAST_RANGE_M = 1e-6

Ranges = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]


def metric_figures(depth_m: FloatImage, other_m: FloatImage) -> dict[str, float]:
    """Return the errors between two depth images in metres (H, W), NaN where unknown.

    `abs_rel`: mean |other - depth| / depth. `rmse_m`: metres. `delta1`: share of pixels within a
    factor of 1.25. `coverage`: pixels known in both per pixel known in either.
    """
    coverage, given, other = _common(depth_m, other_m)
    figures = {'coverage': coverage}
    if given.size:
        error = other - given
        figures['abs_rel'] = float(np.mean(np.abs(error) / given))
        figures['rmse_m'] = float(np.sqrt(np.mean(error**2)))
        ratio = np.maximum(given / other, other / given)
        figures['delta1'] = float(np.mean(ratio < 1.25))
    return figures


def sigma_figures(sigma_m: FloatImage, other_m: FloatImage) -> dict[str, float]:
    """Return the errors between two images of sigma in metres (H, W), NaN where unknown.

    `sigma_rel`: mean |other - sigma| / sigma. `coverage` as for metric depth.
    """
    coverage, given, other = _common(sigma_m, other_m)
    figures = {'coverage': coverage}
    if given.size:
        figures['sigma_rel'] = float(np.mean(np.abs(other - given) / given))
    return figures


def scan_figures(ranges_m: Ranges, other_m: Ranges) -> dict[str, float]:
    """Return the errors between the beams (N,) of two scans in metres, by REP 117.

    `abs_rel`, `rmse_m`, `delta1`: as for metric depth, over the beams finite in both.
    `coverage`: share of beams that are finite, inf, -inf or NaN in both alike.
    """
    # A scanner may allow a range of 0, which has no relative error.
    known = [np.where(x == 0.0, np.float32(np.nan), x) for x in (ranges_m, other_m)]
    states = [np.where(np.isfinite(x), 0.0, x) for x in known]
    same = np.equal(*states) | np.isnan(states).all(axis=0)
    return metric_figures(*known) | {'coverage': float(np.mean(same))}


def relative_figures(inverse_depth: FloatImage, other: FloatImage) -> dict[str, float]:
    """Return the errors between two inverse depths (H, W) of unknown scale and shift.

    `ssi_error`: what is left of `other` after its best fit s * other + t, s >= 0, to
    `inverse_depth` by least squares: the RMS of the rest per standard deviation of
    `inverse_depth`. 0 is the same, 1 is unrelated or upside down. `rank_correlation`:
    Spearman's, with ties, on a regular subsample. `coverage` as for metric depth.
    """
    coverage, given, found = _common(inverse_depth, other)
    figures = {'coverage': coverage}
    if given.size:
        # What is left of a linear fit follows from the correlation, and a fit of negative
        # slope is refused: the best of the others is the mean.
        agreement = max(0.0, correlation(given, found))
        figures['ssi_error'] = float(np.sqrt(max(0.0, 1.0 - agreement**2)))
        step = -(-given.size // _MOST_RANKED)
        figures['rank_correlation'] = correlation(_ranks(given[::step]), _ranks(found[::step]))
    return figures


def cloud_figures(
    points: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> dict[str, float]:
    """Return the errors between two clouds (N, 3) in metres, in one frame; finite points only.

    `cloud_m`: mean distance to the nearest point of the other cloud, in metres, both ways, from
    a regular subsample to all. `cloud_rel`: the same per mean range of `points`, from the
    origin. `coverage`: the smaller number of points per larger one.
    """
    clouds = [np.ascontiguousarray(x[np.isfinite(x).all(axis=1)]) for x in (points, other)]
    fewer, more = sorted(len(cloud) for cloud in clouds)
    figures = {'coverage': fewer / more if more else 1.0}
    if fewer:
        ways = clouds[0], clouds[1]
        apart_m = (_nearest_m(*ways) + _nearest_m(*ways[::-1])) / 2.0
        range_m = float(np.mean(np.linalg.norm(clouds[0], axis=1), dtype=np.float64))
        figures['cloud_m'] = apart_m
        figures['cloud_rel'] = apart_m / max(range_m, _LEAST_RANGE_M)
    return figures


def correlation(first: Values, second: Values) -> float:
    """Return Pearson's correlation of float64 (N,).

    Of values without spread it is 1 if both have none, or else 0.
    """
    first, second = first - first.mean(), second - second.mean()
    spreads = float(np.sqrt(np.mean(first**2))), float(np.sqrt(np.mean(second**2)))
    if min(spreads) < _LEAST_SPREAD:
        return 1.0 if max(spreads) < _LEAST_SPREAD else 0.0
    return float(np.mean((first / spreads[0]) * (second / spreads[1])))


def _common(first: FloatImage, second: FloatImage) -> tuple[float, Values, Values]:
    """Return the coverage, and the values of the pixels known in both, float64 (N,)."""
    known, also = np.isfinite(first), np.isfinite(second)
    both = known & also
    either = np.count_nonzero(known | also)
    coverage = float(np.count_nonzero(both) / either) if either else 1.0
    return coverage, first[both].astype(np.float64), second[both].astype(np.float64)


def _ranks(values: Values) -> Values:
    """Return the rank of each value, and to equal ones the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[inverse.reshape(-1)]


def _nearest_m(queries: npt.NDArray[np.float32], cloud: npt.NDArray[np.float32]) -> float:
    some = np.ascontiguousarray(queries[:: -(-len(queries) // _MOST_QUERIES)])
    index = cv2.flann.Index(cloud, {'algorithm': _FLANN_KDTREE_SINGLE})
    _, squared = index.knnSearch(some, 1)
    return float(np.mean(np.sqrt(squared, dtype=np.float64)))
