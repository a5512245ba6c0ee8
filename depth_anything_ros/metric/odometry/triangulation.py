"""Inverse depths of tracks from several views, with what they owe to the doubt of the poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.core.types import Floats
from depth_anything_ros.metric.odometry.motion import Motion

__all__ = ['Triangulation', 'triangulated']

_ITERATIONS = 4
_GREATEST = 20.0
_LEAST_Z = 0.05
# Relative error of inverse depth: patches stretch and slip along edges.
_TRACK_SHARE = 0.025
# A view knows a depth by itself within this relative sigma.
_SURE = 0.15


@dataclass(frozen=True, eq=False)
class Triangulation:
    """By track (TRACKS,): inverse depth along Z in 1/m, NaN where unknown, and its sigma.

    `by_pose`: the part of sigma that the poses cause. `chi2`: per degree of freedom. `each` (n,
    TRACKS): the inverse depth by each of n views alone, NaN where that is unsure.
    """

    inverse: Floats
    sigma: Floats
    by_pose: Floats
    chi2: Floats
    each: Floats


def triangulated(rays: Floats, motions: Sequence[Motion], focal_px: float) -> Triangulation:
    """Return the depths of `rays` (TRACKS, 3) that fit all `motions` best (Gauss-Newton)."""
    good = np.array([motion.good for motion in motions])
    count = good.sum(axis=0)
    weight = good * np.array([[focal_px / motion.px] for motion in motions]) ** 2
    with np.errstate(all='ignore'):
        inverse, information, chi2, parts = _solved(rays, motions, weight)
        sure = weight * parts.own * np.square(inverse) > 1.0 / _SURE**2
        each = np.where(sure, inverse + parts.toward / parts.own, np.nan)
        by_pose = np.zeros(len(rays))
        share = np.nan_to_num(weight / information / parts.z)
        for motion, pull, part in zip(motions, parts.pull, share, strict=True):
            # By a turn, and by a change of the direction.
            turn = _crossed(rays, pull @ motion.then_from_now.rotation)
            aside = inverse[:, None] * (pull @ motion.side.T)
            slope = np.nan_to_num(np.concatenate([turn, aside], axis=1)) * part[:, None]
            # Views share the current pose: their doubts add up instead of averaging out.
            by_pose += np.sqrt(np.maximum(((slope @ motion.covariance) * slope).sum(axis=1), 0.0))
        # The current pixel is in all views: their errors are half alike.
        alike = 0.5 * (1.0 + np.maximum(count, 1))
        sigma = np.sqrt(alike / information + np.square(by_pose))
        sigma = np.hypot(sigma, _TRACK_SHARE * inverse)
    known = np.where((count > 0) & (information > 1e-9), inverse, np.nan)
    return Triangulation(known, sigma, by_pose, chi2 / np.maximum(2 * count - 1, 1), each)


@dataclass(frozen=True, eq=False)
class _Parts:
    """The views (n,) at the solution, by track: depth z (n, TRACKS), and what moves the pixel.

    `own` and `toward` (n, TRACKS) are their parts of the normal equation. `pull` (n, TRACKS, 3):
    slope of the pixel over inverse depth times that over the point, times z.
    """

    z: Floats
    own: Floats
    toward: Floats
    pull: Floats


def _solved(
    rays: Floats, motions: Sequence[Motion], weight: Floats
) -> tuple[Floats, Floats, Floats, _Parts]:
    """Return inverse depth, information and chi2 (TRACKS,), and the parts of the views."""
    ways = [motion.then_from_now for motion in motions]
    turned = np.array([rays @ way.rotation.T for way in ways])
    shift = np.array([way.translation for way in ways])[:, None]
    then = np.array([motion.rays[:, :2] for motion in motions])
    inverse = np.zeros(len(rays))
    for _ in range(_ITERATIONS):
        point = turned + inverse[:, None] * shift
        z = point[..., 2]
        z = np.where(z > _LEAST_Z, z, np.nan)[..., None]
        seen = point[..., :2] / z
        slope = np.nan_to_num((shift[..., :2] - seen * shift[..., 2:]) / z)
        error = np.nan_to_num(then - seen)
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
