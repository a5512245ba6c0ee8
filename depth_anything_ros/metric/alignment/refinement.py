"""A correction of the network's local errors, from the residuals of a global fit.

The errors of real networks follow position and depth: they vary slowly over a surface and jump
at its edge. So the residuals are smoothed over position and log inverse depth, from coarse to
fine: each scale smooths what the coarser ones left, and is added as far as it predicts samples
from their neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from depth_anything_ros.core.types import FloatImage, Floats
from depth_anything_ros.metric.alignment.bilateral_grid import BilateralGrid, Placed, doubled
from depth_anything_ros.metric.alignment.robust_fit import (
    TUKEY,
    AffineFit,
    robust_sigma,
    tukey,
    weights,
)
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples, cell_px

__all__ = ['Refinement', 'corrections_at', 'refine']

_LEVEL_STEP = 0.2
"""Log inverse depth from node to node: errors at depths further apart have little in common."""

_COARSEST = 0.2
"""Greatest distance of nodes, in longer sides of the image."""

_PASSES = 2

_SHRINK = 0.015
"""Weight of no correction. A sample adds about 0.07 at its own place."""

_LEAST_SIGMA = 0.08
"""Least scale of the residuals (log): those of real networks have long tails."""

_GREATEST = 0.3

# Share of the samples nearby that must fit: none is trusted below the first, all above the second.
_FITTING = (0.45, 0.7)
_NEARBY = 0.08

# How far the correction reaches from a sample, in log inverse depth and in longer sides.
_REACH_LEVEL, _REACH = 0.12, 0.3
# Nodes within this share of a step from a sample are beside it.
_FREE = 0.3

_RANGE_PERCENT = 99
"""Share of the samples within what counts as the range of the sensor."""

_SIGMA_OVER_MEAN = 1.02
"""Standard deviation over the mean |residual| at samples that are left out.

It is 1.25 for a Gaussian. Long tails make it smaller, and a pixel has one neighbour more.
"""

_UNKNOWN = 0.25
"""Weight of what is known without samples nearby, in `_SHRINK`."""

_ASSUMED = 0.15
"""Weight of the mean residual of all samples beside those nearby: about two of them."""

_LEAST_SHARE = 0.25
"""Share of the residuals' variance that is never explained by what the sensor states."""

_LEAST_VARIANCE = 0.003**2


@dataclass(frozen=True, eq=False)
class Refinement:
    """The log of what multiplies depth, and the variance of log depth that remains.

    Both (levels, rows, columns), on the nodes of `grid`.
    """

    grid: BilateralGrid
    correction: FloatImage
    variance: FloatImage

    def correction_of(self, inverse: FloatImage) -> FloatImage:
        """Return the correction (H, W) at an inverse depth (H, W) by scale and shift, 1/m."""
        return self.grid.image(self.correction, inverse)

    def variance_of(self, depth: FloatImage) -> FloatImage:
        """Return the variance (H, W) of the log of a depth (H, W) in metres."""
        with np.errstate(all='ignore'):
            return self.grid.image(self.variance, np.reciprocal(depth))


@dataclass(frozen=True, eq=False)
class _Smoothed:
    """Residuals after smoothing: on `grids` from coarse to fine, at samples in their `places`.

    `correction` on the finest grid; `reach` (0 to 1) on the coarsest, in the correction already.
    `held_out` (n,): what is left at each sample by the others. `weight` (n,): 0 for outliers.
    """

    grids: list[BilateralGrid]
    places: list[Placed]
    correction: Floats
    reach: Floats
    held_out: Floats
    weight: Floats


