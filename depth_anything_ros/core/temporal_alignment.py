"""Temporal alignment error (TAE): does metric depth move as the camera did."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.core.geometry.projection import pixels_from_directions, rays_of
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera, FloatImage

__all__ = ['temporal_alignment_error']


def temporal_alignment_error(
    before_m: FloatImage, now_m: FloatImage, now_from_before: Transform, camera: Camera
) -> float:
    """Return the TAE of two neighbouring depth images (H, W) in metres, of one `camera`.

    The mean |warped - depth| / depth of one warped into the other by the motion of the camera,
    in both directions, where both are known; of several points in a pixel the nearest counts.
    Papers on depth of videos print the mean over all pairs in percent: Yang et al., 'Depth Any
    Video', 2024; Chen et al., 'Video Depth Anything', 2025. NaN where nothing overlaps.
    """
    ways = (before_m, now_m, now_from_before), (now_m, before_m, now_from_before.inverse())
    return float(np.mean([_one_way(*way, camera) for way in ways]))


def _one_way(depth_m: FloatImage, other_m: FloatImage, move: Transform, camera: Camera) -> float:
    known = np.isfinite(depth_m)
    x, y = rays_of(camera)[:, known]
    z = depth_m[known]
    moved_x, moved_y, moved_z = move.apply(np.stack([x * z, y * z, z], axis=1)).T
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        u, v = pixels_from_directions(moved_x / moved_z, moved_y / moved_z, camera)
    seen = (moved_z > 0) & (u > -0.5) & (v > -0.5)
    seen &= (u < camera.width - 0.5) & (v < camera.height - 0.5)
    column, row = (np.rint(each[seen]).astype(np.int64) for each in (u, v))
    warped = np.full(other_m.shape, np.inf, np.float32)
    np.minimum.at(warped, (row, column), moved_z[seen].astype(np.float32))
    both = np.isfinite(warped) & np.isfinite(other_m)
    if not both.any():
        return float('nan')
    return float(np.mean(np.abs(warped[both] - other_m[both]) / other_m[both]))
