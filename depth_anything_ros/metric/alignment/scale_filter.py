"""Scale and shift over time: carried to the next frame, aged, tested and fused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.metric.alignment.robust_fit import (
    MAD,
    TUKEY,
    AffineFit,
    inverse_2x2,
    middle,
)

__all__ = ['Belief', 'Bias', 'Carry', 'carry_between', 'coarse', 'normalized_innovation']

Floats = npt.NDArray[np.float64]

_COARSE = (32, 24)
_PAIRS = 512
_CARRY_ITERATIONS = 4
_CARRY_RESIDUAL = 0.03
_CARRY_INLIERS = 0.6
# What cannot be carried over may have changed by this much (log).
_UNKNOWN_CHANGE = 0.05
# A wall that comes nearer looks like a change of gain: half of what is carried is in doubt.
_CARRY_DOUBT = 0.5
_SHIFT_MEMORY_S = 10.0
_TINY = 1e-9

_DRAWS = np.random.default_rng(7).integers(0, _COARSE[0] * _COARSE[1], (2, _PAIRS))


@dataclass(frozen=True)
class Carry:
    """The inverse depth of the frame before was `gain` times that of this frame plus `offset`.

    `certain` is false where the frames differ by more than that, as under large motion.
    """

    gain: float = 1.0
    offset: float = 0.0
    certain: bool = False


@dataclass(frozen=True)
class Bias:
    """By how much all inverse depths of a reference err together, as standard deviations.

    `factor`: by what they are multiplied. `shift`: what is added, 1/m.
    """

    factor: float = 0.0
    shift: float = 0.0


@dataclass(frozen=True, eq=False)
class Belief:
    """`mean` (scale, shift) with its `covariance` (2, 2), for one frame."""

    mean: Floats
    covariance: Floats

    def predicted(
        self, carry: Carry, elapsed_s: float, median: float, drift: float, shift_sigma: float
    ) -> Belief:
        """Carry the belief to a frame `elapsed_s` later, whose inverse depth has this `median`.

        `drift`: log change of the level per square root of a second. The shift slowly returns
        to 0 with the deviation `shift_sigma`, as long as nothing holds it.
        """
        gain, offset = (carry.gain, carry.offset) if carry.certain else (1.0, 0.0)
        turn = np.array([[gain, 0.0], [offset, 1.0]])
        mean, covariance = turn @ self.mean, turn @ self.covariance @ turn.T
        # From here on in (level, shift), where level is the inverse depth of the median.
        to_level = np.array([[median, 1.0], [0.0, 1.0]])
        before = float(to_level[0] @ self.mean)
        level, shift = (float(value) for value in to_level @ mean)
        change = drift**2 * elapsed_s
        if not carry.certain:
            change += _UNKNOWN_CHANGE**2
        elif level > 0.0 and before > 0.0:
            change += (_CARRY_DOUBT * np.log(level / before)) ** 2
        kept = float(np.exp(-elapsed_s / _SHIFT_MEMORY_S))
        shrink = np.diag([1.0, kept])
        aged = shrink @ (to_level @ covariance @ to_level.T) @ shrink
        aged += np.diag([change * level**2, (1.0 - kept**2) * shift_sigma**2])
        back = np.array([[1.0 / median, -1.0 / median], [0.0, 1.0]])
        return Belief(back @ np.array([level, kept * shift]), back @ aged @ back.T)

    def updated(self, fit: AffineFit) -> Belief:
        """Add what the samples of a fit know."""
        covariance = inverse_2x2(inverse_2x2(self.covariance) + fit.information)
        return Belief(self.mean + covariance @ _pull(self, fit), covariance)

    def doubting_shift(self, inverse_depth: float) -> Belief:
        """Let the line turn about its depth at `inverse_depth`, as far as to a shift of 0."""
        turn = float(self.mean[1]) * np.array([-1.0 / inverse_depth, 1.0])
        return replace(self, covariance=self.covariance + np.outer(turn, turn))

    def without(self, bias: Bias, shift_sigma: float) -> Belief:
        """Split the shift into the network's, `shift_sigma`, and the bias, and leave that out.

        The bias stays from frame to frame, so that it is left out of what is told, and not of what
        is filtered.
        """
        kept = shift_sigma**2 / (shift_sigma**2 + bias.shift**2)
        turn = np.diag([1.0, kept])
        mean = turn @ self.mean
        covariance = turn @ self.covariance @ turn + np.diag([0.0, kept * bias.shift**2])
        return Belief(mean, covariance + bias.factor**2 * np.outer(mean, mean))

    def relative_sigma(self, inverse_depth: float) -> float:
        """Return the standard deviation of 1 / z over 1 / z at one inverse depth."""
        at = np.array([inverse_depth, 1.0])
        inverse = float(at @ self.mean)
        variance = max(float(at @ self.covariance @ at), 0.0)
        return float(np.sqrt(variance)) / inverse if inverse > 0.0 else float('inf')


def normalized_innovation(belief: Belief, fit: AffineFit) -> float:
    """Return the squared distance between belief and samples in standard deviations (NIS).

    In information form r' (J + J P J)^+ r with r = J (x - belief), which needs no inverse of the
    information J of a wall or a beam.
    """
    scale = 1.0 / np.sqrt(np.maximum(np.diag(fit.information), 1e-300))
    both = np.outer(scale, scale)
    known = fit.information * both
    spread = known + known @ (belief.covariance / both) @ known
    pull = _pull(belief, fit) * scale
    if not (np.isfinite(spread).all() and np.isfinite(pull).all()):
        return float('inf')
    # Nothing pulls where nothing is known: a trace of certainty there changes no result.
    spread += _TINY * np.trace(spread) * np.eye(2)
    return float(pull @ inverse_2x2(spread) @ pull)


def coarse(inverse_depth: FloatImage) -> Floats:
    """Return the inverse depth on a grid of 32x24, flat."""
    return np.asarray(
        cv2.resize(inverse_depth, _COARSE, interpolation=cv2.INTER_AREA), float
    ).ravel()


def carry_between(before: Floats, now: Floats) -> Carry:
    """Regress the coarse inverse depth of the frame before on that of this frame.

    A line through medians of slopes starts it, so that a new object may fill a quarter of the
    image; the slope is the ratio of spreads, because noise in `now` must not flatten it.
    """
    valid = np.isfinite(before) & np.isfinite(now) & (before != 0.0) & (now != 0.0)
    first, second = _DRAWS
    apart = now[first] - now[second]
    spread = float(np.std(now[valid])) if valid.any() else 0.0
    use = valid[first] & valid[second] & (np.abs(apart) > 0.5 * spread)
    if not spread > 0.0 or np.count_nonzero(use) < _PAIRS // 16:
        return Carry()
    gain = middle((before[first] - before[second])[use] / apart[use])
    x, y = now[valid], before[valid]
    offset = middle(y - gain * x)
    extent = float(np.std(y))
    weight, seen = np.ones(x.size), 0.0
    for _ in range(_CARRY_ITERATIONS):
        error = y - gain * x - offset
        seen = max(MAD * middle(np.abs(error)), 1e-6 * extent)
        weight = np.square(np.maximum(1.0 - np.square(error / (TUKEY * seen)), 0.0))
        total = max(float(weight.sum()), 1e-12)
        mean_x, mean_y = float(weight @ x) / total, float(weight @ y) / total
        var_x, var_y = float(weight @ (x - mean_x) ** 2), float(weight @ (y - mean_y) ** 2)
        if not (var_x > 0.0 and var_y > 0.0 and gain > 0.0):
            return Carry()
        gain = float(np.sqrt(var_y / var_x))
        offset = mean_y - gain * mean_x
    steady = seen < _CARRY_RESIDUAL * extent
    certain = steady and float(np.mean(weight > 0.0)) > _CARRY_INLIERS
    return Carry(gain, offset, certain)


def _pull(belief: Belief, fit: AffineFit) -> Floats:
    return np.asarray(fit.information @ (fit.state - belief.mean) - fit.gradient)
