"""The network's error over the image, from the residuals of a global fit at the samples."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from depth_anything_ros.core.types import FloatImage, Floats
from depth_anything_ros.metric.alignment.robust_fit import AffineFit
from depth_anything_ros.metric.alignment.sample_gate import BLOCKS_ALONG, GatedSamples

__all__ = ['LocalError', 'observed_error']


_CORRELATION = 0.15
"""Correlation length of the network's errors, in longer sides of the image."""

# Below 100 OpenCV solves by itself: LAPACK would start threads that wait for the network's.
_MOST_SAMPLES = 64

_OWN_SHARE = 0.3
"""Share of the network's error that is independent from pixel to pixel."""

_ADAPTED = 0.08
"""Share of the network's variance that the fit takes away where it has samples all around."""


@dataclass(frozen=True, eq=False)
class LocalError:
    """The log error over the image, on a coarse grid stretched over it.

    `variance`: of the log error, from the samples nearby; it contains that of scale and shift
    except for a share `open_share`, 1 far from samples. `depth_m`, `depth_variance`: mean and
    variance of the depths of those samples.
    """

    variance: FloatImage
    open_share: FloatImage = field(default_factory=lambda: np.ones((1, 1), np.float32))
    depth_m: FloatImage = field(default_factory=lambda: np.zeros((1, 1), np.float32))
    depth_variance: FloatImage = field(default_factory=lambda: np.zeros((1, 1), np.float32))


def observed_error(
    samples: GatedSamples, fit: AffineFit, trust: float, shared: float = 0.0
) -> LocalError:
    """Return the mean square log error by the inliers nearby, of which there is at least one.

    A Gaussian process through up to 64 of them (`correlation_at`, deviation `fit.sigma`) gets a
    share of `trust` (0 to 1), the global error the rest: alone it is overconfident beside samples.
    `shared`: relative error of all samples, which none of them shows.
    """
    inlier = np.flatnonzero(fit.weight > 0.0)
    chosen = np.linspace(0, inlier.size - 1, min(inlier.size, _MOST_SAMPLES))
    inlier = inlier[chosen.astype(np.int64)]
    longer = max(samples.shape)
    x, y = samples.u[inlier] / longer, samples.v[inlier] / longer
    rows, columns = _blocks(samples)
    down, across = ((each.ravel() + 0.5) / BLOCKS_ALONG for each in np.indices((rows, columns)))
    own = _OWN_SHARE**2 + samples.variance[inlier] / fit.sigma**2
    between = _correlation_at(x[:, None] - x, y[:, None] - y) + np.diag(own)
    reaching = _correlation_at(x[:, None] - across, y[:, None] - down)
    _, share = cv2.solve(between, reaching, flags=cv2.DECOMP_CHOLESKY)
    away = 1.0 - np.sum(share * reaching, axis=0)
    elsewhere = fit.sigma**2 * (1.0 - _ADAPTED * (1.0 - away))
    shown = np.square(fit.log_error[inlier] @ share) + fit.sigma**2 * away
    variance = elsewhere + trust * (shown - elsewhere) + (1.0 - away) * shared**2
    return LocalError(
        variance.reshape(rows, columns).astype(np.float32),
        away.reshape(rows, columns).astype(np.float32),
        *_depths_nearby(samples, fit),
    )


def _correlation_at(x: Floats, y: Floats) -> Floats:
    """Return the correlation of the network's errors at distances (x, y), in longer sides.

    Matern 5/2: Rasmussen and Williams, Gaussian Processes for Machine Learning, eq. 4.17.
    """
    reach = np.sqrt(5.0) / _CORRELATION * np.hypot(x, y)
    return np.asarray((1.0 + reach + np.square(reach) / 3.0) * np.exp(-reach))


def _depths_nearby(samples: GatedSamples, fit: AffineFit) -> tuple[FloatImage, FloatImage]:
    """Return mean and variance of the inliers' depths in and around each block."""
    mean = _mean_nearby(samples, fit.weight, samples.depth_m)
    return mean, _mean_nearby(samples, fit.weight, np.square(samples.depth_m)) - np.square(mean)


def _mean_nearby(samples: GatedSamples, weight: Floats, values: Floats) -> FloatImage:
    """Return for each block (rows, columns) the weighted mean of the values in and around it.

    It is 0 without samples.
    """
    size = BLOCKS_ALONG * BLOCKS_ALONG
    count = np.bincount(samples.block, weight, size)
    total = np.bincount(samples.block, weight * values, size)
    # The errors of a block's samples are alike: many count as one.
    mean = _around(total / (count + 1.0)) / np.maximum(_around(count / (count + 1.0)), 1e-9)
    rows, columns = _blocks(samples)
    return mean[:rows, :columns].astype(np.float32)


def _blocks(samples: GatedSamples) -> tuple[int, int]:
    """Return the number of blocks in a column and in a row of the image."""
    height, width = (
        max(1, round(BLOCKS_ALONG * side / max(samples.shape))) for side in samples.shape
    )
    return height, width


def _around(blocks: Floats) -> Floats:
    """Return the sum of each block (BLOCKS_ALONG^2,) and its neighbours, as a square."""
    grid = blocks.reshape(BLOCKS_ALONG, BLOCKS_ALONG).astype(np.float64)
    summed = cv2.boxFilter(grid, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(summed)