def refine(
    samples: GatedSamples,
    fit: AffineFit,
    covariance: Floats,
    ends: tuple[float, float],
    shared: float = 0.0,
) -> Refinement:
    """Return the correction that the log errors of `fit` at the samples ask for.

    `covariance` (2, 2): of scale and shift. `ends`: the least and the greatest inverse depth of
    the image, 1/m, both above 0. `shared`: relative error of all samples, which no residual shows.
    Above 0, residuals do not show the error of scale and shift either.
    """
    smoothed = _smoothed(samples, fit, ends)
    grids = smoothed.grids
    near = smoothed.places[0].spread(smoothed.weight)
    known = _to_finest(smoothed.reach * near / (near + _UNKNOWN * _SHRINK), grids)
    of_line = _variance_by(fit, covariance, np.exp(grids[0].level_of_nodes))[:, None, None]
    variance = known * _variance_nearby(smoothed, samples.variance)
    variance += (1.0 - known) * fit.sigma**2 + (1.0 if shared else 1.0 - known) * of_line
    return Refinement(
        grids[-1],
        smoothed.correction.astype(np.float32),
        (np.maximum(variance, _LEAST_VARIANCE) + shared**2).astype(np.float32),
    )


def corrections_at(
    samples: GatedSamples, fit: AffineFit, ends: tuple[float, float], asked: GatedSamples
) -> Floats:
    """Return the correction (n,) of `refine` at other samples, which it does not see."""
    smoothed = _smoothed(samples, fit, ends)
    inverse = np.maximum(fit.scale * asked.inverse_depth + fit.shift, 1e-6)
    return smoothed.grids[-1].place(asked.u, asked.v, np.log(inverse)).at(smoothed.correction)


def _smoothed(samples: GatedSamples, fit: AffineFit, ends: tuple[float, float]) -> _Smoothed:
    level = fit.log_error - np.log(samples.depth_m)
    grids = _grids(samples.shape, ends)
    places = [grid.place(samples.u, samples.v, level) for grid in grids]
    trusted = _trusted(samples, fit)
    weight, left, held_out = trusted, fit.log_error, fit.log_error
    correction = np.zeros(grids[0].size)
    for grid, place in zip(grids, places, strict=True):
        correction = doubled(correction, grid.size) if grid is not grids[0] else correction
        for _ in range(_PASSES):
            near = place.spread(weight) + _SHRINK
            smooth = place.spread(weight * left) / near
            seen, around, own = place.at(smooth), place.at(near), weight * place.own
            # What the others say at the place of each sample, and how much of that is true.
            others = (seen * around - own * left) / np.maximum(around - own, _SHRINK)
            told = float(np.sum(weight * np.square(others)))
            gain = float(np.sum(weight * others * held_out)) / told if told > 0.0 else 0.0
            gain = min(max(gain, 0.0), 1.0)
            correction = correction + gain * smooth
            left, held_out = left - gain * seen, held_out - gain * others
            weight = trusted * tukey(held_out, _cut(np.abs(held_out), trusted, fit.cut))
    reach = _reach(grids[0], places[0], samples.depth_m, level, trusted)
    correction = np.clip(correction * _to_finest(reach, grids), -_GREATEST, _GREATEST)
    return _Smoothed(grids, places, correction, reach, held_out, weight)


def _grids(shape: tuple[int, int], ends: tuple[float, float]) -> list[BilateralGrid]:
    """Return grids from coarse to fine, each of half the spacing of the one before."""
    first, last = np.log(ends) + np.array([-_LEVEL_STEP, _LEVEL_STEP])
    levels = int(np.ceil((last - first) / _LEVEL_STEP)) + 1
    spacings = [cell_px(shape)]
    while 2 * spacings[0] <= _COARSEST * max(shape):
        spacings.insert(0, 2 * spacings[0])
    return [
        BilateralGrid(shape, spacing, float(first), _LEVEL_STEP, levels) for spacing in spacings
    ]


