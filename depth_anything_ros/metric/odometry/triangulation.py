"""Inverse depths of tracks from several views, with what they owe to the doubt of the poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from depth_anything_ros.core.types import Floats, Mask
from depth_anything_ros.metric.odometry.motion import Motion

__all__ = ['LEAST_USED', 'Triangulation', 'triangulated']

LEAST_USED = 2
"""Views that must agree."""

_ITERATIONS = 4
_GREATEST = 20.0
_LEAST_Z = 0.05
# Relative error of inverse depth: patches stretch and slip along edges.
_TRACK_SHARE = 0.025
# A view knows a depth by itself within this relative sigma.
_SURE = 0.15
# Depths that are kept, and the views' disagreement (log) from which none is.
_RELATIVE_SIGMA, _MOST_CHI2 = 0.15, 9.0
_LEAST_SAMPLES, _LEAST_OF_VIEW = 24, 12
_MOST_APART, _MOST_SPREAD = 0.08, 0.05
# Median share of inverse depth that the doubt of the poses may be.
_MOST_UNSURE = 0.08


@dataclass(frozen=True, eq=False)
class Triangulation:
    """By track (TRACKS,): inverse depth along Z in 1/m and its sigma, NaN where unknown.

    `by_pose`: the part of sigma that the poses cause. `chi2`: per degree of freedom. `each` (n,
    TRACKS): the inverse depth by each of n views alone, NaN where that is unsure.
    """

    inverse: Floats
    sigma: Floats
    by_pose: Floats
    chi2: Floats
    each: Floats

    @cached_property
    def kept(self) -> Mask:
        """Return which depths are sure (TRACKS,)."""
        return self._sure(self.sigma)

    @cached_property
    def refusal(self) -> str:
        """Return why none of the depths can be used, '' where those `kept` can."""
        if self.kept.sum() < _LEAST_SAMPLES:
            by_pixels = np.sqrt(np.square(self.sigma) - np.square(self.by_pose))
            fine = self._sure(by_pixels).sum() >= _LEAST_SAMPLES
            return 'pose_unsure' if fine else 'too_little_parallax'
        inverse = self.inverse[self.kept]
        with np.errstate(all='ignore'):
            ratios = [np.log(each[self.kept] / inverse) for each in self.each]
        ratios = [ratio[np.isfinite(ratio)] for ratio in ratios]
        ratios = [ratio for ratio in ratios if ratio.size >= _LEAST_OF_VIEW]
        if len(ratios) < LEAST_USED:
            return 'too_little_parallax'
        levels = [float(np.median(ratio)) for ratio in ratios]
        apart = max(float(np.median(np.abs(ratio))) for ratio in ratios)
        if apart > _MOST_APART or max(levels) - min(levels) > _MOST_SPREAD:
            return 'views_disagree'
        unsure = float(np.median(self.by_pose[self.kept] / inverse)) > _MOST_UNSURE
        return 'pose_unsure' if unsure else ''

    def _sure(self, sigma: Floats) -> Mask:
        """Return which depths are sure (TRACKS,) where their deviations are `sigma` (TRACKS,)."""
        # A comparison with NaN is false.
        with np.errstate(invalid='ignore'):
            sure = (sigma < _RELATIVE_SIGMA * self.inverse) & (self.chi2 < _MOST_CHI2)
        return np.asarray(sure)


def triangulated(rays: Floats, motions: Sequence[Motion], focal_px: float) -> Triangulation:
    """Return the depths of `rays` (TRACKS, 3) that fit all `motions` best (Gauss-Newton)."""
    inlier = np.array([motion.inlier for motion in motions])
    seen = np.flatnonzero(inlier.any(axis=0))
    inlier, rays_now = inlier[:, seen], rays[seen]
    count = inlier.sum(axis=0)
    weight = inlier * np.array([[focal_px / motion.px] for motion in motions]) ** 2
    then = np.where(inlier[..., None], [motion.rays[seen, :2] for motion in motions], 0.0)
    inverse, information, chi2, parts = _solved(rays_now, then, motions, weight)
    with np.errstate(divide='ignore', invalid='ignore'):
        sure = weight * parts.own * np.square(inverse) > 1.0 / _SURE**2
        each = np.where(sure, inverse + parts.toward / parts.own, np.nan)
    by_pose = np.zeros(len(seen))
    share = weight / information / parts.z
    for motion, pull, part in zip(motions, parts.pull, share, strict=True):
        # By a turn, and by a change of the direction.
        turn = _crossed(rays_now, pull @ motion.then_from_now.rotation)
        aside = inverse[:, None] * (pull @ motion.side.T)
        slope = np.concatenate([turn, aside], axis=1) * part[:, None]
        # Views share the current pose: their doubts add up instead of averaging out.
        by_pose += np.sqrt(np.maximum(((slope @ motion.covariance) * slope).sum(axis=1), 0.0))
    # The current pixel is in all views: their errors are half alike.
    alike = 0.5 * (1.0 + count)
    sigma = np.hypot(np.sqrt(alike / information + np.square(by_pose)), _TRACK_SHARE * inverse)
    known = np.where(information > 1e-9, inverse, np.nan)
    found = np.full((4 + len(each), len(rays)), np.nan)
    found[:, seen] = known, sigma, by_pose, chi2 / np.maximum(2 * count - 1, 1), *each
    return Triangulation(found[0], found[1], found[2], found[3], found[4:])


@dataclass(frozen=True, eq=False)
class _Parts:
    """The views (n,) at the solution, by track: depth z (n, m), and what moves the pixel.

    `own` and `toward` (n, m) are their parts of the normal equation. `pull` (n, m, 3): slope of
    the pixel over inverse depth times that over the point, times z.
    """

    z: Floats
    own: Floats
    toward: Floats
    pull: Floats


def _solved(
    rays: Floats, then: Floats, motions: Sequence[Motion], weight: Floats
) -> tuple[Floats, Floats, Floats, _Parts]:
    """Return inverse depth, information and chi2 (m,) of `rays` (m, 3), and parts of the views.

    `then` (n, m, 2): x and y of the rays of the same tracks in the views, of `weight` (n, m).
    """
    ways = [motion.then_from_now for motion in motions]
    turned = np.array([rays @ way.rotation.T for way in ways])
    shift = np.array([way.translation for way in ways])[:, None]
    inverse = np.zeros(len(rays))
    for _ in range(_ITERATIONS):
        point = turned + inverse[:, None] * shift
        # What seems to lie behind a view says nothing.
        ahead = point[..., 2:] > _LEAST_Z
        z = np.where(ahead, point[..., 2:], 1.0)
        seen = point[..., :2] / z
        slope = ahead * (shift[..., :2] - seen * shift[..., 2:]) / z
        error = ahead * (then - seen)
        own, toward = np.square(slope).sum(axis=-1), (slope * error).sum(axis=-1)
        information = 1e-12 + (weight * own).sum(axis=0)
        chi2 = (weight * np.square(error).sum(axis=-1)).sum(axis=0)
        step = (weight * toward).sum(axis=0) / information
        inverse = np.clip(inverse + step, -0.2, _GREATEST)
    pull = np.concatenate([slope, -(slope * seen).sum(axis=-1, keepdims=True)], axis=-1)
    return inverse, information, chi2, _Parts(z[..., 0], own, toward, pull)


def _crossed(a: Floats, b: Floats) -> Floats:
    """Return the cross products (n, 3) of rows; np.cross takes ten times as long."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)
