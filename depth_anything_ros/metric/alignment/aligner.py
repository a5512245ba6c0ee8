"""Metric scale: from inverse depth and a reference to depth in metres, or a reason why not.

Model: 1 / z = scale * q + shift, with the inverse depth q of the network. A fit to the samples of
one frame (`affine_search`, `robust_fit`) is fused with what is known from the frames before
(`belief`); it is refused for a named reason rather than published in doubt.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.timing import interval_s, time_went_back
from depth_anything_ros.core.types import FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment.affine_search import fit_affine
from depth_anything_ros.metric.alignment.aligned_depth import Alignment
from depth_anything_ros.metric.alignment.config import AlignmentConfig
from depth_anything_ros.metric.alignment.depth_ordering import DepthOrdering, rising_share
from depth_anything_ros.metric.alignment.doubts import lower_confidence_bound, warning_about
from depth_anything_ros.metric.alignment.ground_plane import common_error, on_ground_plane
from depth_anything_ros.metric.alignment.held_out import HeldOutError
from depth_anything_ros.metric.alignment.local_error import observed_error
from depth_anything_ros.metric.alignment.range_readings import RangeReadings
from depth_anything_ros.metric.alignment.refinement import corrected_error
from depth_anything_ros.metric.alignment.robust_fit import AffineFit, Prior, middle
from depth_anything_ros.metric.alignment.sample_gate import (
    GatedSamples,
    InverseDepthStats,
    gate,
    inverse_depth_stats,
)
from depth_anything_ros.metric.alignment.scale_filter import (
    Belief,
    Bias,
    Carry,
    carry_between,
    coarse,
    normalized_innovation,
)
from depth_anything_ros.metric.alignment.texture import texture_variance

__all__ = ['ScaleAligner']

_JUMP_NIS = 13.8
"""Chi-square of two degrees of freedom at 0.1 %."""
_SETTLED_NIS = 4.6
"""The same at 10 %, after a jump: the belief widens while it waits, and must not drift along."""
_JUMPS_BEFORE_RESET = 3
# Without a reference for so long, what was known tells nothing about the frame now.
_FORGET_S = 5.0
# Bounds of the deviation of the shift, in inverse depths of the median pixel.
_SHIFT_BOUNDS = (0.02, 0.13)


class ScaleAligner:
    """Keeps scale and shift of one camera. Not for several threads at once."""

    def __init__(self, config: AlignmentConfig | None = None) -> None:
        self.config = config or AlignmentConfig()
        self._readings = RangeReadings()
        self._held_out = HeldOutError()
        self._ordering = DepthOrdering(self.config.rules.ordering)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._ordering.clear()
        self._start_anew()

    def _start_anew(self) -> None:
        """Forget all but the polarity, which belongs to network and sensor and not to time."""
        self._forget_scale()
        self._grid: npt.NDArray[np.float64] | None = None
        self._newest_ns = 0
        self._level_at = 0.0
        self._shift_sigma, self._bias = 1.0, Bias()
        self._readings.clear()
        self._held_out.clear()

    def _forget_scale(self) -> None:
        self._belief: Belief | None = None
        self._accepted: Alignment | None = None
        self._jumps = 0

    def current(self, stamp_ns: int) -> Alignment | None:
        """Return the alignment that may be used at `stamp_ns`, or None.

        It fits the last frame that was given to `update` or `follow`.
        """
        last, belief = self._accepted, self._belief
        if last is None or belief is None:
            return None
        if abs(stamp_ns - last.stamp_ns) > self.config.hold_s * 1e9:
            return None
        unbiased = belief.without(self._bias, self._shift_sigma)
        if unbiased.relative_sigma(self._level_at) > self.config.max_relative_sigma:
            return None
        return _by(unbiased, last)

    def follow(self, inverse_depth: FloatImage, stamp_ns: int) -> None:
        """Carry scale and shift over to a frame without a reference.

        They belong to the network and the frame: a new object in view changes both.
        """
        with np.errstate(all='ignore'):
            self._follow(inverse_depth, stamp_ns)

    def update(
        self, inverse_depth: FloatImage, samples: ReferenceSamples, stamp_ns: int
    ) -> Alignment:
        """Align the frame at `stamp_ns` with its reference.

        `inverse_depth`: float32 (H, W), larger = nearer. `samples`: in pixels of that image. The
        result is that of this frame, accepted or not; `current` may still hold an earlier one.
        """
        # Whatever is infinite or NaN ends in a reason.
        with np.errstate(all='ignore'):
            stats = self._follow(inverse_depth, stamp_ns)
            if stats is None:
                return self._refused('degenerate_network', stamp_ns)
            return self._update(inverse_depth, samples, stamp_ns, stats)

    def _follow(self, inverse_depth: FloatImage, stamp_ns: int) -> InverseDepthStats | None:
        elapsed_s = interval_s(self._newest_ns, stamp_ns)
        if elapsed_s > _FORGET_S or time_went_back(self._newest_ns, stamp_ns):
            self._start_anew()
        stats = inverse_depth_stats(inverse_depth)
        if stats is None:
            return None
        grid = coarse(inverse_depth)
        carry = Carry() if self._grid is None else carry_between(self._grid, grid)
        if self._belief is not None:
            scale = float(self._belief.mean[0]) * (carry.gain if carry.certain else 1.0)
            self._shift_sigma = _shift_sigma(scale, stats, self.config.shift_share)
            self._belief = self._belief.predicted(
                carry,
                elapsed_s,
                _level_at(stats),
                self.config.drift,
                float(np.hypot(self._shift_sigma, self._bias.shift)),
            )
        self._readings.carry(carry, stamp_ns)
        self._grid, self._newest_ns = grid, max(stamp_ns, self._newest_ns)
        self._level_at = _level_at(stats)
        return stats

    def _update(
        self,
        inverse_depth: FloatImage,
        samples: ReferenceSamples,
        stamp_ns: int,
        stats: InverseDepthStats,
    ) -> Alignment:
        config = self.config
        gated, bias = self._gated(inverse_depth, samples, stamp_ns, stats)
        if gated is None or gated.count < config.rules.samples:
            on_ground = config.kind is ReferenceKind.GROUND_PLANE
            return self._refused('no_floor' if on_ground else 'too_few_samples', stamp_ns)
        rising = rising_share(gated, stats, config.rules.ordering.informative_change)
        if self._ordering.contradicted(rising):
            self._forget_scale()
            return self._refused('contradicts_network', stamp_ns)
        if not (self._ordering.known or config.trust_polarity):
            return self._refused('polarity_unobserved', stamp_ns)
        scale = 1.0 / middle(gated.depth_m) / middle(np.abs(gated.inverse_depth))
        shift_sigma = _shift_sigma(scale, stats, config.shift_share)
        prior = Prior(float(np.hypot(shift_sigma, bias.shift)), config.network_sigma)
        believed = None if self._belief is None else self._belief.mean
        fit, reason = fit_affine(gated, stats, prior, believed)
        if fit is None:
            return self._refused(reason, stamp_ns)
        found = self._described(fit, stamp_ns)
        if not self._fits(fit, found, stats):
            return replace(found, reason='poor_fit')
        belief = self._updated(fit)
        if belief is None:
            return replace(found, reason='jump')
        unbiased = belief.without(bias, shift_sigma)
        if unbiased.relative_sigma(_level_at(stats)) > config.max_relative_sigma:
            return replace(found, reason='unobservable_slope')
        warning = warning_about(gated, fit, prior, config.rules.visible)
        if warning:
            belief = belief.doubting_shift(_level_at(stats))
            unbiased = belief.without(bias, shift_sigma)
        elif not self._ordering.known:
            warning = 'polarity_assumed'
        self._belief, self._jumps = belief, 0
        self._shift_sigma, self._bias = shift_sigma, bias
        found = replace(_by(unbiased, found), accepted=True)
        if config.refines:
            texture = texture_variance(found.metric_depth(inverse_depth), config.max_depth_m)
            gated = gated.doubting(texture[gated.v, gated.u])
        seen = fit.seen_from(belief.mean, gated)
        self._accepted = replace(
            found,
            held_out_abs_rel=self._held_out.measure(gated, fit, prior, config.refines),
            warning=warning,
            local=corrected_error(gated, seen)
            if config.refines
            else observed_error(gated, seen, config.rules.trust),
        )
        return self._accepted

    def _gated(
        self,
        inverse_depth: FloatImage,
        samples: ReferenceSamples,
        stamp_ns: int,
        stats: InverseDepthStats,
    ) -> tuple[GatedSamples | None, Bias]:
        """Return the samples to be fitted, None if none, and what they err by together."""
        if self.config.kind is ReferenceKind.RANGE:
            # Old readings alone are no news, and must not keep the alignment alive.
            if not self._readings.add(inverse_depth, samples, stamp_ns, self.config):
                return None, Bias()
            return self._readings.gathered(
                (inverse_depth.shape[0], inverse_depth.shape[1])
            ), Bias()
        gated = gate(inverse_depth, samples, stats, self.config)
        if self.config.kind is not ReferenceKind.GROUND_PLANE or not gated.count:
            return gated, Bias()
        return gated.chosen(on_ground_plane(inverse_depth, gated)), common_error(gated)

    def _fits(self, fit: AffineFit, found: Alignment, stats: InverseDepthStats) -> bool:
        """Return whether the samples agree with each other, and the far end has a depth."""
        rules = self.config.rules
        return bool(
            found.residual < self.config.max_residual
            and fit.scale > 0.0
            and fit.scale * stats.p1 + fit.shift > 0.0
            and found.inliers >= rules.inliers
            and lower_confidence_bound(found.inlier_ratio, fit.weight.size) >= rules.inlier_ratio
        )

    def _updated(self, fit: AffineFit) -> Belief | None:
        """Return the belief after this fit; None where it contradicts the one before."""
        alone = Belief(fit.state, fit.covariance)
        # Readings of a range cone overlap from frame to frame: they are not new evidence.
        if self._belief is None or self.config.kind is ReferenceKind.RANGE:
            return alone
        limit = _SETTLED_NIS if self._jumps else _JUMP_NIS
        if normalized_innovation(self._belief, fit) < limit:
            return self._belief.updated(fit)
        self._jumps += 1
        if self._jumps >= _JUMPS_BEFORE_RESET:
            self.reset()
        return None

    def _described(self, fit: AffineFit, stamp_ns: int) -> Alignment:
        return replace(
            self._refused('', stamp_ns),
            scale=fit.scale,
            shift=fit.shift,
            inliers=fit.inliers,
            inlier_ratio=fit.inliers / fit.weight.size,
            residual=fit.residual,
        )

    def _refused(self, reason: str, stamp_ns: int) -> Alignment:
        config = self.config
        return Alignment(False, reason, stamp_ns, config.min_depth_m, config.max_depth_m)


def _by(belief: Belief, alignment: Alignment) -> Alignment:
    """Return the alignment with scale and shift as believed."""
    scale, shift = (float(value) for value in belief.mean)
    return replace(alignment, scale=scale, shift=shift, covariance=belief.covariance)


def _shift_sigma(scale: float, stats: InverseDepthStats, share: float) -> float:
    """Return the deviation of the shift: a share of the inverse depth of the far end."""
    level = abs(scale) * _level_at(stats)
    low, high = _SHIFT_BOUNDS
    return float(np.clip(share * abs(scale) * stats.p1, low * level, high * level))


def _level_at(stats: InverseDepthStats) -> float:
    """Return inverse depth that stands for the frame, above 0 whatever the network's offset."""
    return max(abs(stats.median), 0.1 * stats.spread)
