"""A planar scan from metric depth, for navigation that needs a LaserScan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.planar_scan import PlanarScan
from depth_anything_ros.core.geometry.projection import rays_of
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import ScanParameters
from depth_anything_ros.core.types import Camera, FloatImage
from depth_anything_ros.metric.cloud import depth_edges

__all__ = ['make_scan', 'scan_from_depth']

_Array = npt.NDArray[Any]

# A few pixels without depth are tolerated; more of them may hide an obstacle.
_LEAST_SEEN = 0.95
# Every so many pixels of a row and of a column are used.
_STRIDE = 2
# Relative step in depth to a neighbouring pixel beyond which a pixel lies between two surfaces.
_EDGE_SHARE = 0.08


def make_scan(
    depth_m: FloatImage,
    sigma_m: FloatImage | None,
    camera: Camera,
    level_from_camera: Transform,
    settings: ScanParameters,
) -> PlanarScan:
    """Return the nearest obstacle for each bearing in the frame with z up.

    `sigma_m` is needed where `settings.max_relative_sigma` is not 0. FrameError('no_bearings')
    where no bearing is known.
    """
    scan = scan_from_depth(depth_m, camera, level_from_camera, settings, sigma_m)
    if np.isnan(scan.ranges_m).all():
        raise FrameError(
            'no_bearings',
            'no bearing is known: neither obstacles nor ground up to scan.max_range_m are seen, '
            'or scan.max_relative_sigma takes them away',
        )
    return scan


def scan_from_depth(
    depth_m: FloatImage,
    camera: Camera,
    level_from_camera: Transform,
    settings: ScanParameters,
    sigma_m: FloatImage | None = None,
) -> PlanarScan:
    """Return the nearest obstacle of each bearing about the origin of the level frame.

    `depth_m` float32 (H, W) is metres along Z, `sigma_m` its standard deviation. The level frame
    has z up and z = 0 on the ground. By REP 117: a range where an obstacle lies in the band of
    heights, +inf where the ground is visible up to `max_range_m` without an obstacle, NaN where
    neither is known. So a camera that does not see the ground at that distance never reports a
    free bearing, and free concerns obstacles on the ground only: what hangs above the image is
    not seen. With `max_relative_sigma` a bearing is NaN as well where its nearest obstacle is
    less sure, and free only where its ground is as sure.
    """
    grid = rays_of(camera, _STRIDE)
    depth = depth_m[::_STRIDE, ::_STRIDE]
    directions = _turned(level_from_camera, grid)
    eye = level_from_camera.translation.astype(np.float32)
    with np.errstate(invalid='ignore'):
        x, y, z = (eye[i] + directions[i] * depth for i in range(3))
    reach, bearing = np.hypot(x, y), np.arctan2(y, x)
    lowest = settings.min_height_m + reach * math.tan(settings.floor_slope_rad)
    at_edge = depth_edges(depth_m, _EDGE_SHARE, _STRIDE)
    standing = (z >= lowest) & (z <= settings.max_height_m) & ~at_edge
    standing &= (reach >= settings.min_range_m) & (reach <= settings.max_range_m)
    # Lower than the ground can be is a drop or an error, not proof of ground.
    passed = (np.abs(z) < lowest) | ((reach > settings.max_range_m) & (z >= -lowest))
    first, count = _bearings(directions, settings.step_rad)

    def nearest(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        ranges = np.full(count, np.inf, np.float32)
        beams = np.rint((bearing[chosen] - first) / settings.step_rad).astype(np.int64)
        inside = (beams >= 0) & (beams < count)
        np.minimum.at(ranges, beams[inside], reach[chosen][inside])
        return ranges

    ranges = nearest(standing)
    if sigma_m is not None and settings.max_relative_sigma > 0.0:
        sure = sigma_m[::_STRIDE, ::_STRIDE] <= np.float32(settings.max_relative_sigma) * depth
        # Not the next obstacle that is sure: what lies before it would be cleared.
        ranges[nearest(standing & sure) > ranges] = np.nan
        passed &= sure
    free = _free(directions, eye, passed, first, count, settings)
    ranges[np.isinf(ranges) & ~free] = np.nan
    return PlanarScan(ranges, first, settings.step_rad, settings.min_range_m, settings.max_range_m)


def _turned(level_from_camera: Transform, grid: _Array) -> _Array:
    """Return the directions (3, h, w) of all rays in the level frame, for a depth of 1."""
    rotation = level_from_camera.rotation.astype(np.float32)
    flat = rotation[:, :2] @ grid.reshape(2, -1) + rotation[:, 2:]
    return flat.reshape(3, *grid.shape[1:])


def _bearings(directions: _Array, step_rad: float) -> tuple[float, int]:
    """Return the first bearing and the number of beams that cover the view, on whole steps."""
    bearing = np.arctan2(directions[1], directions[0])
    first = math.ceil(float(np.nanmin(bearing)) / step_rad)
    last = math.floor(float(np.nanmax(bearing)) / step_rad)
    return first * step_rad, max(0, last - first + 1)


def _free(
    directions: _Array,
    eye: _Array,
    passed: _Array,
    first: float,
    count: int,
    settings: ScanParameters,
) -> npt.NDArray[np.bool_]:
    """Return the beams (count,) along which the ground is visible up to the greatest range.

    An obstacle within range hides the ground behind it. So every ray that would meet the ground
    within range has to have done so, and some have to meet it at the end.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = np.where(directions[2] < 0.0, -eye[2] / directions[2], np.inf)
        x, y = (eye[i] + directions[i] * depth for i in range(2))
        reach = np.hypot(x, y)
        needed = reach <= settings.max_range_m
        beams = np.rint((np.arctan2(y, x) - first) / settings.step_rad)
        needed &= (beams >= 0) & (beams < count)
    chosen = beams[needed].astype(np.int64)
    wanted = np.bincount(chosen, minlength=count)
    seen = np.bincount(chosen, passed[needed].astype(np.float64), minlength=count)
    end = np.zeros(count)
    np.maximum.at(end, chosen, reach[needed])
    # The last row of rays that still meet the ground may end somewhat short of the full range.
    return np.asarray((end >= 0.9 * settings.max_range_m) & (seen >= _LEAST_SEEN * wanted))