def _trusted(samples: GatedSamples, fit: AffineFit) -> Floats:
    """Return the weight of each sample, 0 for outliers and where most of those nearby are.

    What still fits amid outliers that lie side by side fits by chance.
    """
    weight = weights(fit.log_error, fit.cut, samples.variance)
    longer = max(samples.shape)
    plane = BilateralGrid(samples.shape, max(1, round(_NEARBY * longer)), 0.0, 1.0, 1)
    place = plane.place(samples.u, samples.v, np.zeros(samples.count))
    fitting, all_of_them = (
        place.at(place.spread(each)) + _SHRINK
        for each in ((weight > 0.0).astype(np.float64), np.ones(samples.count))
    )
    low, high = _FITTING
    return np.asarray(weight * np.clip((fitting / all_of_them - low) / (high - low), 0.0, 1.0))


def _cut(size: Floats, weight: Floats, most: float) -> float:
    """Return the |residual| from which a sample is an outlier, of those below `most`."""
    inside = size[(size < most) & (weight > 0.0)]
    return TUKEY * max(robust_sigma(inside) if inside.size else most, _LEAST_SIGMA)


def _reach(
    grid: BilateralGrid, place: Placed, depth_m: Floats, level: Floats, weight: Floats
) -> Floats:
    """Return 1 at nodes beside samples, falling to 0 at depths that no sample has.

    The distance to the nearest sample is the sum of those along the three axes. Beyond the range
    of the sensor it is at least that to the range: what seems to lie there and was measured is
    only what lies nearer.
    """
    used = weight > 0.0
    if not used.any():
        return np.zeros(grid.size)
    nodes = place.nodes[:, used]
    _, rows, columns = grid.size
    apart = np.abs(grid.level_of_nodes[nodes // (rows * columns)] - level[used])
    apart = np.maximum(apart - _FREE * grid.step, 0.0) / _REACH_LEVEL
    distance = np.full(grid.size, np.inf)
    np.minimum.at(distance.reshape(-1), nodes.ravel(), apart.ravel())
    across = grid.spacing_px / max(grid.shape) / _REACH
    for axis, step in enumerate((grid.step / _REACH_LEVEL, across, across)):
        along = np.moveaxis(distance, axis, 0)
        for one_way in (along, along[::-1]):
            for before, here in pairwise(one_way):
                np.minimum(here, before + step, out=here)
    beyond = -np.log(np.percentile(depth_m[used], _RANGE_PERCENT)) - grid.level_of_nodes
    distance = np.maximum(distance, (beyond / _REACH_LEVEL)[:, None, None])
    return np.asarray(1.0 - np.square(1.0 - np.exp(-0.5 * np.square(distance))))


def _variance_nearby(smoothed: _Smoothed, own: Floats) -> Floats:
    """Return the variance that the residuals nearby show, without the samples' `own` (n,)."""
    used = (smoothed.weight > 0.0).astype(np.float64)
    scale = min(1, len(smoothed.grids) - 1)
    place = smoothed.places[scale]
    near = place.spread(used) + _ASSUMED
    shown = np.square(_SIGMA_OVER_MEAN * _mean(place, near, used, np.abs(smoothed.held_out)))
    explained = np.minimum(_mean(place, near, used, own), (1.0 - _LEAST_SHARE) * shown)
    return _to_finest(shown - explained, smoothed.grids[scale:])


def _mean(place: Placed, near: Floats, used: Floats, values: Floats) -> Floats:
    """Return the mean of the used values (n,) around each node, whose weights sum to `near`."""
    everywhere = float(used @ values) / max(float(used.sum()), 1.0)
    return np.asarray((place.spread(used * values) + _ASSUMED * everywhere) / near)


def _variance_by(fit: AffineFit, covariance: Floats, inverse: Floats) -> Floats:
    """Return the variance (n,) of the log of inverse depth by that of scale and shift."""
    rows = np.stack([(inverse - fit.shift) / fit.scale, np.ones_like(inverse)]) / inverse
    return np.asarray(np.einsum('in,ij,jn->n', rows, covariance, rows))


def _to_finest(values: Floats, grids: Sequence[BilateralGrid]) -> Floats:
    for grid in grids[1:]:
        values = doubled(values, grid.size)
    return values
