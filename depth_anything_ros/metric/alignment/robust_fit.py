"""Robust fit of scale and shift, from a first guess.

Model: 1 / z = s * q + t for the inverse depth q of the network and the depth z of the reference.
Errors are e = ln((s * q + t) * z). The network's error is in q, so the normal equations use the q
that the reference implies, (1 / z - t) / s, instead of the one measured: sums over measured q
would bias the slope towards 0 (regression dilution), and on a wall they would take the network's
own bias for a slope. This is the method of instrumental variables, with 1 / z as the instrument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import Floats, Mask
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples

__all__ = [
    'LEAST_SIGMA',
    'PRIOR_REACH',
    'REACH',
    'TUKEY',
    'AffineFit',
    'Prior',
    'ShiftPrior',
    'deviation',
    'inverse_2x2',
    'occupied_blocks',
    'refit',
    'robust_sigma',
    'tukey',
    'upper_median',
    'weights',
]


TUKEY = 4.685
"""Errors beyond so many standard deviations have no weight (95 % efficient on a Gaussian)."""

MAD = 1.4826
"""Standard deviation of a Gaussian over its median absolute value."""

REACH = 0.25
"""|log error| from which a sample is an outlier in the first iteration."""

LEAST_SIGMA = 0.05
"""Least scale of the errors: below it, fits lock onto a coherent half of the image."""

PRIOR_REACH = 3.0
"""Standard deviations from which the prior of the shift weakens, as a Cauchy prior does."""

_WITHIN_ONE_SIGMA = 0.683
_ITERATIONS = 8
# Weight of the assumed error of the network, in independent errors.
_SIGMA_PRIOR_COUNT = 4.0
# Independent errors in each block beside the first: the errors of neighbours correlate.
_BLOCK_WORTH = 0.6


@dataclass(frozen=True)
class ShiftPrior:
    """Standard deviations of the shift, 1/m, `below` and `above` its mode 0."""

    below: float
    above: float

    def sigma(self, shift: npt.ArrayLike) -> Floats:
        """Return the deviation on the side of each `shift`."""
        return np.where(np.asarray(shift) > 0.0, self.above, self.below)

    def widened(self, sigma: float) -> ShiftPrior:
        """Return the prior with an independent deviation added."""
        return ShiftPrior(float(np.hypot(self.below, sigma)), float(np.hypot(self.above, sigma)))


@dataclass(frozen=True)
class Prior:
    """What is assumed before any sample.

    `shift`: of the shift. `network_sigma`: log error.
    """

    shift: ShiftPrior
    network_sigma: float


@dataclass(frozen=True, eq=False)
class AffineFit:
    """Scale and shift with the information of the samples alone.

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
        """Return (scale, shift)."""
        return np.array([self.scale, self.shift])

    @property
    def covariance(self) -> Floats:
        """Return the covariance (2, 2) of scale and shift by samples and prior."""
        return inverse_2x2(self.information + self.prior_information)

    def at_state(self, state: Floats, samples: GatedSamples) -> AffineFit:
        """Return the fit with another `state` (scale, shift) and the log errors at that state."""
        scale, shift = (float(value) for value in state)
        inverse = scale * samples.inverse_depth + shift
        error = np.log(np.maximum(inverse * samples.depth_m, 1e-6))
        return replace(self, scale=scale, shift=shift, log_error=error)

    @property
    def residual(self) -> float:
        """Return the median |log error| of all samples."""
        return upper_median(np.abs(self.log_error))

    @property
    def inliers(self) -> int:
        """Return the number of samples that fit."""
        return int(np.count_nonzero(self.weight))


def refit(
    samples: GatedSamples, start: Floats, prior: Prior, iterations: int = _ITERATIONS
) -> AffineFit:
    """Return the fit after reweighted Gauss-Newton steps on log errors from `start` (2,)."""
    q, z = samples.inverse_depth, samples.depth_m
    # Dimensionless, so that the sums stay comparable whatever the units of the network.
    unit_y = 1.0 / upper_median(z)
    unit_q = upper_median(np.abs(q))
    q, y = q / unit_q, 1.0 / (z * unit_y)
    scale, shift = float(start[0]) * unit_q / unit_y, float(start[1]) / unit_y
    unit_prior = replace(
        prior.shift, below=prior.shift.below / unit_y, above=prior.shift.above / unit_y
    )
    inverse_y = 1.0 / y
    reach = REACH
    for _ in range(iterations):
        error, seen, cut = _errors(scale, shift, q, y, reach)
        reach = cut
        weight = weights(error, cut, samples.variance)
        information, gradient = _normal_equations(scale, shift, error, weight, inverse_y)
        factor, _ = _information_per_sample(samples, np.abs(error) < cut, seen, prior)
        at_prior = _prior_precision_at(unit_prior, shift)
        a, b, c = information[0, 0] * factor, information[0, 1] * factor, information[1, 1]
        c = c * factor + at_prior
        g0, g1 = gradient[0] * factor, gradient[1] * factor + at_prior * shift
        determinant = a * c - b * b
        if not determinant > 1e-12 * a * c:
            break
        step = (b * g1 - c * g0) / determinant
        shift += (b * g0 - a * g1) / determinant
        scale = _bounded(scale, scale + step)
    error, seen, cut = _errors(scale, shift, q, y, reach)
    weight = weights(error, cut, samples.variance)
    seen = deviation(np.abs(error[weight > 0.0])) if weight.any() else seen
    information, gradient = _normal_equations(scale, shift, error, weight, inverse_y)
    factor, sigma = _information_per_sample(samples, weight > 0.0, seen, prior)
    back = np.array([unit_q / unit_y, 1.0 / unit_y])
    # Just below 0 the shift may as well lie above it, where less is known.
    beside = 1e-9 if shift > -unit_prior.below else shift
    return AffineFit(
        scale * unit_y / unit_q,
        shift * unit_y,
        information * factor * np.outer(back, back),
        gradient * factor * back,
        np.diag([0.0, _prior_precision_at(unit_prior, max(shift, beside)) / unit_y**2]),
        error,
        weight,
        cut,
        sigma,
    )


