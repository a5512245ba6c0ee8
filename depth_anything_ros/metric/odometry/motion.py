"""The motion between two views: odometry's, with rotation and direction refined on the tracks.

Model: ray_then ~ rotation @ ray_now + inverse_depth * translation. The epipolar constraint does
not see the length of the translation, which stays odometry's. Odometry and extrinsics err in the
rotation and the direction by a degree or more, which would bend all depths; 100 tracks know
better.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import OdometryParameters
from depth_anything_ros.core.types import Floats, Mask
from depth_anything_ros.metric.alignment.robust_fit import MAD, middle

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

    `velocities` (n, 3): those of the camera in the last intervals, m/s in odometry's frame. Rays
    of tracks that were lost since are NaN too. `known` (TRACKS,): their inverse depths in this
    view, by the lengths that are believed, NaN where unknown.
    """

    stamp_ns: int
    velocities: Floats
    odom_from_camera: Transform
    rays: Floats
    known: Floats

    def then_from(self, now: View) -> Transform:
        """Return the motion from the camera of `now` to the one of this view, by odometry."""
        return self.odom_from_camera.inverse() @ now.odom_from_camera

    def both(self, now: View) -> Mask:
        """Return which tracks are seen in both views."""
        return np.asarray(np.isfinite(self.rays[:, 0]) & np.isfinite(now.rays[:, 0]))


@dataclass(frozen=True, eq=False)
class Motion:
    """The refined motion between an earlier view and this one.

    `rays` (TRACKS, 3) and `known` (TRACKS,) of the earlier view, `elapsed_s` ago. `good`
    (TRACKS,): those that obey the epipolar constraint, within `px` pixels. `covariance` (5, 5):
    of a turn (3) and of translations along the rows of `side` (2, 3), metres. `deviation`: of
    rotation and direction from odometry's, in standard deviations.
    """

    then_from_now: Transform
    elapsed_s: float
    rays: Floats
    known: Floats
    good: Mask
    inlier_share: float
    px: float
    covariance: Floats
    side: Floats
    deviation: float


def angle_of(rotation: Floats) -> float:
    """Return the angle of a rotation (3, 3) in radians."""
    return float(np.linalg.norm(cv2.Rodrigues(rotation)[0]))


def parallax(rotation: Floats, then: Floats, now: Floats) -> Floats:
    """Return what the rays (..., n, 3) move (..., n), rotation (..., 3, 3) taken out."""
    turned = now @ np.swapaxes(rotation, -1, -2)
    moved = turned[..., :2] / turned[..., 2:] - then[..., :2]
    return np.asarray(np.hypot(moved[..., 0], moved[..., 1]))


def upper_quartile(values: Floats) -> Floats:
    """Return what a quarter of the values (..., n) exceed, of those that are not NaN."""
    count = np.count_nonzero(np.isfinite(values), axis=-1)
    # NaN come last.
    least = np.asarray(0.75 * count, np.int64)[..., None]
    return np.take_along_axis(np.sort(values, axis=-1), least, axis=-1)[..., 0]


@dataclass(frozen=True, eq=False)
class _Tracks:
    """Rays (n, 3) of the same tracks in two views, and the products of their components (n, 9)."""

    now: Floats
    then: Floats
    products: Floats

    @classmethod
    def seen(cls, now: Floats, then: Floats) -> _Tracks:
        return cls(now, then, (then[:, :, None] * now[:, None]).reshape(-1, 9))

    def chosen(self, mask: Mask) -> _Tracks:
        return _Tracks(self.now[mask], self.then[mask], self.products[mask])

    def errors(
        self, rotation: Floats, unit: Floats, side: Floats, focal_px: float
    ) -> tuple[Floats, Floats]:
        """Return the error (n,) of then' E now as pixels in one image, and its slopes (n, 5).

        Those are over a turn of the camera and over a change of the direction along `side`.
        Sampson's distance: Hartley and Zisserman, Multiple View Geometry, eq. 11.9.
        """
        essential = _cross(unit) @ rotation
        by_turn = essential @ _AXES
        by_aim = [_cross(side[0]) @ rotation, _cross(side[1]) @ rotation]
        values = self.products @ np.array([essential, *by_turn, *by_aim]).reshape(-1, 9).T
        lines = np.concatenate([self.now @ essential[:2].T, self.then @ essential[:, :2]], axis=1)
        norm = np.sqrt(0.5 * np.square(lines).sum(axis=1))
        values *= (focal_px / np.maximum(norm, 1e-9))[:, None]
        return values[:, 0], values[:, 1:]


