"""The motion between two views: odometry's, with rotation and direction refined on the tracks.

Model: ray_then ~ rotation @ ray_now + inverse_depth * translation. The epipolar constraint does
not see the length of the translation, which stays odometry's. Odometry and extrinsics err in the
rotation and the direction by a degree or more, which would bend all depths; 100 tracks know
better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import OdometryParameters
from depth_anything_ros.core.types import Floats, Mask
from depth_anything_ros.metric.alignment.robust_fit import robust_sigma

__all__ = ['Motion', 'View', 'angle_of', 'parallax', 'refined_motion', 'upper_quartile']

DIRECTION_SIGMA = float(np.radians(1.5))
"""Of the direction of a translation, by the extrinsics and by wheels that slip sideways."""

LEAST_PX, MOST_PX = 0.25, 1.5
"""Least standard deviation of a track, and the one from which tracks disagree."""

# The rotation between views t seconds apart errs by turn_sigma * sqrt(1 + t / 0.5).
_TURN_S = 0.5
# Independent errors in all tracks: lens and picture bend neighbours alike.
_WORTH = 20.0
# Tracks creep by this in the square root of a second, even where nothing moves.
_CREEP_PX = 0.1
# The motion is refined on tracks that move by this share of what a quarter of all exceed: what
# drives ahead at one's own speed stays in place, and would turn the camera with it.
_MOVING = 0.5
_ITERATIONS = 6
_CONVERGED = 2e-4
_INLIER = 3.0


@dataclass(frozen=True, eq=False)
class View:
    """One image: rays (TRACKS, 3) of its tracks, NaN where not seen, and odometry's pose.

    `velocities` (3, 3): those of the camera in the last intervals, m/s in odometry's frame. Rays
    of tracks that were lost since are NaN too. `inverse_depth` (TRACKS,): theirs in this view,
    1/m, by the lengths that are believed, NaN where unknown.
    """

    stamp_ns: int
    velocities: Floats
    odom_from_camera: Transform
    rays: Floats
    inverse_depth: Floats

    def then_from(self, now: View) -> Transform:
        """Return the motion from the camera of `now` to the one of this view, by odometry."""
        return self.odom_from_camera.inverse() @ now.odom_from_camera

    def both(self, now: View) -> Mask:
        """Return which tracks are seen in both views."""
        return np.asarray(np.isfinite(self.rays[:, 0]) & np.isfinite(now.rays[:, 0]))


@dataclass(frozen=True, eq=False)
class Motion:
    """The refined motion between an earlier view and this one.

    `rays` (TRACKS, 3) and `inverse_depth` (TRACKS,) of the earlier view, `elapsed_s` ago. `inlier`
    (TRACKS,): those that obey the epipolar constraint, whose errors have a deviation of `px`
    pixels. `covariance` (5, 5): of a turn (3) and of translations along the rows of `side` (2, 3),
    metres. `deviation`: of rotation and direction from odometry's, in standard deviations.
    """

    then_from_now: Transform
    elapsed_s: float
    rays: Floats
    inverse_depth: Floats
    inlier: Mask
    inlier_share: float
    px: float
    covariance: Floats
    side: Floats
    deviation: float


def angle_of(rotation: Floats) -> float:
    """Return the angle of a rotation (3, 3) in radians."""
    return float(np.linalg.norm(cv2.Rodrigues(rotation)[0]))


def parallax(rotation: Floats, then: Floats, now: Floats) -> Floats:
    """Return how far the rays (..., n, 3) move, rotation (..., 3, 3) taken out.

    In focal lengths (..., n); rays have z = 1.
    """
    turned = now @ np.swapaxes(rotation, -1, -2)
    moved = turned[..., :2] / turned[..., 2:] - then[..., :2]
    return np.asarray(np.hypot(moved[..., 0], moved[..., 1]))


def upper_quartile(values: Floats) -> Floats:
    """Return what a quarter of the values (..., n) exceed, of those that are not NaN."""
    count = np.count_nonzero(np.isfinite(values), axis=-1)
    # NaN come last.
    least = np.asarray(0.75 * count, np.int64)[..., None]
    return np.take_along_axis(np.sort(values, axis=-1), least, axis=-1)[..., 0]


def refined_motion(then: View, now: View, noise: OdometryParameters, focal_px: float) -> Motion:
    """Return the most probable motion: odometry is the prior, and tracks that move refine it."""
    both = np.flatnonzero(then.both(now))
    rays_then, rays_now = then.rays[both], now.rays[both]
    odometry = then.then_from(now)
    length = math.hypot(*odometry.translation)
    given = Transform(odometry.rotation, odometry.translation / length)
    elapsed_s = (now.stamp_ns - then.stamp_ns) * 1e-9
    turn_sigma = np.radians(noise.turn_sigma_deg) * np.sqrt(1.0 + elapsed_s / _TURN_S)
    aim_sigma = np.hypot(DIRECTION_SIGMA, noise.position_sigma_m / length)
    prior = np.array([1.0 / turn_sigma**2] * 3 + [1.0 / aim_sigma**2] * 2)
    moved = parallax(odometry.rotation, rays_then, rays_now)
    moving = moved > _MOVING * upper_quartile(moved)
    products = (rays_then.T[:, None] * rays_now.T).reshape(9, -1)
    found, side, information = _most_probable(products[:, moving], given, prior, focal_px)
    error = _epipolar_errors(products, found, side, focal_px)[0]
    px = float(np.hypot(_spread(error[moving]), _CREEP_PX * np.sqrt(elapsed_s)))
    fits = np.abs(error) < _INLIER * px
    inlier = np.zeros(len(now.rays), np.bool_)
    inlier[both] = fits
    turned = angle_of(given.rotation.T @ found.rotation) / turn_sigma
    aimed = math.hypot(*(found.translation - given.translation)) / aim_sigma
    return Motion(
        Transform(found.rotation, length * found.translation),
        elapsed_s,
        then.rays,
        then.inverse_depth,
        inlier,
        float(np.mean(fits[moving])),
        px,
        np.asarray(np.linalg.inv(information)),
        length * side,
        float(max(turned, aimed)),
    )


def _most_probable(
    products: Floats, given: Transform, prior: Floats, focal_px: float
) -> tuple[Transform, Floats, Floats]:
    """Refine a motion of length 1 by reweighted Gauss-Newton on the epipolar errors.

    `products` (9, n): as for `_epipolar_errors`. `prior` (5,): the information about a turn (3)
    and about the direction (2). Return the motion, the `side` (2, 3) of its last step, and the
    information (5, 5) along turn and `side`.
    """
    rotation, unit, by_prior = given.rotation, given.translation, np.diag(prior)
    for _ in range(_ITERATIONS):
        side = _across(unit)
        found = _epipolar_errors(products, Transform(rotation, unit), side, focal_px)
        error, rows = found[0], found[1:]
        px = _spread(error)
        weight = min(1.0, _WORTH / len(error)) / px**2 / (1.0 + np.square(error / (2.0 * px)))
        turned = cv2.Rodrigues(given.rotation.T @ rotation)[0][:, 0]
        off = np.concatenate([turned, side @ (unit - given.translation)])
        information = (rows * weight) @ rows.T + by_prior
        gradient = rows @ (weight * error) + prior * off
        step = -cv2.solve(information, gradient[:, None], flags=cv2.DECOMP_CHOLESKY)[1][:, 0]
        rotation = rotation @ cv2.Rodrigues(step[:3])[0]
        unit = unit + step[3:] @ side
        unit = unit / math.hypot(*unit)
        if np.abs(step).max() < _CONVERGED:
            break
    return Transform(rotation, unit), side, information


def _epipolar_errors(products: Floats, motion: Transform, side: Floats, focal_px: float) -> Floats:
    """Return (6, n): errors then' E now, as pixels in one image, and their slopes.

    `products` (9, n): of the components of a ray then and a ray now, both with z = 1. The slopes
    are those over a turn of the camera (3) and over a change of the direction along `side` (2, 3).
    Sampson's distance: Hartley and Zisserman, Multiple View Geometry, eq. 11.9.
    """
    by_aim = (np.array([motion.translation, *side]) @ _CROSS).reshape(3, 3, 3) @ motion.rotation
    essential = by_aim[0]
    of = np.zeros((10, 3, 3))
    of[0], of[1:4], of[4:6] = essential, essential @ _CROSS.reshape(3, 3, 3), by_aim[1:]
    # The first two components of the epipolar lines E now and E' then.
    of[6, 2], of[7, 2] = essential[:2]
    of[8, :, 2], of[9, :, 2] = essential.T[:2]
    values = of.reshape(10, 9) @ products
    norm = np.sqrt(0.5 * np.square(values[6:]).sum(axis=0))
    return np.asarray(values[:6] * (focal_px / np.maximum(norm, 1e-9)))


def _spread(error: Floats) -> float:
    """Return the standard deviation of errors (n,) in pixels."""
    return max(robust_sigma(np.abs(error)), LEAST_PX)


def _across(unit: Floats) -> Floats:
    """Return two unit vectors (2, 3) at right angles to `unit` and to each other."""
    cross = (unit @ _CROSS).reshape(3, 3)
    first = cross[:, np.argmin(np.abs(unit))]
    first = first / math.hypot(*first)
    return np.array([first, cross @ first])


# x @ _CROSS is the matrix (9,) of the cross product with x.
_CROSS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0],
        [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)
