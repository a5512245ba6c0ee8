from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.core.geometry.planar_scan import PlanarScan
from depth_anything_ros.core.geometry.projection import rays_of
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import ScanParameters
from depth_anything_ros.core.types import Camera
from depth_anything_ros.metric.virtual_scan import scan_from_depth
from lab.world.camera import depth_image, view_of
from lab.world.geometry import Rays, rotated
from lab.world.rig import OPTICAL
from lab.world.scene import cast
from lab.world.world import World

CAMERA = Camera(320, 240, 240.0, 240.0, 159.5, 119.5)
HEIGHT = 0.8
CONFIG = ScanParameters(max_range_m=6.0)


def mounted(pitch: float = 0.1, x: float = 0.0, y: float = 0.0) -> Transform:
    """level_from_camera of a camera that looks down by `pitch`."""
    c, s = math.cos(pitch), math.sin(pitch)
    down = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return Transform(down @ OPTICAL, np.array([x, y, HEIGHT]))


def scene(
    level: Transform, boxes: list[tuple[float, float, float, float, float]], floor: bool = True
) -> np.ndarray:
    """Depth of a floor and of boards across x: (x, y from, y to, z from, z to) in metres."""
    x, y = rays_of(CAMERA)
    rays = np.stack([x, y, np.ones_like(x)]).reshape(3, -1).astype(np.float64)
    turned, eye = level.rotation @ rays, level.translation
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = np.where((turned[2] < 0) & floor, -eye[2] / turned[2], np.inf)
        for at, left, right, low, high in boxes:
            there = (at - eye[0]) / turned[0]
            across, up = eye[1] + there * turned[1], eye[2] + there * turned[2]
            hit = (there > 0) & (across >= left) & (across <= right) & (up >= low) & (up <= high)
            depth = np.where(hit & (there < depth), there, depth)
    return np.where(depth < 40.0, depth, np.nan).reshape(240, 320).astype(np.float32)


def inner(scan: PlanarScan) -> np.ndarray:
    """Ranges without the outermost beams, parts of which lie beside the picture."""
    return scan.ranges_m[3:-3]


def split(scan: PlanarScan, y_from: float, y_to: float, x: float) -> tuple[np.ndarray, np.ndarray]:
    """Ranges of the beams well inside a board at x, and of those well beside it."""
    bearing = scan.bearings_rad
    inside = (bearing > math.atan2(y_from, x) + 0.02) & (bearing < math.atan2(y_to, x) - 0.02)
    beside = (bearing < math.atan2(y_from, x) - 0.02) | (bearing > math.atan2(y_to, x) + 0.02)
    return inside, beside


@pytest.mark.parametrize('camera_at', [(0.0, 0.0), (0.2, 0.1)])
def test_a_board_on_an_open_floor(camera_at: tuple[float, float]) -> None:
    level = mounted(0.1, *camera_at)
    scan = scan_from_depth(scene(level, [(3.0, -0.5, 0.7, 0.0, 0.6)]), CAMERA, level, CONFIG)
    inside, beside = split(scan, -0.5, 0.7, 3.0)
    expected = 3.0 / np.cos(scan.bearings_rad[inside])
    assert np.allclose(scan.ranges_m[inside], expected, rtol=0.01)
    # Beside it the floor is seen as far as the scan reaches.
    free = np.isposinf(scan.ranges_m[beside])
    assert free.mean() > 0.85
    # Its shadow, seen from a camera beside the origin, is not known.
    assert np.isnan(scan.ranges_m[beside][~free]).all()


def test_an_open_floor_is_free() -> None:
    level = mounted()
    scan = scan_from_depth(scene(level, []), CAMERA, level, CONFIG)
    assert np.isposinf(inner(scan)).all()
    edge = math.atan(159.5 / 240.0)
    assert scan.bearings_rad.min() == pytest.approx(-edge, abs=0.05)
    assert scan.ranges_m.size == pytest.approx(2 * edge / CONFIG.step_rad, abs=8)


def test_the_floor_is_removed_under_an_error_of_the_tilt() -> None:
    depth = scene(mounted(0.1), [])
    for error in (-0.015, 0.015):
        scan = scan_from_depth(depth, CAMERA, mounted(0.1 + error), CONFIG)
        assert not np.isfinite(scan.ranges_m).any()


def test_what_lies_outside_the_band_is_no_obstacle() -> None:
    level = mounted()
    lintel = scene(level, [(3.0, -9.0, 9.0, 1.6, 3.0)])
    assert np.isposinf(inner(scan_from_depth(lintel, CAMERA, level, CONFIG))).all()
    table = scene(level, [(3.0, -9.0, 9.0, 0.7, 0.75)])
    assert np.isfinite(inner(scan_from_depth(table, CAMERA, level, CONFIG))).all()


