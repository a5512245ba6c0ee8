"""Metric scale: from inverse depth and a reference to depth in metres, or a reason why not.

Model: 1 / z = scale * q + shift, with the inverse depth q of the network. A fit to the samples of
one frame (`affine_search`, `robust_fit`) updates the state predicted from the frames before
(`scale_filter`), or is refused for a named reason. Equations: docs/metric_depth.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from depth_anything_ros.core.timing import interval_s, time_went_back
from depth_anything_ros.core.types import FloatImage, Floats, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment.affine_search import fit_affine
from depth_anything_ros.metric.alignment.config import AlignmentConfig
from depth_anything_ros.metric.alignment.depth_and_sigma import Alignment
from depth_anything_ros.metric.alignment.depth_ordering import DepthOrdering, ordered_share
from depth_anything_ros.metric.alignment.fit_warnings import lower_confidence_bound, warning_about
from depth_anything_ros.metric.alignment.ground_plane import on_ground_plane, shared_error
from depth_anything_ros.metric.alignment.held_out import HeldOutError
from depth_anything_ros.metric.alignment.local_error import observed_error
from depth_anything_ros.metric.alignment.refinement import refine
from depth_anything_ros.metric.alignment.robust_fit import (
    AffineFit,
    Prior,
    ShiftPrior,
    upper_median,
)
from depth_anything_ros.metric.alignment.sample_gate import (
    GatedSamples,
    InverseDepthStats,
    gate,
    inverse_depth_stats,
)
from depth_anything_ros.metric.alignment.scale_filter import (
    Bias,
    ScaleState,
    coarse,
    fit_frame_map,
    normalized_innovation,
)

__all__ = ['ScaleAligner']

_JUMP_NIS = 13.8
"""Chi-square of two degrees of freedom at 0.1 %."""
_SETTLED_NIS = 4.6
"""The same at 10 %, after a jump: the state widens while it waits, and must not drift along."""
_JUMPS_BEFORE_RESET = 3
_INLIER_RATIO = 0.4
"""Least share of samples that fit, with 97.5 % confidence."""
_UNKNOWN_FROM = 2.0
"""Relative sigma from which a depth is unknown, in those allowed at a typical pixel."""
# After so long without a frame the state is dropped.
_FORGET_S = 5.0
# Standard deviation of a shift above 0 without a sky, as a share of a typical inverse depth.
_NO_SKY_SHARE = 0.5
# Bounds of the standard deviation of the shift, as shares of the level.
_SHIFT_BOUNDS = (0.02, 0.13)


class ScaleAligner:
    """Estimates scale and shift of one camera. Not for several threads at once."""

    def __init__(self, config: AlignmentConfig | None = None) -> None:
        self.config = config or AlignmentConfig()
        self._held_out = HeldOutError()
        self._ordering = DepthOrdering()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._ordering.clear()
        self._restart()

    def _restart(self) -> None:
        """Forget all but the depth ordering, which belongs to network and sensor, not to time."""
        self._forget_scale()
        self._grid: Floats | None = None
        self._newest_ns = 0
        self._near_at = 0.0
        self._shift_sigma, self._bias = 1.0, Bias()
        self._held_out.clear()

    def _forget_scale(self) -> None:
        self._state: ScaleState | None = None
        self._accepted: Alignment | None = None
        self._jumps = 0

    def current(self, stamp_ns: int) -> Alignment | None:
        """Return the alignment that may be used at `stamp_ns`, or None.

        It belongs to the last frame that was given to `update` or `follow`.
        """
        last, state = self._accepted, self._state
        if last is None or state is None:
            return None
        if abs(stamp_ns - last.stamp_ns) > self.config.hold_s * 1e9:
            return None
        unbiased = state.without(self._bias, self._shift_sigma)
        if unbiased.relative_sigma(self._near_at) > self.config.max_relative_sigma:
            return None
        return _with_state(last, unbiased, self.config)

    def follow(self, inverse_depth: FloatImage, stamp_ns: int) -> None:
        """Predict scale and shift of a frame without a reference.

        They belong to the network's output of one frame: a new object in view changes both.
        """
        with np.errstate(all='ignore'):
            self._follow(inverse_depth, stamp_ns)

    def update(
        self, inverse_depth: FloatImage, samples: ReferenceSamples, stamp_ns: int
    ) -> Alignment:
        """Return the alignment of the frame at `stamp_ns` with its reference.

        `inverse_depth`: float32 (H, W), larger = nearer. `samples`: in pixels of that image. The
        result is that of this frame, accepted or not; `current` may still return an earlier one.
        """
        # Infinities and NaN lead to a refusal.
        with np.errstate(all='ignore'):
            stats = self._follow(inverse_depth, stamp_ns)
            if stats is None:
                return self._refused('degenerate_network', stamp_ns)
            return self._update(inverse_depth, samples, stamp_ns, stats)

    def _follow(self, inverse_depth: FloatImage, stamp_ns: int) -> InverseDepthStats | None:
        elapsed_s = interval_s(self._newest_ns, stamp_ns)
        if elapsed_s > _FORGET_S or time_went_back(self._newest_ns, stamp_ns):
            self._restart()
        stats = inverse_depth_stats(inverse_depth)
        if stats is None:
            return None
        grid = coarse(inverse_depth)
        if self._state is not None and self._grid is not None:
            frame_map = fit_frame_map(self._grid, grid)
            scale = float(self._state.mean[0]) * frame_map.gain
            level = float(self._state.mean @ np.array([_level_at(stats), 1.0]))
            of_shift = _shift_prior(scale, level, stats, self.config)
            self._shift_sigma = float(of_shift.sigma(self._state.mean[1]))
            self._state = self._state.predict(
                frame_map,
                elapsed_s,
                _level_at(stats),
                self.config.drift,
                of_shift.widened(self._bias.shift),
            )
        self._grid, self._newest_ns = grid, max(stamp_ns, self._newest_ns)
        self._near_at = stats.p75
        return stats

    def _update(
        self,
        inverse_depth: FloatImage,
        samples: ReferenceSamples,
        stamp_ns: int,
        stats: InverseDepthStats,
    ) -> Alignment:
        config = self.config
        gated, bias = self._gated(inverse_depth, samples, stats)
        if reason := self._refusal(gated, stats):
            return self._refused(reason, stamp_ns)
        level = 1.0 / upper_median(gated.depth_m)
        scale = level / upper_median(np.abs(gated.inverse_depth))
        of_shift = _shift_prior(scale, level, stats, config)
        prior = Prior(of_shift.widened(bias.shift), config.network_sigma)
        predicted = None if self._state is None else self._state.mean
        fit, reason = fit_affine(gated, stats, prior, predicted)
        if fit is None:
            return self._refused(reason, stamp_ns)
        found = self._described(fit, stamp_ns, gated)
        if not self._fits(fit, found, stats):
            return replace(found, reason='poor_fit')
        state = self._updated(fit, samples.repeated)
        if state is None:
            return replace(found, reason='jump')
        shift_sigma = float(of_shift.sigma(state.mean[1]))
        unbiased = state.without(bias, shift_sigma)
        if unbiased.relative_sigma(stats.p75) > config.max_relative_sigma:
            return replace(found, reason='unobservable_slope')
        warning = warning_about(gated, fit, prior, config.rules.visible)
        if warning and stats.sky:
            # Without a sky a shift of 0 is no likelier than others.
            state = state.with_shift_doubted(_level_at(stats))
            unbiased = state.without(bias, shift_sigma)
        elif not (warning or self._ordering.known):
            warning = 'polarity_assumed'
        self._state, self._jumps = state, 0
        self._shift_sigma, self._bias = shift_sigma, bias
        found = replace(_with_state(found, unbiased, config), accepted=True, warning=warning)
        self._accepted = self._with_local_errors(found, fit, prior, gated, state, stats)
        return self._accepted

    def _refusal(self, gated: GatedSamples, stats: InverseDepthStats) -> str:
        """Return why samples cannot be fitted, '' where they can."""
        if gated.count < self.config.rules.samples:
            on_ground = self.config.kind is ReferenceKind.GROUND_PLANE
            return 'no_floor' if on_ground else 'too_few_samples'
        if self._ordering.contradicted(ordered_share(gated, stats)):
            self._forget_scale()
            return 'contradicts_network'
        observed = self._ordering.known or self.config.trust_polarity
        return '' if observed else 'polarity_unobserved'

    def _with_local_errors(
        self,
        found: Alignment,
        fit: AffineFit,
        prior: Prior,
        gated: GatedSamples,
        state: ScaleState,
        stats: InverseDepthStats,
    ) -> Alignment:
        """Return the alignment with the network's errors over the image, and the held-out one."""
        config, seen = self.config, fit.at_state(state.mean, gated)
        refinement = local = ends = None
        if config.refines:
            ends = _ends(fit, stats, config)
            refinement = refine(
                gated, seen, state.covariance, _ends(seen, stats, config), config.unseen_sigma
            )
        else:
            local = observed_error(gated, seen, config.rules.trust, config.unseen_sigma)
        held_out = self._held_out.measure(gated, fit, prior, ends)
        return replace(found, held_out_abs_rel=held_out, local=local, refinement=refinement)

    def _gated(
        self, inverse_depth: FloatImage, samples: ReferenceSamples, stats: InverseDepthStats
    ) -> tuple[GatedSamples, Bias]:
        """Return the samples to be fitted, and the error that they share."""
        gated = gate(inverse_depth, samples, stats, self.config)
        if self.config.kind is not ReferenceKind.GROUND_PLANE or not gated.count:
            return gated, Bias(factor=self.config.scale_sigma)
        return gated.chosen(on_ground_plane(inverse_depth, gated)), shared_error(gated)

    def _fits(self, fit: AffineFit, found: Alignment, stats: InverseDepthStats) -> bool:
        """Return whether the samples agree with each other, and the far end has a depth."""
        rules = self.config.rules
        return bool(
            found.residual < self.config.max_residual
            and fit.scale > 0.0
            and fit.scale * stats.p1 + fit.shift > 0.0
            and found.inliers >= rules.inliers
            and lower_confidence_bound(found.inlier_ratio, fit.weight.size) >= _INLIER_RATIO
        )

    def _updated(self, fit: AffineFit, repeated: bool) -> ScaleState | None:
        """Return the state after this fit; None where the fit contradicts the one predicted.

        What is `repeated` contradicts it once, however often it is seen.
        """
        if self._state is None:
            return ScaleState(fit.state, fit.covariance)
        limit = _SETTLED_NIS if self._jumps else _JUMP_NIS
        if normalized_innovation(self._state, fit) < limit:
            return self._state.update(fit)
        self._jumps += not repeated
        if self._jumps >= _JUMPS_BEFORE_RESET:
            self.reset()
        return None

    def _described(self, fit: AffineFit, stamp_ns: int, gated: GatedSamples) -> Alignment:
        return replace(
            self._refused('', stamp_ns),
            scale=fit.scale,
            shift=fit.shift,
            inliers=fit.inliers,
            inlier_ratio=fit.inliers / fit.weight.size,
            residual=fit.residual,
            samples=gated,
            inlier=fit.weight > 0.0,
        )

    def _refused(self, reason: str, stamp_ns: int) -> Alignment:
        config = self.config
        return Alignment(False, reason, stamp_ns, config.min_depth_m, config.max_depth_m)


