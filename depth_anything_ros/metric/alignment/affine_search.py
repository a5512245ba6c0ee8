"""The affine map from the network's output to 1 / z that most samples support, or a reason.

Hypotheses are maps through pairs of samples; the one of the best score starts `robust_fit`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import Floats
from depth_anything_ros.metric.alignment.depth_ordering import far_pairs
from depth_anything_ros.metric.alignment.robust_fit import (
    LEAST_SIGMA,
    PRIOR_REACH,
    REACH,
    AffineFit,
    Prior,
    occupied_blocks,
    refit,
)
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples, InverseDepthStats

__all__ = ['fit_affine']


_SCORED = 512
# A rival hypothesis: a score within this factor of the best, and depths apart by this (log).
_RIVAL_SCORE = 1.1
_RIVAL_DISTANCE = 0.2


def fit_affine(
    samples: GatedSamples, stats: InverseDepthStats, prior: Prior, predicted: Floats | None
) -> tuple[AffineFit | None, str]:
    """Return a fit of (scale, shift) to at least two samples, and ''.

    The `predicted` state is one more hypothesis. The result is None and a reason where no fit can
    be trusted: 'unobservable_slope' where no hypothesis has a positive scale, 'ambiguous' where
    two different ones explain the samples about equally well.
    """
    states = _hypotheses(samples.inverse_depth, 1.0 / samples.depth_m, predicted)
    states = states[states[:, 0] > 0.0]
    if not states.size:
        return None, 'unobservable_slope'
    step = samples.count // _SCORED + 1
    q, z = samples.inverse_depth[::step], samples.depth_m[::step]
    errors = _log_errors(states, q, z)
    support = _support(states, errors, z, stats.spread)
    everywhere = np.ones(samples.count, np.bool_)
    support *= occupied_blocks(samples, everywhere)
    support -= np.log1p(np.square(states[:, 1] / (PRIOR_REACH * prior.shift.sigma(states[:, 1]))))
    best = int(np.argmax(support))
    if _rivals(errors, errors[best]):
        return None, 'ambiguous'
    return refit(samples, states[best], prior), ''


def _hypotheses(q: Floats, y: Floats, predicted: Floats | None) -> Floats:
    """Return states (h, 2): through two samples each, the median ratio, and the prediction."""
    low, high = far_pairs(q)
    slope = (y[high] - y[low]) / (q[high] - q[low])
    lines = [np.stack([slope, y[low] - slope * q[low]], axis=1)]
    positive = q > 0.0
    if positive.any():
        lines.append(np.array([[float(np.median(y[positive] / q[positive])), 0.0]]))
    if predicted is not None:
        lines.append(predicted[None, :])
    return np.concatenate(lines)


def _log_errors(states: Floats, q: Floats, z: Floats) -> npt.NDArray[np.float32]:
    """Return the log errors (h, n) of each state at each sample."""
    ratio = states[:, :1].astype(np.float32) * (q * z).astype(np.float32)
    ratio += states[:, 1:].astype(np.float32) * z.astype(np.float32)
    return np.asarray(np.log(np.maximum(ratio, np.float32(1e-6))))


def _support(states: Floats, errors: npt.NDArray[np.float32], z: Floats, spread: float) -> Floats:
    """Return the mean log likelihood (h,) of the inverse depths, given the depths.

    A mixture: samples that fit have a Laplacian error, the others are uniform over the `spread`
    of the inverse depth. The density is one of inverse depth: a map of slope near 0 has small log
    errors on any wall, and scores nothing by them.
    """
    width = 2.0 * LEAST_SIGMA / spread
    height = np.abs(states[:, :1]).astype(np.float32) * (z / width).astype(np.float32)
    fits = np.exp(np.abs(errors) * np.float32(-1.0 / LEAST_SIGMA))
    return np.asarray(np.log1p(height * fits).mean(axis=1, dtype=np.float64))


def _rivals(errors: npt.NDArray[np.float32], best: npt.NDArray[np.float32]) -> bool:
    """Return whether a hypothesis nearly as good as the `best` (n,) gives other depths.

    `errors` (h, n) are the log errors of each hypothesis at the samples.
    """
    cap = np.float32(REACH)
    scores = np.minimum(np.abs(errors), cap).mean(axis=1)
    limit = _RIVAL_SCORE * float(np.minimum(np.abs(best), cap).mean()) + 1e-6
    apart = np.median(np.abs(errors[scores <= limit] - best), axis=1)
    return bool((apart > _RIVAL_DISTANCE).any())
