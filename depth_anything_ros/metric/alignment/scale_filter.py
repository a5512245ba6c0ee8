"""Scale and shift over time: a Kalman filter with a frame-to-frame affine map as its model.

The state belongs to the network's output of one frame. `ScaleState.predict` transfers it to the
next frame by the affine map between both outputs, `normalized_innovation` tests a fit against it
and `ScaleState.update` adds the fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from depth_anything_ros.core.types import FloatImage, Floats
from depth_anything_ros.metric.alignment.robust_fit import (
    TUKEY,
    AffineFit,
    ShiftPrior,
    inverse_2x2,
    robust_sigma,
    tukey,
    upper_median,
)

__all__ = ['Bias', 'FrameMap', 'ScaleState', 'coarse', 'fit_frame_map', 'normalized_innovation']


_COARSE = (32, 24)
_PAIRS = 512
_MAP_ITERATIONS = 4
# A map is certain with a residual below this share of the spread, and this share of inliers.
_MAP_RESIDUAL = 0.03
_MAP_INLIERS = 0.6
# Change of the level (log) that is assumed where no map is certain.
_UNKNOWN_CHANGE = 0.05
# A wall that comes nearer looks like a change of gain: half of the change of level is uncertain.
_MAP_DOUBT = 0.5
_SHIFT_MEMORY_S = 10.0
# Where nothing ties the shift to 0, its steps are those of this share of its deviation.
_STEP_SHARE = 0.25
_TINY = 1e-9

_DRAWS = np.random.default_rng(7).integers(0, _COARSE[0] * _COARSE[1], (2, _PAIRS))


@dataclass(frozen=True)
class FrameMap:
    """The affine map from this frame to the one before: q_before = `gain` * q + `offset`.

    Where the frames differ by more than such a map, as under large motion, it is not `certain`
    and changes nothing.
    """

    gain: float = 1.0
    offset: float = 0.0
    certain: bool = False


@dataclass(frozen=True)
class Bias:
    """Standard deviations of the errors that all samples of a reference share.

    `factor`: relative, of the factor on their inverse depths. `shift`: what is added, 1/m.
    """

    factor: float = 0.0
    shift: float = 0.0


@dataclass(frozen=True, eq=False)
class ScaleState:
    """`mean` (scale, shift) with its `covariance` (2, 2), for the network's output of one frame.

    Units: 1/m per unit of the network, and 1/m.
    """

    mean: Floats
    covariance: Floats

    def predict(
        self,
        frame_map: FrameMap,
        elapsed_s: float,
        median: float,
        drift: float,
        prior: ShiftPrior,
    ) -> ScaleState:
        """Return the state of a frame `elapsed_s` later, whose inverse depth has this `median`.

        `drift`: log change of the level per square root of a second. The shift is a first-order
        Gauss-Markov process about 0 with the deviation of the `prior`. A wide one lengthens its
        memory instead of its steps.
        """
        transfer = np.array([[frame_map.gain, 0.0], [frame_map.offset, 1.0]])
        mean, covariance = transfer @ self.mean, transfer @ self.covariance @ transfer.T
        # From here on in (level, shift), where level is the inverse depth of the median.
        to_level = np.array([[median, 1.0], [0.0, 1.0]])
        before = float(to_level[0] @ self.mean)
        level, shift = (float(value) for value in to_level @ mean)
        change = drift**2 * elapsed_s
        if not frame_map.certain:
            change += _UNKNOWN_CHANGE**2
        elif level > 0.0 and before > 0.0:
            change += (_MAP_DOUBT * np.log(level / before)) ** 2
        shift_sigma = float(prior.sigma(shift))
        steps = max(prior.below, _STEP_SHARE * shift_sigma)
        memory_s = _SHIFT_MEMORY_S * (shift_sigma / steps) ** 2
        kept = float(np.exp(-elapsed_s / memory_s))
        shrink = np.diag([1.0, kept])
        aged = shrink @ (to_level @ covariance @ to_level.T) @ shrink
        aged += np.diag([change * level**2, (1.0 - kept**2) * shift_sigma**2])
        back = np.array([[1.0 / median, -1.0 / median], [0.0, 1.0]])
        return ScaleState(back @ np.array([level, kept * shift]), back @ aged @ back.T)

    def update(self, fit: AffineFit) -> ScaleState:
        """Return the state with the information of the samples of a fit added."""
        covariance = inverse_2x2(inverse_2x2(self.covariance) + fit.information)
        return ScaleState(self.mean + covariance @ _innovation(self, fit), covariance)

    def with_shift_doubted(self, inverse_depth: float) -> ScaleState:
        """Return the state with a shift of 0 within one deviation, at the same mean.

        The line turns about its value at the network's `inverse_depth`.
        """
        turn = float(self.mean[1]) * np.array([-1.0 / inverse_depth, 1.0])
        return replace(self, covariance=self.covariance + np.outer(turn, turn))

    def without(self, bias: Bias, shift_sigma: float) -> ScaleState:
        """Return the state with the bias of the reference removed, for publishing.

        The shift is split between the network, of deviation `shift_sigma`, and the bias. The bias
        is the same in every frame, so that the filter keeps it.
        """
        kept = shift_sigma**2 / (shift_sigma**2 + bias.shift**2)
        turn = np.diag([1.0, kept])
        mean = turn @ self.mean
        covariance = turn @ self.covariance @ turn + np.diag([0.0, kept * bias.shift**2])
        return ScaleState(mean, covariance + bias.factor**2 * np.outer(mean, mean))

    def relative_sigma(self, inverse_depth: float) -> float:
        """Return the standard deviation of 1 / z over 1 / z at one inverse depth."""
        at = np.array([inverse_depth, 1.0])
        inverse = float(at @ self.mean)
        variance = max(float(at @ self.covariance @ at), 0.0)
        return float(np.sqrt(variance)) / inverse if inverse > 0.0 else float('inf')

    def farthest(self, relative_sigma: float) -> float:
        """Return the depth in metres up to which this state leaves no greater relative sigma."""
        scale, shift = (float(value) for value in self.mean)
        # The variance of ln(1 / z) at depth z is v' P v z^2 with v = ((1 / z - shift) / scale, 1).
        slope, level = np.array([1.0, 0.0]) / scale, np.array([-shift / scale, 1.0])
        constant = float(slope @ self.covariance @ slope) - relative_sigma**2
        linear = 2.0 * float(slope @ self.covariance @ level)
        square = max(float(level @ self.covariance @ level), 1e-12)
        root = linear**2 - 4.0 * square * constant
        return (float(np.sqrt(root)) - linear) / (2.0 * square) if root > 0.0 else 0.0


def normalized_innovation(state: ScaleState, fit: AffineFit) -> float:
    """Return the normalised innovation squared (NIS) of a fit, against the predicted state.

    In information form r' (J + J P J)^+ r with r = J (x - state), which does not need the inverse
    of the information J: that of a wall is singular.
    """
    scale = 1.0 / np.sqrt(np.maximum(np.diag(fit.information), 1e-300))
    both = np.outer(scale, scale)
    known = fit.information * both
    spread = known + known @ (state.covariance / both) @ known
    pull = _innovation(state, fit) * scale
    if not (np.isfinite(spread).all() and np.isfinite(pull).all()):
        return float('inf')
    # Regularised: r is 0 in directions without information.
    spread += _TINY * np.trace(spread) * np.eye(2)
    return float(pull @ inverse_2x2(spread) @ pull)


def coarse(inverse_depth: FloatImage) -> Floats:
    """Return the inverse depth on a grid of 32x24, flat."""
    grid = cv2.resize(inverse_depth, _COARSE, interpolation=cv2.INTER_AREA)
    return np.asarray(grid, np.float64).ravel()


def fit_frame_map(before: Floats, now: Floats) -> FrameMap:
    """Return the affine map from the coarse inverse depth (n,) of this frame to that before.

    It starts from the median of slopes between random pairs (Theil-Sen), so that a new object may
    fill a quarter of the image; the slope is the ratio of spreads (reduced major axis), because
    noise in `now` must not flatten it.
    """
    valid = np.isfinite(before) & np.isfinite(now) & (before != 0.0) & (now != 0.0)
    first, second = _DRAWS
    apart = now[first] - now[second]
    spread = float(np.std(now[valid])) if valid.any() else 0.0
    use = valid[first] & valid[second] & (np.abs(apart) > 0.5 * spread)
    if not spread > 0.0 or np.count_nonzero(use) < _PAIRS // 16:
        return FrameMap()
    gain = upper_median((before[first] - before[second])[use] / apart[use])
    x, y = now[valid], before[valid]
    offset = upper_median(y - gain * x)
    extent = float(np.std(y))
    weight, seen = np.ones(x.size), 0.0
    for _ in range(_MAP_ITERATIONS):
        error = y - gain * x - offset
        seen = max(robust_sigma(np.abs(error)), 1e-6 * extent)
        weight = tukey(error, TUKEY * seen)
        total = max(float(weight.sum()), 1e-12)
        mean_x, mean_y = float(weight @ x) / total, float(weight @ y) / total
        var_x, var_y = float(weight @ (x - mean_x) ** 2), float(weight @ (y - mean_y) ** 2)
        if not (var_x > 0.0 and var_y > 0.0 and gain > 0.0):
            return FrameMap()
        gain = float(np.sqrt(var_y / var_x))
        offset = mean_y - gain * mean_x
    steady = seen < _MAP_RESIDUAL * extent
    certain = steady and float(np.mean(weight > 0.0)) > _MAP_INLIERS
    return FrameMap(gain, offset, certain=True) if certain else FrameMap()


def _innovation(state: ScaleState, fit: AffineFit) -> Floats:
    """Return J (x - state) - g (2,), with the gradient g that is left after the refit."""
    return np.asarray(fit.information @ (fit.state - state.mean) - fit.gradient)
