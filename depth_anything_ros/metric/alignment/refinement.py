"""A smooth correction of the network's local errors, from the residuals of a global fit."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import FloatImage, Floats, Ints, Mask
from depth_anything_ros.metric.alignment.local_error import (
    LocalError,
    correlation_at,
    depths_nearby,
    mean_nearby,
)
from depth_anything_ros.metric.alignment.robust_fit import MAD, TUKEY, AffineFit, deviation, middle
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples

__all__ = ['corrected_error', 'predicted_error']


# Below 100 nodes OpenCV solves by itself. LAPACK in NumPy would start threads that wait for the
# network's: half a second on a busy machine.
_LONG_NODES, _SHORT_NODES = 12, 8
_ITERATIONS = 4
_LEAST_SIGMA = 0.003
_LEAST_TUKEY_SIGMA = 0.025
_GREATEST = 0.3


def corrected_error(samples: GatedSamples, fit: AffineFit) -> LocalError:
    """Return a smooth field fitted to the log errors, Tukey-weighted; 0 away from samples.

    The field is a Gaussian process on 12x8 nodes (`correlation_at`, deviation `fit.sigma`), so
    that it comes with its own variance.
    """
    landscape = samples.shape[1] >= samples.shape[0]
    rows = _SHORT_NODES if landscape else _LONG_NODES
    columns = _LONG_NODES if landscape else _SHORT_NODES
    nodes, shares = _interpolation(samples.u, samples.v, samples.shape, rows, columns)
    prior = _prior_precision(rows, columns, samples.shape[0] / samples.shape[1]) / fit.sigma**2
    field = np.zeros(rows * columns)
    # The network's error is measured on the half of the samples with the smaller own variance.
    sure = samples.variance <= middle(samples.variance)
    sigma, cut = 0.5 * fit.sigma, fit.cut
    pairs = (nodes[:, :, None] * field.size + nodes[:, None, :]).ravel()
    products = shares[:, :, None] * shares[:, None, :]
    for _ in range(_ITERATIONS):
        error = fit.log_error - np.einsum('ij,ij->i', shares, field[nodes])
        fitting = np.square(np.maximum(1.0 - np.square(error / cut), 0.0))
        weight = fitting / (sigma**2 + samples.variance)
        summed = np.bincount(pairs, (products * weight[:, None, None]).ravel(), field.size**2)
        precision = prior + summed.reshape(field.size, field.size)
        pulled = shares * (weight * fit.log_error)[:, None]
        target = np.bincount(nodes.ravel(), pulled.ravel(), field.size)
        _, solved = cv2.solve(precision, target[:, None], flags=cv2.DECOMP_CHOLESKY)
        field = np.asarray(solved, np.float64).ravel()
        size = np.abs(fit.log_error - np.einsum('ij,ij->i', shares, field[nodes]))
        sigma, cut = _scale(size, size < cut, sure, samples.variance, fit.sigma)
    covariance = np.asarray(cv2.invert(precision, flags=cv2.DECOMP_CHOLESKY)[1], np.float64)
    variance = _variance_between(covariance, rows, columns)
    informative = fitting * np.square(sigma**2 / (sigma**2 + samples.variance))
    remaining, away = mean_nearby(samples, informative, size**2 - samples.variance)
    remaining = np.maximum(remaining + away * (sigma**2 - remaining), _LEAST_SIGMA**2)
    blocks = (remaining, *depths_nearby(samples, fit))
    nearby = [_image(cv2.resize(each, variance.shape[::-1])) for each in blocks]
    return LocalError(
        _image(variance) + nearby[0],
        _image(np.clip(variance / fit.sigma**2, 0.0, 1.0)),
        depth_m=nearby[1],
        depth_variance=nearby[2],
        correction=_image(np.clip(field, -_GREATEST, _GREATEST).reshape(rows, columns)),
    )


def _scale(
    size: Floats, fits: Mask, sure: Mask, variance: Floats, assumed: float
) -> tuple[float, float]:
    """Return the remaining log error of the network, and that from which a sample is an outlier.

    `size` (n,): |residual| at the samples. `variance` (n,): of the samples' own errors.
    """
    seen = MAD * middle(size[fits]) if fits.any() else assumed
    used, left = fits & sure, seen**2
    if used.any():
        # The samples' own error is not one of the depth.
        left = deviation(size[used]) ** 2 - float(np.mean(variance[used]))
    return max(left, _LEAST_SIGMA**2) ** 0.5, TUKEY * max(seen, _LEAST_TUKEY_SIGMA)


def _variance_between(covariance: Floats, rows: int, columns: int) -> Floats:
    """Return the variance (2 rows, 2 columns) of the field between its nodes.

    It is less than theirs: their errors are partly independent.
    """
    v, u = np.divmod(np.arange(4 * rows * columns), 2 * columns)
    nodes, shares = _interpolation(u, v, (2 * rows, 2 * columns), rows, columns)
    between = covariance[nodes[:, :, None], nodes[:, None, :]]
    variance = np.einsum('pi,pij,pj->p', shares, between, shares)
    return np.asarray(variance.reshape(2 * rows, 2 * columns), np.float64)


def _image(grid: npt.ArrayLike) -> FloatImage:
    return np.asarray(grid, np.float32)


def predicted_error(local: LocalError, samples: GatedSamples) -> Floats:
    """Return the correction (n,) of a `corrected_error` at other samples."""
    assert local.correction is not None
    nodes, shares = _interpolation(samples.u, samples.v, samples.shape, *local.correction.shape)
    return np.asarray(np.einsum('ij,ij->i', shares, local.correction.ravel()[nodes]), np.float64)


def _interpolation(
    u: Ints, v: Ints, shape: tuple[int, int], rows: int, columns: int
) -> tuple[Ints, Floats]:
    """Return four nodes (n, 4) around pixels (n,) of an image and their bilinear shares (n, 4).

    Nodes lie where cv2.resize puts the pixels of a small image.
    """
    x = np.clip((u + 0.5) * (columns / shape[1]) - 0.5, 0.0, columns - 1.0)
    y = np.clip((v + 0.5) * (rows / shape[0]) - 0.5, 0.0, rows - 1.0)
    left = np.minimum(x.astype(np.int64), columns - 2)
    top = np.minimum(y.astype(np.int64), rows - 2)
    right, down = x - left, y - top
    corner = top * columns + left
    nodes = np.stack([corner, corner + 1, corner + columns, corner + columns + 1], axis=1)
    shares = np.stack(
        [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], axis=1
    )
    return nodes, shares


@lru_cache(maxsize=4)
def _prior_precision(rows: int, columns: int, aspect: float) -> Floats:
    """Return the inverse covariance of the field at its nodes, for a deviation of 1.

    `aspect` is height over width.
    """
    longer = max(1.0, aspect)
    x, y = np.meshgrid(
        (np.arange(columns) + 0.5) / columns / longer,
        (np.arange(rows) + 0.5) / rows * aspect / longer,
    )
    apart = (each.ravel()[:, None] - each.ravel() for each in (x, y))
    covariance = correlation_at(*apart) + 1e-6 * np.eye(rows * columns)
    return np.asarray(np.linalg.inv(covariance))
