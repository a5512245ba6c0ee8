"""A planar scan seen by the camera: for navigation that wants a LaserScan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.geometry.cloud import depth_edges
from depth_anything_ros.core.geometry.projection import rays_of
from depth_anything_ros.core.geometry.scans import PlanarScan
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera, FloatImage

__all__ = ['VirtualScanConfig', 'scan_from_depth']

_Array = npt.NDArray[Any]

# A few pixels without depth hide nothing that matters; more of them may.
_LEAST_SEEN = 0.95


@dataclass(frozen=True)
class VirtualScanConfig:
    """The band of heights that counts, and the beams.

    Heights are along z of a gravity-aligned frame whose z = 0 is the floor. The lower bound
    rises by `floor_slope_rad` with distance, since a small error of the tilt lifts far floor.
    """

    min_height_m: float = 0.1
    max_height_m: float = 1.5
    floor_slope_rad: float = math.radians(1.0)
    min_range_m: float = 0.2
    max_range_m: float = 10.0
    step_rad: float = math.radians(0.5)
    edge_share: float = 0.08
    stride: int = 2


def scan_from_depth(
    depth_m: FloatImage,
    camera: Camera,
    level_from_camera: Transform,
    config: VirtualScanConfig,
) -> PlanarScan:
    """Return the nearest obstacle of each bearing about the origin of the level frame.

    `depth_m` float32 (H, W) is metres along Z. By REP 117: a range where something stands in the
    band, +inf where the floor is seen all the way to `max_range_m` and nothing stands on it,
    NaN where neither is known. So a camera that does not see the floor at that distance never
    says free; and free is said of what stands on the floor, as what hangs above the picture
    cannot be seen.
    """
    grid = rays_of(camera, config.stride)
    depth = depth_m[:: config.stride, :: config.stride]
    directions = _turned(level_from_camera, grid)
    eye = level_from_camera.translation.astype(np.float32)
    with np.errstate(invalid='ignore'):
        x, y, z = (eye[i] + directions[i] * depth for i in range(3))
    reach, bearing = np.hypot(x, y), np.arctan2(y, x)
    floor = config.min_height_m + reach * math.tan(config.floor_slope_rad)
    flying = depth_edges(depth_m, config.edge_share, config.stride)
    standing = (z >= floor) & (z <= config.max_height_m) & ~flying
    standing &= (reach >= config.min_range_m) & (reach <= config.max_range_m)
    # Lower than the floor can be is a ledge, or an error: no proof of anything to drive on.
    passed = (np.abs(z) < floor) | ((reach > config.max_range_m) & (z >= -floor))
    first, count = _bearings(directions, config.step_rad)
    ranges = np.full(count, np.inf, np.float32)
    beams = np.rint((bearing[standing] - first) / config.step_rad).astype(np.int64)
    inside = (beams >= 0) & (beams < count)
    np.minimum.at(ranges, beams[inside], reach[standing][inside])
    free = _free(directions, eye, passed, first, count, config)
    ranges[np.isinf(ranges) & ~free] = np.nan
    return PlanarScan(ranges, first, config.step_rad, config.min_range_m, config.max_range_m)


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
    config: VirtualScanConfig,
) -> npt.NDArray[np.bool_]:
    """Mark the beams (count,) along which floor is seen up to the greatest range.

    Whatever stands on the floor within range hides the floor behind its foot. So every ray that
    would meet the floor within range has to have done so, and some have to meet it at the end.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = np.where(directions[2] < 0.0, -eye[2] / directions[2], np.inf)
        x, y = (eye[i] + directions[i] * depth for i in range(2))
        reach = np.hypot(x, y)
        needed = reach <= config.max_range_m
        beams = np.rint((np.arctan2(y, x) - first) / config.step_rad)
        needed &= (beams >= 0) & (beams < count)
    chosen = beams[needed].astype(np.int64)
    wanted = np.bincount(chosen, minlength=count)
    seen = np.bincount(chosen, passed[needed].astype(np.float64), minlength=count)
    end = np.zeros(count)
    np.maximum.at(end, chosen, reach[needed])
    # The last row of rays that still meet the floor may end somewhat short of the full range.
    return np.asarray((end >= 0.9 * config.max_range_m) & (seen >= _LEAST_SEEN * wanted))