def _with_state(alignment: Alignment, state: ScaleState, config: AlignmentConfig) -> Alignment:
    """Return the alignment with scale, shift and covariance of `state`.

    Depths that those leave too unsure are unknown.
    """
    scale, shift = (float(value) for value in state.mean)
    farthest_m = state.farthest(_UNKNOWN_FROM * config.max_relative_sigma)
    return replace(
        alignment,
        scale=scale,
        shift=shift,
        covariance=state.covariance,
        max_depth_m=min(config.max_depth_m, farthest_m),
    )


def _shift_prior(
    scale: float, typical: float, stats: InverseDepthStats, config: AlignmentConfig
) -> ShiftPrior:
    """Return what is known of the shift before any sample; `typical`: an inverse depth, 1/m.

    Below 0 it is bounded by the far end, whose inverse depth is positive. Above 0 a sky bounds
    it, which is 0 and infinitely far, and so does a network that was trained in metres. Without
    them nothing ties 0 to a depth: indoors it lies just behind the far wall.
    """
    level = abs(scale) * _level_at(stats)
    low, high = _SHIFT_BOUNDS
    share = config.shift_share * abs(scale) * stats.p1
    sigma = float(np.clip(share, low * level, high * level))
    if stats.sky or config.zero_is_infinite:
        return ShiftPrior(sigma, sigma)
    return ShiftPrior(sigma, max(sigma, _NO_SKY_SHARE * abs(typical)))


def _level_at(stats: InverseDepthStats) -> float:
    """Return the inverse depth that represents the frame, above 0 whatever the offset."""
    return max(abs(stats.median), 0.1 * stats.spread)


def _ends(
    fit: AffineFit, stats: InverseDepthStats, config: AlignmentConfig
) -> tuple[float, float]:
    """Return the least and the greatest inverse depth of the image within the depth range, 1/m."""
    far, near = fit.scale * np.array([stats.least, stats.greatest]) + fit.shift
    least, greatest = 1.0 / config.max_depth_m, 1.0 / config.min_depth_m
    return float(np.clip(far, least, greatest)), float(np.clip(near, least, greatest))
