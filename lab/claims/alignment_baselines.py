"""Other ways to find scale and shift, for comparison with ours."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ['BASELINES', 'NotInstalledError', 'ScaleShift', 'huber_oracle']

Floats = npt.NDArray[np.float64]
ScaleShift = tuple[float, float]
"""Scale and shift: 1 / z = scale * q + shift."""

_HUBER = 1.345
_ITERATIONS = 15
_RANSAC_TRIALS = 100


class NotInstalledError(Exception):
    """A baseline needs a package that is not there."""


def huber_oracle(q: Floats, z: Floats) -> ScaleShift:
    """Fit every pixel to its true depth, minimising Huber's loss of (d - 1/z) * z."""
    rows = np.stack([q, np.ones_like(q)], axis=1) * z[:, None]
    weight = np.ones_like(q)
    state = np.zeros(2)
    for _ in range(_ITERATIONS):
        weighted = rows * weight[:, None]
        state = np.linalg.solve(weighted.T @ rows, weighted.sum(axis=0))
        size = np.abs(rows @ state - 1.0)
        limit = _HUBER * 1.4826 * max(float(np.median(size)), 1e-9)
        weight = np.minimum(1.0, limit / np.maximum(size, 1e-12))
    return float(state[0]), float(state[1])


def _least_squares(q: Floats, z: Floats) -> ScaleShift:
    """Minimise the squared error of inverse depth, as MiDaS' evaluation does."""
    rows = np.stack([q, np.ones_like(q)], axis=1)
    scale, shift = np.linalg.lstsq(rows, 1.0 / z, rcond=None)[0]
    return float(scale), float(shift)


def _median_scale(q: Floats, z: Floats) -> ScaleShift:
    """Divide the medians, with a shift of 0."""
    return float(np.median(1.0 / z) / np.median(q)), 0.0


def _ransac(q: Floats, z: Floats) -> ScaleShift:
    """Run scikit-learn's RANSAC on inverse depth; its threshold is the MAD of the targets."""
    try:
        linear_model = importlib.import_module('sklearn.linear_model')
    except ImportError as err:
        raise NotInstalledError('scikit-learn') from err
    model = linear_model.RANSACRegressor(max_trials=_RANSAC_TRIALS, random_state=0)
    try:
        model.fit(q[:, None], 1.0 / z)
    except ValueError:
        # No two samples gave a consensus.
        return float('nan'), float('nan')
    return float(model.estimator_.coef_[0]), float(model.estimator_.intercept_)


BASELINES: dict[str, Callable[[Floats, Floats], ScaleShift]] = {
    'least squares': _least_squares,
    'median scale': _median_scale,
    'RANSAC': _ransac,
}
