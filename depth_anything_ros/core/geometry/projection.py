"""From depth images to points and from directions to pixels, with a cached grid of rays.

Points are in the REP 103 optical frame of their camera: x right, y down, z forward, metres.
Pixel centres lie on whole numbers.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.geometry.lens import Lens
from depth_anything_ros.core.types import Camera, FloatImage

__all__ = [
    'Points',
    'directions_from_pixels',
    'lengths_of',
    'pixels_from_directions',
    'points_along',
    'rays_of',
]

Points = npt.NDArray[np.float32]
"""(N, 3) or (H, W, 3) float32: x, y, z in metres."""


@lru_cache(maxsize=16)
def _lens_of(camera: Camera) -> Lens:
    return Lens(camera.distortion_model, camera.distortion)


@lru_cache(maxsize=8)
def rays_of(camera: Camera, stride: int = 1) -> npt.NDArray[np.float32]:
    """Return x/z and y/z of every `stride`-th pixel, read-only float32 (2, h, w).

    h = ceil(height / stride), w likewise; the first pixel is the image's first. NaN where a
    distorted image shows nothing that its lens could have seen.
    """
    u, v = np.arange(0, camera.width, stride), np.arange(0, camera.height, stride)
    x, y = np.meshgrid((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy)
    rays = np.stack(_lens_of(camera).undistort(x, y)).astype(np.float32)
    rays.flags.writeable = False
    return rays


@lru_cache(maxsize=8)
def lengths_of(camera: Camera, stride: int = 1) -> FloatImage:
    """Return the distance of a point over its depth along Z for each of `rays_of`, read-only."""
    x, y = rays_of(camera, stride)
    lengths: FloatImage = np.sqrt(x * x + y * y + np.float32(1.0))
    lengths.flags.writeable = False
    return lengths


def points_along(rays: npt.NDArray[np.float32], depth: FloatImage) -> Points:
    """Return the points (h, w, 3) at `depth` (h, w) along `rays` (2, h, w) as of `rays_of`."""
    # Infinity times 0, a ray through the centre, is NaN: such a pixel has no point anyway.
    with np.errstate(invalid='ignore'):
        x, y = rays * depth
    # Interleaved by OpenCV, twice as fast as NumPy writes every third float.
    return np.asarray(cv2.merge((x, y, depth)), np.float32)


def pixels_from_directions(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], camera: Camera
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return u and v, float32 (N,), of the directions (x, y, 1); NaN where the lens ends."""
    shown_x, shown_y = _lens_of(camera).distort(x, y)
    u = shown_x * np.float32(camera.fx) + np.float32(camera.cx)
    v = shown_y * np.float32(camera.fy) + np.float32(camera.cy)
    return u, v


def directions_from_pixels(
    u: npt.NDArray[np.float64], v: npt.NDArray[np.float64], camera: Camera
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return x/z and y/z, float64 (N,), of pixels (N,); NaN where the lens shows nothing."""
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    return _lens_of(camera).undistort(x, y)
