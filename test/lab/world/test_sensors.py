from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera, FloatImage
from lab.world.camera import depth_image, project, view_of
from lab.world.geometry import Array, moved
from lab.world.sensors import SENSORS, RangeNoise, edges, stretched
from lab.world.world import World

DISTORTION = (-0.28, 0.09, 0.0012, -0.0008, -0.012)
TIME_S = 1.7
WORLDS = [
    pytest.param(World(family, seed, distortion=distortion), id=f'{family}-{name}')
    for family, seed in (('room', 4), ('road', 1))
    for name, distortion in (('pinhole', ()), ('distorted', DISTORTION))
]


def truth(world: World) -> FloatImage:
    scene, pose = world.scene.at(TIME_S), world.camera_pose(TIME_S)
    return depth_image(view_of(scene, world.camera, pose))


def compared(world: World, points: Array, pose: Transform) -> tuple[Array, Array]:
    """Project sensor points (3, n) into the picture: measured z and true z there.

    Left out are pixels at depth edges and points that the camera cannot see.
    """
    camera: Camera = world.camera
    depth = truth(world)
    lens = world.camera_pose(TIME_S).inverse() @ pose
    local = moved(lens, np.asarray(points, np.float64))
    # Points far outside the view would fold back in through the distortion polynomial.
    wide = np.hypot(local[0], local[1]) < 0.95 * local[2]
    u, v, z = project(camera, local[:, wide & (local[2] > 0.1)])
    column, row = np.rint(u).astype(int), np.rint(v).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    column, row, z = column[inside], row[inside], z[inside]
    there = depth[row, column]
    hidden = z > 1.15 * there
    usable = ~edges(depth)[row, column] & np.isfinite(there) & ~hidden
    return z[usable], there[usable]


def agree(z: Array, there: Array, sigma: Array, least: int) -> None:
    """Errors in units of the noise, plus what half a pixel on a slanted surface costs."""
    assert z.size > least
    slack = 0.006 * there
    error = (z - there) / np.hypot(sigma, slack)
    assert abs(float(np.median(error))) < 0.35
    assert float(np.mean(np.abs(error) < 3.0)) > 0.95
    assert float(np.mean(np.abs(error) < 1.0)) > 0.6


@pytest.mark.parametrize('world', WORLDS)
def test_lidar_agrees_with_true_depth(world: World) -> None:
    cloud = world.cloud(TIME_S)
    points = np.stack([cloud['x'], cloud['y'], cloud['z']])
    z, there = compared(world, points, world.base(TIME_S) @ world.rig.lidar.pose())
    agree(z, there, np.full(z.shape, 0.015), 800)


@pytest.mark.parametrize('world', WORLDS)
def test_depth_camera_agrees_with_true_depth(world: World) -> None:
    sensor = world.sensors.depth_camera
    image = world.depth(TIME_S)
    row, column = np.nonzero(image)
    depth = image[row, column] / 1000.0
    x = (column - sensor.camera.cx) / sensor.camera.fx
    y = (row - sensor.camera.cy) / sensor.camera.fy
    points = depth * np.stack([x, y, np.ones_like(x)])
    z, there = compared(world, points, world.depth_camera_pose(TIME_S))
    agree(z, there, sensor.noise.sigma(z), 5000)


@pytest.mark.parametrize('world', WORLDS)
def test_scan_agrees_with_true_depth(world: World) -> None:
    scanner = world.sensors.scanner
    ranges = world.scan(TIME_S)
    known = np.isfinite(ranges)
    points = scanner.directions()[:, known] * ranges[known]
    z, there = compared(world, points, world.base(TIME_S) @ world.rig.scan.pose())
    agree(z, there, np.full(z.shape, scanner.noise.floor_m), 30)


def test_lidar_rings_rise_and_points_keep_to_the_range() -> None:
    world = World('room', 2)
    lidar, cloud = world.sensors.lidar, world.cloud(0.5)
    xyz = np.stack([cloud['x'], cloud['y'], cloud['z']]).astype(np.float64)
    reach = np.linalg.norm(xyz, axis=0)
    assert reach.min() >= lidar.min_m - 1e-4
    assert reach.max() <= lidar.max_m + 1e-4
    elevation = np.arcsin(xyz[2] / reach)
    expected = np.linspace(lidar.low_rad, lidar.high_rad, lidar.rings)
    assert np.allclose(elevation, expected[cloud['ring']], atol=1e-5)
    assert set(np.unique(cloud['ring'])) == set(range(lidar.rings))
    assert 0.0 <= cloud['intensity'].min() <= cloud['intensity'].max() <= 255.0


def test_depth_camera_keeps_its_limits_and_loses_edges() -> None:
    world = World('room', 0)
    sensor = world.sensors.depth_camera
    image = world.depth(TIME_S)
    assert image.dtype == np.uint16
    known = image[image > 0]
    assert known.min() >= 1000 * sensor.min_m
    assert known.max() <= 1000 * sensor.max_m
    clean = depth_image(
        view_of(world.scene.at(TIME_S), sensor.camera, world.depth_camera_pose(TIME_S))
    )
    edge = edges(clean)
    assert 0.35 < (image[edge] == 0).mean() < 0.7
    plain = ~edge & (clean < 0.9 * sensor.max_m) & (clean > 1.1 * sensor.min_m)
    assert (image[plain] == 0).mean() < 0.03


def test_scan_says_free_where_nothing_is() -> None:
    ranges = World('road', 1).scan(TIME_S)
    assert np.isposinf(ranges).any()
    assert not np.isneginf(ranges).any()


def test_noise_has_the_size_it_claims() -> None:
    random = np.random.default_rng(0)
    noise = RangeNoise(0.01, 0.002, outliers=0.1, dropouts=0.05)
    ranges = np.full(200_000, 5.0)
    drawn = noise.applied(ranges, random)
    lost = np.isnan(drawn)
    assert lost.mean() == pytest.approx(0.05, abs=0.005)
    error = drawn[~lost] - 5.0
    wrong = np.abs(error) > 1.0
    assert wrong.mean() == pytest.approx(0.1, abs=0.005)
    assert error[~wrong].std() == pytest.approx(0.01 + 0.002 * 25, rel=0.02)


def test_noise_leaves_the_sky_alone() -> None:
    quiet = RangeNoise(0.01, 0.002)
    assert np.isposinf(quiet.applied(np.full(9, np.inf), np.random.default_rng(0))).all()


def test_outliers_are_long_twice_as_often_as_short() -> None:
    drawn = stretched(np.ones(30_000), 1.0, np.random.default_rng(0))
    assert (drawn > 1.0).mean() == pytest.approx(2 / 3, abs=0.01)
    assert drawn.min() >= 0.3
    assert drawn.max() <= 3.0


def test_both_families_have_sensors() -> None:
    assert SENSORS['road'].lidar.max_m > SENSORS['room'].lidar.max_m
