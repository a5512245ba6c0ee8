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

    `by_pose`: the part of sigma that the poses cause. `chi2`: per degree of freedom. `each`: the
    inverse depth by each view alone, NaN where that is unsure.
    """

    inverse: Floats
    sigma: Floats
    by_pose: Floats
    chi2: Floats
    each: list[Floats]


def triangulated(rays: Floats, motions: Sequence[Motion], focal_px: float) -> Triangulation:
    """Return the depths of `rays` (TRACKS, 3) that fit all `motions` best (Gauss-Newton)."""
    count = np.sum([motion.good for motion in motions], axis=0)
    weights = [motion.good * np.float64(focal_px / motion.px) ** 2 for motion in motions]
    with np.errstate(all='ignore'):
        inverse, information, chi2, parts = _solved(rays, motions, weights)
        each, by_pose = [], np.zeros(len(rays))
        turns = [np.cross(axis, rays) for axis in np.eye(3)]
        for motion, weight, part in zip(motions, weights, parts, strict=True):
            sure = weight * part.own * np.square(inverse) > 1.0 / _SURE**2
            each.append(np.where(sure, inverse + part.toward / part.own, np.nan))
            rotation = motion.then_from_now.rotation
            moves = [turn @ rotation.T for turn in turns]
            moves += [inverse[:, None] * axis for axis in motion.side]
            pulls = [(part.slope * (m[:, :2] - part.seen * m[:, 2:])).sum(axis=1) for m in moves]
            pull = np.nan_to_num(np.stack(pulls, 1) * (weight / information)[:, None] / part.z)
            # Views share the current pose: their doubts add up instead of averaging out.
            variance = ((pull @ motion.covariance) * pull).sum(axis=1)
            by_pose += np.sqrt(np.maximum(variance, 0.0))
        # The current pixel is in all views: their errors are half alike.
        alike = 0.5 * (1.0 + np.maximum(count, 1))
        sigma = np.sqrt(alike / information + np.square(by_pose))
        sigma = np.hypot(sigma, _TRACK_SHARE * inverse)
    known = np.where((count > 0) & (information > 1e-9), inverse, np.nan)
    return Triangulation(known, sigma, by_pose, chi2 / np.maximum(2 * count - 1, 1), each)


@dataclass(frozen=True, eq=False)
class _Part:
    """One view at the solution: pixels seen, depth z, slope of the pixel over inverse depth.

    `own` and `toward` are its part of the normal equation.
    """

    seen: Floats
    z: Floats
    slope: Floats
    own: Floats
    toward: Floats


def _solved(
    rays: Floats, motions: Sequence[Motion], weights: Sequence[Floats]
) -> tuple[Floats, Floats, Floats, list[_Part]]:
    """Return inverse depth, information and chi2 (TRACKS,), and the part of each view."""
    turned = [rays @ motion.then_from_now.rotation.T for motion in motions]
    inverse = np.zeros(len(rays))
    for _ in range(_ITERATIONS):
        information, pull = np.full(len(rays), 1e-12), np.zeros(len(rays))
        chi2, parts = np.zeros(len(rays)), []
        for motion, at, weight in zip(motions, turned, weights, strict=True):
            shift = motion.then_from_now.translation
            point = at + inverse[:, None] * shift
            z = np.where(point[:, 2] > _LEAST_Z, point[:, 2], np.nan)[:, None]
            seen = point[:, :2] / z
            slope = np.nan_to_num((shift[:2] - seen * shift[2]) / z)
            error = np.nan_to_num(motion.rays[:, :2] - seen)
            own, toward = np.square(slope).sum(axis=1), (slope * error).sum(axis=1)
            information += weight * own
            pull += weight * toward
            chi2 += weight * np.square(error).sum(axis=1)
            parts.append(_Part(seen, z, slope, own, toward))
        inverse = np.clip(inverse + pull / information, -0.2, _GREATEST)
    return inverse, information, chi2, parts