def test_free_is_said_only_where_floor_is_seen() -> None:
    level = mounted()
    nothing = np.full((240, 320), np.nan, np.float32)
    assert np.isnan(scan_from_depth(nothing, CAMERA, level, CONFIG).ranges_m).all()
    # No floor: a hole, a cliff, or an abyss.
    cliff = scene(level, [], floor=False)
    assert np.isnan(scan_from_depth(cliff, CAMERA, level, CONFIG).ranges_m).all()
    # A patch of floor that the network does not know.
    patch = scene(level, [])
    patch[130:200, 150:170] = np.nan
    unknown = np.isnan(inner(scan_from_depth(patch, CAMERA, level, CONFIG)))
    assert 5 < unknown.sum() < 15
    # A camera that looks down sees 1.5 m of it, not six.
    steep = mounted(0.9)
    ranges = scan_from_depth(scene(steep, []), CAMERA, steep, CONFIG).ranges_m
    assert np.isnan(ranges).all()


def test_obstacles_beyond_reach_leave_it_free() -> None:
    level = mounted()
    scan = scan_from_depth(scene(level, [(9.0, -20.0, 20.0, 0.0, 2.0)]), CAMERA, level, CONFIG)
    assert np.isposinf(inner(scan)).all()


def test_what_is_unsure_is_neither_obstacle_nor_free() -> None:
    level, gated = mounted(), replace(CONFIG, max_relative_sigma=0.1)
    # A narrow board before a wide one: what is unsure does not give way to what is behind it.
    depth = scene(level, [(2.0, -0.3, 0.3, 0.0, 0.6), (3.0, -1.0, 1.0, 0.0, 0.6)])
    sigma = 0.05 * depth
    sure = scan_from_depth(depth, CAMERA, level, CONFIG)
    same = scan_from_depth(depth, CAMERA, level, gated, sigma)
    assert np.array_equal(sure.ranges_m, same.ranges_m, equal_nan=True)
    before, _ = split(sure, -0.3, 0.3, 2.0)
    sigma[depth < 2.2] *= 4.0
    found = scan_from_depth(depth, CAMERA, level, gated, sigma).ranges_m
    assert np.isnan(found[before]).all()
    wide, beside = split(sure, -1.0, 1.0, 3.0)
    _, clear = split(sure, -0.3, 0.3, 2.0)
    assert np.array_equal(found[wide & clear], sure.ranges_m[wide & clear])
    # Nor is ground free that is not sure; without the gate nothing changes.
    assert np.isposinf(sure.ranges_m[beside]).mean() > 0.85
    unsure = scan_from_depth(depth, CAMERA, level, gated, depth)
    assert np.isnan(unsure.ranges_m).all()
    off = scan_from_depth(depth, CAMERA, level, CONFIG, depth)
    assert np.array_equal(off.ranges_m, sure.ranges_m, equal_nan=True)


@pytest.mark.parametrize('seed', [0, 2, 4])
def test_it_agrees_with_a_scanner_in_the_same_room(seed: int) -> None:
    world, time_s, height = World('room', seed), 1.0, 0.4
    now = world.scene.at(time_s)
    depth = depth_image(view_of(now, world.camera, world.camera_pose(time_s)))
    level = world.base(time_s).inverse() @ world.camera_pose(time_s)
    config = ScanParameters(
        min_height_m=height - 0.05,
        max_height_m=height + 0.05,
        floor_slope_rad=0.0,
        max_range_m=8.0,
    )
    scan = scan_from_depth(depth, world.camera, level, config)
    bearing = scan.bearings_rad
    beams = np.stack([np.cos(bearing), np.sin(bearing), np.zeros_like(bearing)])
    origin = world.base(time_s).translation + np.array([0.0, 0.0, height])
    true = cast(now, Rays(origin, rotated(world.base(time_s).rotation, beams))).distance_m
    both = np.isfinite(scan.ranges_m)
    assert both.mean() > 0.5
    error = np.abs(scan.ranges_m[both] / true[both] - 1.0)
    # Furniture is seen at its edges by one and not by the other.
    assert np.median(error) < 0.02
    assert (error < 0.05).mean() > 0.8
    # Free is never said where the scanner meets something.
    said_free = np.isposinf(scan.ranges_m)
    assert (true[said_free] > 0.95 * config.max_range_m).all()
