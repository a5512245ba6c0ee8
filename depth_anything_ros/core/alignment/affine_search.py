"""The line between disparity and inverse depth that most samples support, or why there is none.

Lines through pairs of samples are tried first; the best is handed to `robust_fit`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.alignment.robust_fit import (
    LEAST_SIGMA,
    PRIOR_REACH,
    REACH,
    AffineFit,
    Prior,
    occupied_blocks,
    refit,
)
from depth_anything_ros.core.alignment.sample_gate import DisparityStats, GatedSamples

__all__ = ['fit_affine']

Floats = npt.NDArray[np.float64]

_HYPOTHESES = 128
_SCORED = 512
_LEAST_APART = 0.15
_RIVAL_SCORE = 1.1
_RIVAL_DISTANCE = 0.2
_CONTRADICTION_SIGMAS = 3.0

_DRAWS = np.random.default_rng(20240613).random((2, _HYPOTHESES))


def fit_affine(
    samples: GatedSamples,
    stats: DisparityStats,
    prior: Prior,
    believed: Floats | None,
) -> tuple[AffineFit | None, str]:
    """Fit (scale, shift) to at least two samples; `believed` is one more hypothesis.

    Gives None and a reason where no fit may be trusted: 'contradicts_network' where depth grows
    with disparity, 'ambiguous' where two different hypotheses explain the samples alike.
    """
    inverse = 1.0 / samples.depth_m
    states = _hypotheses(samples.disparity, inverse, believed)
    if not states.size:
        return None, 'unobservable_slope'
    step = samples.count // _SCORED + 1
    q, z = samples.disparity[::step], samples.depth_m[::step]
    errors = _log_errors(states, q, z)
    support = _support(states, errors, z, stats.spread)
    everywhere = np.ones(samples.count, np.bool_)
    support *= occupied_blocks(samples, everywhere)
    support -= np.log1p(np.square(states[:, 1] / (PRIOR_REACH * prior.shift_sigma)))
    rising = states[:, 0] > 0.0
    if not rising.any():
        return None, 'contradicts_network'
    best = int(np.argmax(np.where(rising, support, -np.inf)))
    if not rising.all():
        rival = int(np.argmax(np.where(rising, -np.inf, support)))
        if support[rival] > support[best] and _falls(samples, states[rival], prior):
            return None, 'contradicts_network'
    if _rivals(errors[rising], errors[best]):
        return None, 'ambiguous'
    return refit(samples, states[best], prior), ''


def _hypotheses(q: Floats, y: Floats, believed: Floats | None) -> Floats:
    """Give states (h, 2): lines through two samples, the median ratio, and the belief."""
    order = np.argsort(q, kind='stable')
    half = q.size // 2
    low = order[(_DRAWS[0] * half).astype(np.int64)]
    high = order[half + (_DRAWS[1] * (q.size - half)).astype(np.int64)]
    # By the spread of the samples: a scan that sees little of it must still tell its sign.
    spread = q[order[int(0.95 * (q.size - 1))]] - q[order[int(0.05 * (q.size - 1))]]
    apart = q[high] - q[low] > _LEAST_APART * spread
    low, high = low[apart], high[apart]
    slope = (y[high] - y[low]) / (q[high] - q[low])
    lines = [np.stack([slope, y[low] - slope * q[low]], axis=1)[slope != 0.0]]
    positive = q > 0.0
    if positive.any():
        lines.append(np.array([[float(np.median(y[positive] / q[positive])), 0.0]]))
    if believed is not None:
        lines.append(believed[None, :])
    return np.concatenate(lines)


def _log_errors(states: Floats, q: Floats, z: Floats) -> npt.NDArray[np.float32]:
    """Give the log errors (h, n) of each state at each sample."""
    ratio = states[:, :1].astype(np.float32) * (q * z).astype(np.float32)
    ratio += states[:, 1:].astype(np.float32) * z.astype(np.float32)
    return np.asarray(np.log(np.maximum(ratio, np.float32(1e-6))))


def _support(states: Floats, errors: npt.NDArray[np.float32], z: Floats, spread: float) -> Floats:
    """Give the mean log likelihood (h,) of the disparities, given the depths.

    Samples that fit have a Laplacian error, the others lie anywhere in the `spread` of the
    disparity. The density is one of disparity: a line of slope near 0 has small log errors on
    any wall, and earns nothing by them.
    """
    width = 2.0 * LEAST_SIGMA / spread
    height = np.abs(states[:, :1]).astype(np.float32) * (z / width).astype(np.float32)
    fits = np.exp(np.abs(errors) * np.float32(-1.0 / LEAST_SIGMA))
    return np.asarray(np.log1p(height * fits).mean(axis=1, dtype=np.float64))


def _rivals(errors: npt.NDArray[np.float32], best: npt.NDArray[np.float32]) -> bool:
    """Tell whether a hypothesis nearly as good as the `best` (n,) gives other depths.

    `errors` (h, n) are the log errors of each hypothesis at the samples.
    """
    cap = np.float32(REACH)
    scores = np.minimum(np.abs(errors), cap).mean(axis=1)
    limit = _RIVAL_SCORE * float(np.minimum(np.abs(best), cap).mean()) + 1e-6
    apart = np.median(np.abs(errors[scores <= limit] - best), axis=1)
    return bool((apart > _RIVAL_DISTANCE).any())


def _falls(samples: GatedSamples, start: Floats, prior: Prior) -> bool:
    """Tell whether samples say by themselves that depth grows with disparity."""
    fit = refit(samples, start, Prior(1e6 * prior.shift_sigma, prior.network_sigma))
    (a, b), (_, c) = fit.information
    determinant = a * c - b * b
    # The variance of the scale is c / determinant, without bound on a wall.
    return bool(
        fit.scale < 0.0
        and determinant > 1e-9 * a * c
        and fit.scale**2 * determinant > _CONTRADICTION_SIGMAS**2 * c
    )
