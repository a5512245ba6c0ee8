"""Metric depth and its standard deviation, by one alignment."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_anything_ros.core.types import FloatImage, Floats, Mask
from depth_anything_ros.metric.alignment.local_error import LocalError
from depth_anything_ros.metric.alignment.refinement import Refinement
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples
from depth_anything_ros.metric.alignment.texture import texture_variance

__all__ = ['Alignment']


@dataclass(frozen=True, eq=False)
class Alignment:
    """Scale and shift from the network's output q to inverse depth: 1 / z = scale * q + shift.

    `reason` is '' when `accepted`, else one of too_few_samples, no_floor, contradicts_network,
    polarity_unobserved (the samples lie at one depth, as before a wall: a reversed reference
    would look the same), ambiguous, poor_fit, unobservable_slope, jump, degenerate_network.
    `warning` is '' or why the depth may be wrong: few_inliers (half of the samples or more may be
    wrong), rejected_region (most samples of a region are), unlikely_shift, rough_fit (the
    network errs more than it should), polarity_assumed (the depth ordering is not observed, and
    `trust_polarity` allows that).
    `residual`: median |log error| of the samples. `inliers`, `inlier_ratio`: of the samples after
    gating, and of a ground plane of those that show it.
    `held_out_abs_rel`: mean |error| / depth at samples left out of the fit, outliers aside; NaN
    below 25 samples. `covariance` (2, 2) of scale and shift. `refinement`: of local errors.
    `local`: the errors over the image without one. `samples`: those after gating, None where none
    were fitted, and `inlier` (n,) which of them fit.
    """

    accepted: bool
    reason: str
    stamp_ns: int
    min_depth_m: float
    max_depth_m: float
    scale: float = float('nan')
    shift: float = float('nan')
    inliers: int = 0
    inlier_ratio: float = 0.0
    residual: float = float('nan')
    held_out_abs_rel: float = float('nan')
    warning: str = ''
    covariance: Floats | None = None
    local: LocalError | None = None
    refinement: Refinement | None = None
    samples: GatedSamples | None = None
    inlier: Mask | None = None

    def metric_depth(self, inverse_depth: FloatImage) -> FloatImage:
        """Return depth along Z in metres, float32 (H, W).

        NaN where it is unknown: outside the depth range, where the network's output is 0,
        and everywhere if the alignment is not accepted.
        """
        if not self.accepted:
            return np.full(inverse_depth.shape, np.nan, np.float32)
        with np.errstate(all='ignore'):
            inverse: FloatImage = inverse_depth * np.float32(self.scale)
            inverse += np.float32(self.shift)
            if self.refinement is not None:
                inverse *= np.exp(-self.refinement.correction_of(inverse))
            depth = np.reciprocal(inverse, out=inverse)
            known = (depth >= np.float32(self.min_depth_m)) & (inverse_depth != 0.0)
            known &= depth <= np.float32(self.max_depth_m)
        depth[~known] = np.nan
        return depth

    def sigma(self, inverse_depth: FloatImage) -> FloatImage:
        """Return the standard deviation of `metric_depth` in metres, NaN where that is NaN.

        It sums the uncertainty of scale and shift, the error that the samples show nearby, and
        the blur of the network across depth edges.
        """
        return self.sigma_of(self.metric_depth(inverse_depth))

    def sigma_of(self, depth: FloatImage) -> FloatImage:
        """Return the same for a `metric_depth` (H, W) computed before."""
        if self.refinement is not None:
            variance = self.refinement.variance_of(depth)
        elif self.covariance is not None and self.local is not None:
            variance = self._variance_of(depth, self.local)
        else:
            return np.full(depth.shape, np.nan, np.float32)
        variance += texture_variance(depth, self.max_depth_m)
        sigma: FloatImage = np.sqrt(variance, out=variance)
        sigma *= depth
        return sigma

    def _variance_of(self, depth: FloatImage, local: LocalError) -> FloatImage:
        """Return the variance (H, W) of the log of depth without a refinement."""
        constant, linear, square = self._variance_in_depth(local)
        variance = depth * np.float32(square)
        variance += _stretched(linear, depth.shape)
        variance *= depth
        variance += _stretched(constant, depth.shape)
        # Not less than the samples nearby show.
        np.maximum(variance, _stretched(local.variance, depth.shape), out=variance)
        return variance

    def _variance_in_depth(self, local: LocalError) -> tuple[FloatImage, FloatImage, float]:
        """Return c0 (rows, columns), c1 (rows, columns), c2 of the variance c0 + c1 z + c2 z^2.

        That of scale and shift is [q 1] P [q 1]' z^2 with q = (1 / z - shift) / scale. Where
        samples are nearby, their errors contain it for their depths; at other depths the z^2 term
        of the shift is added.
        """
        assert self.covariance is not None
        (ss, st), (_, tt) = self.covariance / np.array([[self.scale**2, self.scale], [1.0, 1.0]])
        t = self.shift
        c0, c1, c2 = ss, 2.0 * (st - t * ss), tt - 2.0 * t * st + t * t * ss
        opened, shown = local.open_share, 1.0 - local.open_share
        away = np.square(local.depth_m) - local.depth_variance
        constant = local.variance + opened * c0 + shown * c2 * away
        linear = opened * c1 - 2.0 * c2 * shown * local.depth_m
        return np.asarray(constant, np.float32), np.asarray(linear, np.float32), float(c2)


def _stretched(grid: FloatImage, shape: tuple[int, ...]) -> FloatImage:
    """Return a coarse grid stretched over an image of `shape`, bilinearly."""
    return np.asarray(cv2.resize(grid, (shape[1], shape[0])), np.float32)
