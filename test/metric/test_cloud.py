from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.core.geometry.projection import points_along, rays_of
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import CloudParameters
from depth_anything_ros.core.types import Camera
from depth_anything_ros.metric.cloud import (
    Cloud,
    cloud_from_depth,
    compacted,
    depth_edges,
    thinned,
)
from lab.world.rig import OPTICAL
from lab.world.world import World

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
EVERYTHING = CloudParameters(stride=1, edge_filter=0.0)


def wall(depth: float = 2.0) -> np.ndarray:
    return np.full((48, 64), depth, np.float32)


def wall_points() -> np.ndarray:
    return points_along(rays_of(CAMERA), wall())


def known(cloud: Cloud) -> np.ndarray:
    finite = np.isfinite(cloud.points)
    assert (finite.all(axis=-1) == finite.any(axis=-1)).all()
    return finite.all(axis=-1)


def test_everything_is_kept_in_its_place() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    settings = replace(EVERYTHING, stride=2)
    cloud = cloud_from_depth(wall(), CAMERA, settings, bgr=bgr, sigma_m=wall(0.1))
    assert cloud.is_organised
    assert np.array_equal(cloud.points, wall_points()[::2, ::2])
    assert cloud.bgr is not None
    assert np.array_equal(cloud.bgr, bgr[::2, ::2])
    assert cloud.sigma_m is not None
    assert cloud.sigma_m.shape == (24, 32)


def test_unknown_depth_is_nan_in_every_coordinate() -> None:
    depth = wall()
    depth[0, 0], depth[4, 4], depth[8, 8] = np.nan, np.inf, -np.inf
    unknown = np.argwhere(~known(cloud_from_depth(depth, CAMERA, EVERYTHING)))
    assert unknown.tolist() == [[0, 0], [4, 4], [8, 8]]


def test_range_is_along_the_ray() -> None:
    keep = replace(EVERYTHING, min_range_m=2.1, max_range_m=2.3)
    cloud = cloud_from_depth(wall(), CAMERA, keep)
    ranges = np.linalg.norm(wall_points(), axis=-1)
    assert np.array_equal(known(cloud), (ranges >= 2.1) & (ranges <= 2.3))


def test_height_is_in_the_level_frame() -> None:
    level = Transform(OPTICAL, np.array([0.0, 0.0, 1.0]))
    keep = replace(EVERYTHING, min_height_m=0.5, max_height_m=1.2)
    cloud = cloud_from_depth(wall(), CAMERA, keep, level_from_camera=level)
    height = 1.0 - wall_points()[..., 1]
    assert np.array_equal(known(cloud), (height >= 0.5) & (height <= 1.2))


def test_uncertain_points_go() -> None:
    sigma = wall(0.1)
    sigma[3, 3], sigma[5, 5] = 0.5, np.nan
    keep = replace(EVERYTHING, max_relative_sigma=0.1)
    cloud = cloud_from_depth(wall(), CAMERA, keep, sigma_m=sigma)
    assert np.argwhere(~known(cloud)).tolist() == [[3, 3], [5, 5]]
    off = replace(EVERYTHING, max_relative_sigma=0.0)
    assert known(cloud_from_depth(wall(), CAMERA, off, sigma_m=sigma)).all()


def test_points_that_fly_between_two_surfaces_go() -> None:
    # The network's edge: in inverse depth, a ramp of six pixels from 2 m to 5 m.
    inverse_depth = np.interp(np.arange(64), [29, 35], [1 / 2.0, 1 / 5.0])
    depth = np.tile(1.0 / inverse_depth, (48, 1)).astype(np.float32)
    flying = (depth > 2.02) & (depth < 4.9)
    assert depth_edges(depth, 0.08)[flying].all()
    cloud = cloud_from_depth(depth, CAMERA, CloudParameters(stride=1))
    left = cloud.points[..., 2][known(cloud)]
    assert set(np.unique(left.round(1)).tolist()) == {2.0, 5.0}
    assert known(cloud).mean() > 0.85


