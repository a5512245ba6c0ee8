"""How wrong the network is over the image, by what a global fit leaves at the samples."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.alignment.robust_fit import AffineFit
from depth_anything_ros.core.alignment.sample_gate import BLOCKS_ALONG, GatedSamples
from depth_anything_ros.core.types import FloatImage

__all__ = ['LocalError', 'around', 'depths_nearby', 'mean_nearby', 'observed_error']

Floats = npt.NDArray[np.float64]

_ASSUMED_BLOCKS = 8.0
"""Of the nine blocks around a place: worth of the error that is assumed everywhere."""

_ADAPTED = 0.4
"""Share of the network's variance that the fit takes away where it has samples all around."""


@dataclass(frozen=True, eq=False)
class LocalError:
    """What is known of the log error over the image, on a coarse grid stretched over it.

    `correction` multiplies depth by its exponential, None for no correction. `variance`: of the
    log error that remains, as the samples nearby show it; it holds their error of scale and
    shift but for an `open_share` of its variance, 1 far from samples. `depth_m`,
    `depth_variance`: mean and variance of the depths of those samples.
    """

    variance: FloatImage
    open_share: FloatImage = field(default_factory=lambda: np.ones((1, 1), np.float32))
    depth_m: FloatImage = field(default_factory=lambda: np.zeros((1, 1), np.float32))
    depth_variance: FloatImage = field(default_factory=lambda: np.zeros((1, 1), np.float32))
    correction: FloatImage | None = None


def observed_error(samples: GatedSamples, fit: AffineFit) -> LocalError:
    """Give the mean square log error of inliers nearby, and the global one where are none."""
    shown, away = mean_nearby(samples, fit.weight, np.square(fit.log_error))
    elsewhere = fit.sigma**2 * (1.0 - _ADAPTED * (1.0 - away))
    return LocalError(shown + away * (elsewhere - shown), away, *depths_nearby(samples, fit))


def depths_nearby(samples: GatedSamples, fit: AffineFit) -> tuple[FloatImage, FloatImage]:
    """Give mean and variance of the inliers' depths in and around each block."""
    mean, _ = mean_nearby(samples, fit.weight, samples.depth_m)
    square, _ = mean_nearby(samples, fit.weight, np.square(samples.depth_m))
    return mean, square - np.square(mean)


def mean_nearby(
    samples: GatedSamples, weight: Floats, values: Floats
) -> tuple[FloatImage, FloatImage]:
    """Give, of each block (rows, columns), the mean of the values in and around it.

    It is 0 where no sample is. The second result is the share that what is assumed everywhere
    should have beside that mean: 1 far from samples.
    """
    size = BLOCKS_ALONG * BLOCKS_ALONG
    count = np.bincount(samples.block, weight, size)
    total = np.bincount(samples.block, weight * values, size)
    # The samples of a block err alike: many are worth one.
    known = around(count / (count + 1.0))
    mean = around(total / (count + 1.0)) / np.maximum(known, 1e-9)
    share = _ASSUMED_BLOCKS / (_ASSUMED_BLOCKS + known)
    rows, columns = (
        max(1, round(BLOCKS_ALONG * side / max(samples.shape))) for side in samples.shape
    )
    return mean[:rows, :columns].astype(np.float32), share[:rows, :columns].astype(np.float32)


def around(blocks: Floats) -> Floats:
    """Sum each block (BLOCKS_ALONG^2,) and its neighbours; the result is a square."""
    grid = blocks.reshape(BLOCKS_ALONG, BLOCKS_ALONG).astype(np.float64)
    summed = cv2.boxFilter(grid, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(summed)
