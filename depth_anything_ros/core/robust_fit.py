"""Robust scale and shift between disparity and inverse depth, and what contradicts them.

Model: 1 / z = s * q + t for the disparity q of the network and the depth z of the reference.
Errors are e = ln((s * q + t) * z). The network's error sits in q, so the normal equations use
the q that the reference asks for instead of the one measured: sums over measured q would pull
the slope towards 0 (regression dilution), and on a wall they would take the network's own bias
for a slope. This is the method of instrumental variables, with 1 / z as the instrument.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.sample_gate import DisparityStats, GatedSamples

__all__ = ['AffineFit', 'Prior', 'fit_affine', 'refit']

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_HYPOTHESES = 128
_SCORED = 512
_CAP = 0.25
_ITERATIONS = 8
_TUKEY = 4.685
_MAD = 1.4826
# With a scale from the samples alone a fit locks onto a coherent half of the image.
_LEAST_TUKEY_SIGMA = 0.05
# Independent errors that the assumed error of the network is worth.
_SIGMA_PRIOR_COUNT = 3.0
# Beyond three sigma the prior of the shift gives way, as a Cauchy distribution does.
_PRIOR_REACH = 3.0
_RIVAL_SCORE = 1.1
_RIVAL_DISTANCE = 0.2
_CONTRADICTION_SIGMAS = 3.0

_DRAWS = np.random.default_rng(20240613).random((2, _HYPOTHESES))


@dataclass(frozen=True)
class Prior:
    """What is believed before any sample: a shift of 0 with `shift_sigma` 1/m, and the error of
    the network `network_sigma` (log).
    """

    shift_sigma: float
    network_sigma: float


@dataclass(frozen=True, eq=False)
class AffineFit:
    """Scale and shift with what the samples alone know about them.

    `information` (2, 2) and `gradient` (2,) belong to the samples; `prior_information` (2, 2) to
    the prior of the shift. `log_error` and `weight` (n,): of each sample, weight 0 for outliers.
    `cut`: |log error| beyond which a sample is an outlier. `sigma`: log error of the network.
    """

    scale: float
    shift: float
    information: Floats
    gradient: Floats
    prior_information: Floats
    log_error: Floats
    weight: Floats
    cut: float
    sigma: float

    @property
    def state(self) -> Floats:
        """Give (scale, shift)."""
        return np.array([self.scale, self.shift])

    @property
    def covariance(self) -> Floats:
        """Give the covariance (2, 2) of scale and shift by samples and prior."""
        return np.asarray(np.linalg.pinv(self.information + self.prior_information))

    @property
    def residual(self) -> float:
        """Give the median |log error| of all samples."""
        return float(np.median(np.abs(self.log_error)))

    @property
    def inliers(self) -> int:
        """Give the number of samples that fit."""
        return int(np.count_nonzero(self.weight))


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
    states = _hypotheses(samples.disparity, inverse, stats.spread, believed)
    if not states.size:
        return None, 'unobservable_slope'
    step = samples.count // _SCORED + 1
    q, z = samples.disparity[::step], samples.depth_m[::step]
    errors = _log_errors(states, q, z)
    support = _support(states, errors, z, stats.spread)
    everywhere = np.ones(samples.count, np.bool_)
    support *= _blocks(samples, everywhere)
    support -= np.log1p(np.square(states[:, 1] / (_PRIOR_REACH * prior.shift_sigma)))
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


def refit(
    samples: GatedSamples,
    start: Floats,
    prior: Prior,
    iterations: int = _ITERATIONS,
) -> AffineFit:
    """Improve `start` (scale, shift) by reweighted Gauss-Newton steps on log errors."""
    q, z = samples.disparity, samples.depth_m
    # Dimensionless, so that the sums stay comparable whatever the units of the network.
    unit_y = 1.0 / float(np.median(z))
    unit_q = float(np.median(np.abs(q)))
    q, y = q / unit_q, 1.0 / (z * unit_y)
    scale, shift = float(start[0]) * unit_q / unit_y, float(start[1]) / unit_y
    prior_precision = (unit_y / prior.shift_sigma) ** 2
    inverse_y = 1.0 / y
    reach = _CAP
    for _ in range(iterations):
        error, seen, cut = _errors(scale, shift, q, y, reach)
        reach = cut
        sums = _Sums.of(error, _weights(error, cut, samples.variance), inverse_y)
        information, gradient = sums.normal(scale, shift)
        factor, _ = _worth(samples, np.abs(error) < cut, seen, prior)
        pull = _pull(prior_precision, shift)
        a, b, c = information[0, 0] * factor, information[0, 1] * factor, information[1, 1]
        c = c * factor + pull
        g0, g1 = gradient[0] * factor, gradient[1] * factor + pull * shift
        determinant = a * c - b * b
        if not determinant > 1e-12 * a * c:
            break
        step = (b * g1 - c * g0) / determinant
        shift += (b * g0 - a * g1) / determinant
        scale = _bounded(scale, scale + step)
    error, seen, cut = _errors(scale, shift, q, y, reach)
    weight = _weights(error, cut, samples.variance)
    information, gradient = _Sums.of(error, weight, inverse_y).normal(scale, shift)
    factor, sigma = _worth(samples, weight > 0.0, seen, prior)
    back = np.array([unit_q / unit_y, 1.0 / unit_y])
    return AffineFit(
        scale * unit_y / unit_q,
        shift * unit_y,
        information * factor * np.outer(back, back),
        gradient * factor * back,
        np.diag([0.0, _pull(prior_precision, shift) / unit_y**2]),
        error,
        weight,
        cut,
        sigma,
    )


@dataclass(frozen=True)
class _Sums:
    """Weighted sums from which the normal equations at any (scale, shift) follow."""

    w: float
    w_z: float
    w_zz: float
    w_e: float
    w_ze: float

    @classmethod
    def of(cls, error: Floats, weight: Floats, z: Floats) -> _Sums:
        weighted = weight * z
        return cls(
            float(weight.sum()),
            float(weighted.sum()),
            float(weighted @ z),
            float(weight @ error),
            float(weighted @ error),
        )

    def normal(self, scale: float, shift: float) -> tuple[Floats, Floats]:
        """Give the matrix and the gradient for rows ((1 - t z) / s, z): d(ln d) at d = 1 / z."""
        cross = (self.w_z - shift * self.w_zz) / scale
        slope = (self.w - 2.0 * shift * self.w_z + shift**2 * self.w_zz) / scale**2
        gradient = np.array([(self.w_e - shift * self.w_ze) / scale, self.w_ze])
        return np.array([[slope, cross], [cross, self.w_zz]]), gradient


def _hypotheses(q: Floats, y: Floats, spread: float, believed: Floats | None) -> Floats:
    """Give states (h, 2): lines through two samples, the median ratio, and the belief."""
    order = np.argsort(q, kind='stable')
    half = q.size // 2
    low = order[(_DRAWS[0] * half).astype(np.int64)]
    high = order[half + (_DRAWS[1] * (q.size - half)).astype(np.int64)]
    apart = q[high] - q[low] > 0.15 * spread
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
    width = 2.0 * _LEAST_TUKEY_SIGMA / spread
    height = np.abs(states[:, :1]).astype(np.float32) * (z / width).astype(np.float32)
    fits = np.exp(np.abs(errors) * np.float32(-1.0 / _LEAST_TUKEY_SIGMA))
    return np.asarray(np.log1p(height * fits).mean(axis=1, dtype=np.float64))


def _rivals(errors: npt.NDArray[np.float32], best: npt.NDArray[np.float32]) -> bool:
    """Tell whether a hypothesis nearly as good as the `best` (n,) gives other depths.

    `errors` (h, n) are the log errors of each hypothesis at the samples.
    """
    cap = np.float32(_CAP)
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


def _errors(
    scale: float, shift: float, q: Floats, y: Floats, reach: float
) -> tuple[Floats, float, float]:
    """Give the log errors, their standard deviation, and the size from which one is an outlier.

    The deviation is that of the errors within `reach`: a median of all would grow with the share
    of outliers until it lets them in.
    """
    error = np.log(np.maximum(scale * q + shift, 1e-6 * y) / y)
    size = np.abs(error)
    within = size[size < reach]
    seen = _MAD * float(np.median(within if within.size else size))
    return error, seen, _TUKEY * max(seen, _LEAST_TUKEY_SIGMA)


def _weights(error: Floats, cut: float, variance: Floats) -> Floats:
    """Give Tukey's weights, less where the sensor is unsure of a sample."""
    tukey = np.square(np.maximum(1.0 - np.square(error / cut), 0.0))
    own = (cut / _TUKEY) ** 2
    return np.asarray(tukey * (own / (own + variance)))


def _blocks(samples: GatedSamples, inlier: Mask) -> int:
    """Count the blocks that inliers occupy: within one, the network errs alike."""
    return min(int(np.count_nonzero(np.bincount(samples.block[inlier]))), samples.count)


def _worth(samples: GatedSamples, inlier: Mask, seen: float, prior: Prior) -> tuple[float, float]:
    """Give the information of a sample of weight 1, and the log error of the network.

    That error mixes the one assumed with the one `seen` in as many places as there are blocks.
    """
    independent = _blocks(samples, inlier)
    total = _SIGMA_PRIOR_COUNT * prior.network_sigma**2 + independent * seen**2
    variance = total / (_SIGMA_PRIOR_COUNT + independent)
    return independent / samples.count / variance, float(np.sqrt(variance))


def _pull(precision: float, shift: float) -> float:
    """Give the precision of the prior of the shift, less far beyond its deviation."""
    return precision / (1.0 + precision * shift**2 / _PRIOR_REACH**2)


def _bounded(scale: float, wanted: float) -> float:
    """Keep the sign of the scale, and each step within a factor of 3."""
    low, high = sorted((scale / 3.0, scale * 3.0))
    return float(np.clip(wanted, low, high))
