"""Metric depth and its standard deviation, by one alignment."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.alignment.refinement import LocalError
from depth_anything_ros.core.types import FloatImage

__all__ = ['Alignment']

_EDGE_PX = 5
_EDGE_SHARE = 0.3
"""Log error beside a depth edge over the log step of the edge: the network blurs it."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """Scale and shift between disparity and inverse depth, 1 / z = scale * q + shift.

    `reason` is '' when `accepted`, else one of too_few_samples, contradicts_network, ambiguous,
    poor_fit, unobservable_slope, jump, degenerate_network. `warning` is '' or few_inliers: half
    of the samples or more may be wrong. `residual`: median |log error| of the samples.
    `held_out_abs_rel`: mean |error| / depth at samples left out of the fit, outliers aside; NaN
    below 25 samples. `covariance` (2, 2) of scale and shift. `local`: errors over the image.
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
    covariance: npt.NDArray[np.float64] | None = None
    local: LocalError | None = None

    def metric_depth(self, disparity: FloatImage) -> FloatImage:
        """Give depth along Z in metres, float32 (H, W).

        NaN where it is unknown: outside the depth range, where the network gave its floor of 0,
        and everywhere if the alignment is not accepted.
        """
        if not self.accepted:
            return np.full(disparity.shape, np.nan, np.float32)
        with np.errstate(all='ignore'):
            inverse: FloatImage = disparity * np.float32(self.scale)
            inverse += np.float32(self.shift)
            if self.local is not None and self.local.correction is not None:
                inverse *= _stretched(np.exp(-self.local.correction), disparity.shape)
            depth = np.reciprocal(inverse, out=inverse)
            known = (depth >= np.float32(self.min_depth_m)) & (disparity != 0.0)
            known &= depth <= np.float32(self.max_depth_m)
        depth[~known] = np.nan
        return depth

    def sigma(self, disparity: FloatImage) -> FloatImage:
        """Give the standard deviation of `metric_depth` in metres, NaN where that is NaN.

        It sums the uncertainty of scale and shift, the error that the samples show nearby, and
        the blur of the network across depth edges.
        """
        return self.sigma_of(self.metric_depth(disparity))

    def sigma_of(self, depth: FloatImage) -> FloatImage:
        """Give the same for the `metric_depth` (H, W) already at hand."""
        if self.covariance is None or self.local is None:
            return np.full(depth.shape, np.nan, np.float32)
        constant, linear, square = self._affine_variance()
        affine = depth * np.float32(square)
        affine += np.float32(linear)
        affine *= depth
        affine += np.float32(constant)
        # Rounding may leave a variance of 0 below it.
        variance = np.maximum(affine, 0.0, out=affine)
        if self.local.open_share is not None:
            variance *= _stretched(self.local.open_share, depth.shape)
        variance += _stretched(self.local.variance, depth.shape)
        variance += np.square(np.float32(_EDGE_SHARE) * self._steps(depth))
        return np.asarray(np.sqrt(variance) * depth, np.float32)

    def _affine_variance(self) -> tuple[float, float, float]:
        """Give c0, c1, c2 of the relative variance c0 + c1 z + c2 z^2 by scale and shift.

        It is [q 1] P [q 1]' z^2 with q = (1 / z - shift) / scale.
        """
        assert self.covariance is not None
        (ss, st), (_, tt) = self.covariance / np.array([[self.scale**2, self.scale], [1.0, 1.0]])
        t = self.shift
        return float(ss), float(2.0 * (st - t * ss)), float(tt - 2.0 * t * st + t * t * ss)

    def _steps(self, depth: FloatImage) -> FloatImage:
        """Give the relative step (H, W) of depth within 2 px, about the log of its ratio."""
        # What is unknown is taken to be far: next to it lies an edge.
        known = np.nan_to_num(depth, nan=self.max_depth_m)
        kernel = np.ones((_EDGE_PX, _EDGE_PX), np.uint8)
        far, near = cv2.dilate(known, kernel), cv2.erode(known, kernel)
        return np.asarray(2.0 * (far - near) / (far + near), np.float32)


def _stretched(grid: FloatImage, shape: tuple[int, ...]) -> FloatImage:
    """Stretch a coarse grid over an image of `shape`, bilinearly."""
    return np.asarray(cv2.resize(grid, (shape[1], shape[0])), np.float32)