def test_slanted_surfaces_are_no_edges_and_the_sky_is_one() -> None:
    depth = np.tile(np.linspace(2.0, 4.0, 64, dtype=np.float32), (48, 1))
    assert not depth_edges(depth, 0.08).any()
    depth[:, 40:] = np.nan
    found = np.flatnonzero(depth_edges(depth, 0.08)[0])
    # What is unknown has no depth to be marked, whatever is said of it.
    assert 39 in found
    assert found.min() == 39


def test_edges_of_some_pixels_are_those_of_all() -> None:
    _, depth = World('road', 2, size=(161, 121)).picture(1.0)
    depth[:5, :5] = np.nan
    depth[50, 60] = 0.0
    for stride in (2, 3):
        some = depth_edges(depth, 0.08, stride)
        assert np.array_equal(some, depth_edges(depth, 0.08)[::stride, ::stride])


def test_every_third_pixel_keeps_its_own_colour() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cloud = cloud_from_depth(wall(), CAMERA, CloudParameters(stride=3), bgr=colors[:, :, ::-1])
    assert np.array_equal(cloud.bgr, colors[::3, ::3, ::-1])


def test_most_of_a_real_scene_stays_and_its_flying_pixels_go() -> None:
    _, depth = World('room', 4).picture(1.0)
    camera = World('room', 4).camera
    cloud = cloud_from_depth(depth, camera, CloudParameters())
    assert known(cloud).mean() > 0.8


def test_compaction_keeps_what_belongs_together() -> None:
    depth = wall()
    depth[:, 1:] = np.nan
    bgr = np.arange(48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
    sigma = np.arange(48 * 64).reshape(48, 64).astype(np.float32) * 1e-6
    dense = compacted(cloud_from_depth(depth, CAMERA, EVERYTHING, bgr=bgr, sigma_m=sigma))
    assert not dense.is_organised
    assert dense.points.shape == (48, 3)
    assert dense.bgr is not None
    assert dense.sigma_m is not None
    assert np.array_equal(dense.bgr, bgr[:, 0])
    assert np.array_equal(dense.sigma_m, sigma[:, 0])


def test_voxels_hold_the_mean_of_their_points() -> None:
    points = [[0.1, 0.1, 0.1], [0.3, 0.1, 0.1], [-0.1, 0.1, 0.1], [0.1, 0.9, 3e6], [np.nan] * 3]
    cloud = Cloud(
        np.array(points, np.float32),
        np.arange(15, dtype=np.uint8).reshape(5, 3),
        np.array([0.1, 0.3, 0.5, 0.7, np.nan], np.float32),
    )
    thin = thinned(cloud, 0.5)
    order = np.argsort(thin.points[:, 0])
    expected = [[-0.1, 0.1, 0.1], [0.1, 0.9, 3e6], [0.2, 0.1, 0.1]]
    assert np.allclose(thin.points[order], expected)
    assert thin.sigma_m is not None
    assert thin.bgr is not None
    assert np.allclose(thin.sigma_m[order], [0.5, 0.7, 0.2])
    assert thin.bgr[order].tolist() == [[6, 7, 8], [9, 10, 11], [0, 1, 2]]


def test_voxels_of_nothing_are_nothing() -> None:
    empty = cloud_from_depth(wall(np.nan), CAMERA, EVERYTHING)
    assert thinned(empty, 0.1).points.shape == (0, 3)


def test_a_cloud_of_vga_is_quick() -> None:
    world = World('room', 4)
    bgr, depth = world.picture(1.0)
    settings = CloudParameters(min_range_m=0.1, max_range_m=10.0)
    times = []
    for _ in range(9):
        start = time.thread_time()
        cloud_from_depth(depth, world.camera, settings, bgr=bgr)
        times.append(time.thread_time() - start)
    # 2 ms where this was written; the budget with the message is 6.
    assert min(times) < 0.012


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match='its camera'):
        cloud_from_depth(wall()[1:], CAMERA, EVERYTHING)
