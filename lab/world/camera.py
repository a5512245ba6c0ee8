"""Rays of a camera, the picture they see, and true depth along Z."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage
from lab.world.geometry import Array, Rays, rotated
from lab.world.render import develop, shade
from lab.world.scene import Hits, Scene, cast

__all__ = ['RayView', 'depth_image', 'pixel_directions', 'project', 'render', 'view_of']


@dataclass(frozen=True, eq=False)
class RayView:
    """One look at a scene: the rays of a camera and what they hit first.

    `along_z` (n,) turns a distance along a ray into a depth along Z.
    """

    camera: Camera
    rays: Rays
    hits: Hits
    along_z: Array


@lru_cache(maxsize=8)
def pixel_directions(camera: Camera, dtype: str = 'float32') -> Array:
    """Return the unit directions (3, height * width) of all pixels, row by row, optical frame."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    x, y = (u.ravel() - camera.cx) / camera.fx, (v.ravel() - camera.cy) / camera.fy
    if any(camera.distortion):
        x, y = _undistorted(x, y, camera.distortion)
    directions = np.stack([x, y, np.ones_like(x)])
    directions /= np.linalg.norm(directions, axis=0)
    directions = np.ascontiguousarray(directions.astype(dtype))
    directions.flags.writeable = False
    return directions


def project(camera: Camera, points: Array) -> tuple[Array, Array, Array]:
    """Project points (3, n) of the optical frame; return u, v in pixels and z in metres."""
    rotation = translation = np.zeros(3)
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])
    pixels, _ = cv2.projectPoints(
        np.ascontiguousarray(points.T, np.float64).reshape(-1, 1, 3),
        rotation,
        translation,
        matrix,
        np.array(camera.distortion or (0.0,) * 4),
    )
    flat = pixels.reshape(-1, 2)
    return flat[:, 0], flat[:, 1], points[2]


def view_of(scene: Scene, camera: Camera, pose: Transform, dtype: str = 'float32') -> RayView:
    """Cast the rays of `camera` at `pose` (map <- optical frame) into `scene`."""
    local = pixel_directions(camera, dtype)
    rays = Rays(pose.translation, rotated(pose.rotation, local))
    return RayView(camera, rays, cast(scene, rays), local[2])


def depth_image(view: RayView) -> FloatImage:
    """Return the depth along Z in metres, float32 (H, W); inf where the sky is."""
    depth = view.hits.distance_m * view.along_z
    return depth.reshape(view.camera.height, view.camera.width).astype(np.float32)


def render(scene: Scene, view: RayView, seed: int) -> BgrImage:
    """Return the picture (H, W, 3); `seed` draws its grain."""
    linear = shade(scene, view.rays, view.hits, 1.0 / view.camera.fx)
    return develop(linear, view.camera.width, view.camera.height, scene.grain, seed)


def _undistorted(x: Array, y: Array, distortion: tuple[float, ...]) -> tuple[Array, Array]:
    """Invert the plumb-bob model by fixed-point iteration, to well under 1e-6 pixels.

    Source: sensor_msgs/CameraInfo, D = (k1, k2, p1, p2, k3).
    """
    k1, k2, p1, p2, k3 = (*distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
    guess_x, guess_y = x, y
    for _ in range(60):
        square = guess_x**2 + guess_y**2
        radial = 1.0 + square * (k1 + square * (k2 + square * k3))
        cross = guess_x * guess_y
        shift_x = 2 * p1 * cross + p2 * (square + 2 * guess_x**2)
        shift_y = p1 * (square + 2 * guess_y**2) + 2 * p2 * cross
        guess_x, guess_y = (x - shift_x) / radial, (y - shift_y) / radial
    return guess_x, guess_y