def _normal_equations(
    scale: float, shift: float, error: Floats, weight: Floats, z: Floats
) -> tuple[Floats, Floats]:
    """Return the matrix and the gradient for rows ((1 - t z) / s, z): d(ln d) at d = 1 / z."""
    weighted = weight * z
    w, w_z, w_zz = float(weight.sum()), float(weighted.sum()), float(weighted @ z)
    w_e, w_ze = float(weight @ error), float(weighted @ error)
    cross = (w_z - shift * w_zz) / scale
    slope = (w - 2.0 * shift * w_z + shift**2 * w_zz) / scale**2
    gradient = np.array([(w_e - shift * w_ze) / scale, w_ze])
    return np.array([[slope, cross], [cross, w_zz]]), gradient


def _errors(
    scale: float, shift: float, q: Floats, y: Floats, reach: float
) -> tuple[Floats, float, float]:
    """Return the log errors, their standard deviation, and the size from which one is an outlier.

    The deviation is that of the errors within `reach`: a median of all would grow with the share
    of outliers until it lets them in.
    """
    error = np.log(np.maximum(scale * q + shift, 1e-6 * y) / y)
    size = np.abs(error)
    within = size[size < reach]
    seen = robust_sigma(within if within.size else size)
    return error, seen, TUKEY * max(seen, LEAST_SIGMA)


def tukey(error: Floats, cut: float) -> Floats:
    """Return Tukey's weights: 1 without an error, 0 from `cut` on."""
    return np.asarray(np.square(np.maximum(1.0 - np.square(error / cut), 0.0)))


def weights(error: Floats, cut: float, variance: Floats) -> Floats:
    """Return Tukey's weights, reduced by the sensor's own variance of each sample."""
    own = (cut / TUKEY) ** 2
    return np.asarray(tukey(error, cut) * (own / (own + variance)))


def occupied_blocks(samples: GatedSamples, inlier: Mask) -> int:
    """Return the number of blocks that inliers occupy: within one, errors are alike."""
    return min(int(np.count_nonzero(np.bincount(samples.block[inlier]))), samples.count)


def _information_per_sample(
    samples: GatedSamples, inlier: Mask, seen: float, prior: Prior
) -> tuple[float, float]:
    """Return the information of a sample of weight 1, and the log error of the network.

    That error is the assumed one, updated by the one `seen` in as many places as there are
    blocks.
    """
    independent = 1.0 + _BLOCK_WORTH * (occupied_blocks(samples, inlier) - 1.0)
    total = _SIGMA_PRIOR_COUNT * prior.network_sigma**2 + independent * seen**2
    # Two degrees of freedom go into scale and shift.
    variance = total / (_SIGMA_PRIOR_COUNT + max(independent - 2.0, 0.0))
    return independent / samples.count / variance, float(np.sqrt(variance))


def _prior_precision_at(prior: ShiftPrior, shift: float) -> float:
    """Return the precision of the prior at `shift`, reduced far beyond its deviation."""
    precision = float(prior.sigma(shift)) ** -2
    return precision / (1.0 + precision * shift**2 / PRIOR_REACH**2)


def upper_median(values: Floats) -> float:
    """Return the upper median of at least one value, four times as fast as np.median."""
    half = values.size // 2
    return float(np.partition(values, half)[half])


def robust_sigma(size: Floats) -> float:
    """Return the standard deviation of a Gaussian whose |errors| (n,) have this median."""
    return MAD * upper_median(size)


def inverse_2x2(matrix: Floats) -> Floats:
    """Invert a symmetric matrix whose rows may differ in scale by many orders."""
    (a, b), (_, c) = matrix
    determinant = a * c - b * b
    return np.asarray(np.array([[c, -b], [-b, a]]) / determinant)


def deviation(size: Floats) -> float:
    """Return the bound within which 68.3 % of at least one |error| lie.

    1.48 MAD equals it on a Gaussian only, which the smooth errors of a network are not.
    """
    index = int(_WITHIN_ONE_SIGMA * (size.size - 1))
    return float(np.partition(size, index)[index])


def _bounded(scale: float, wanted: float) -> float:
    """Return `wanted` with the sign of `scale` and within a factor of 3 of it."""
    low, high = sorted((scale / 3.0, scale * 3.0))
    return float(np.clip(wanted, low, high))