def refined_motion(then: View, now: View, noise: OdometryParameters, focal_px: float) -> Motion:
    """Return the most probable motion: reweighted Gauss-Newton on the epipolar errors."""
    both = np.flatnonzero(then.both(now))
    odometry = then.then_from(now)
    moved = parallax(odometry.rotation, then.rays[both], now.rays[both])
    moving = moved > _MOVING * upper_quartile(moved)
    tracks = _Tracks.seen(now.rays[both], then.rays[both])
    used = tracks.chosen(moving)
    length = float(np.linalg.norm(odometry.translation))
    rotation, unit = odometry.rotation, odometry.translation / length
    elapsed_s = (now.stamp_ns - then.stamp_ns) * 1e-9
    turn_sigma = np.radians(noise.turn_sigma_deg) * np.sqrt(1.0 + elapsed_s / _TURN_S)
    aim_sigma = np.hypot(DIRECTION_SIGMA, noise.position_sigma_m / length)
    prior = np.array([1.0 / turn_sigma**2] * 3 + [1.0 / aim_sigma**2] * 2)
    for _ in range(_ITERATIONS):
        side = _across(unit)
        error, rows = used.errors(rotation, unit, side, focal_px)
        px = _spread(error)
        weight = min(1.0, _WORTH / len(error)) / px**2 / (1.0 + np.square(error / (2.0 * px)))
        off = np.concatenate(
            [
                cv2.Rodrigues(odometry.rotation.T @ rotation)[0][:, 0],
                side @ (unit - odometry.translation / length),
            ]
        )
        information = (rows * weight[:, None]).T @ rows + np.diag(prior)
        step = -np.linalg.solve(information, rows.T @ (weight * error) + prior * off)
        rotation = rotation @ cv2.Rodrigues(step[:3])[0]
        unit = unit + side.T @ step[3:]
        unit = unit / np.linalg.norm(unit)
        if np.abs(step).max() < _CONVERGED:
            break
    error, _ = tracks.errors(rotation, unit, side, focal_px)
    px = float(np.hypot(_spread(error[moving]), _CREEP_PX * np.sqrt(elapsed_s)))
    fits = np.abs(error) < _INLIER * px
    good = np.zeros(len(now.rays), np.bool_)
    good[both] = fits
    turned = angle_of(odometry.rotation.T @ rotation) / turn_sigma
    aimed = float(np.linalg.norm(unit - odometry.translation / length)) / aim_sigma
    return Motion(
        Transform(rotation, unit * length),
        elapsed_s,
        then.rays,
        then.known,
        good,
        float(np.mean(fits[moving])),
        px,
        np.asarray(np.linalg.inv(information)),
        length * side,
        float(max(turned, aimed)),
    )


def _spread(error: Floats) -> float:
    return max(MAD * middle(np.abs(error)), LEAST_PX)


def _across(unit: Floats) -> Floats:
    """Return two unit vectors (2, 3) at right angles to `unit` and to each other."""
    cross = _cross(unit)
    first = cross[:, np.argmin(np.abs(unit))]
    first = first / np.linalg.norm(first)
    return np.stack([first, cross @ first])


def _cross(x: Floats) -> Floats:
    a, b, c = x.tolist()
    return np.array([[0.0, -c, b], [c, 0.0, -a], [-b, a, 0.0]])


_AXES = np.array([_cross(axis) for axis in np.eye(3)])
