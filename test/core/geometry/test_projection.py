from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.core.geometry.projection import (
    pixels_from_directions,
    points_along,
    rays_of,
)
from depth_anything_ros.core.types import Camera
from lab.world.camera import pixel_directions, project

PINHOLE = Camera(64, 48, 50.0, 52.0, 31.0, 22.5)
BARREL = Camera(
    640, 480, 480.0, 470.0, 322.0, 236.0, (-0.28, 0.09, 0.0012, -0.0008, -0.012), 'plumb_bob'
)
FISHEYE = Camera(640, 480, 300.0, 300.0, 319.5, 239.5, (-0.02, 0.01, 0.001, -0.002), 'equidistant')
RATIONAL = Camera(
    640,
    480,
    400.0,
    400.0,
    319.5,
    239.5,
    (3.1, 1.2, 0.0004, -0.0007, 0.03, 3.4, 2.1, 0.25),
    'rational_polynomial',
)
CAMERAS = {'pinhole': PINHOLE, 'barrel': BARREL, 'fisheye': FISHEYE, 'rational': RATIONAL}
cameras = pytest.mark.parametrize('camera', CAMERAS.values(), ids=CAMERAS.keys())


def bumpy(camera: Camera) -> np.ndarray:
    depth = np.random.default_rng(0).uniform(0.5, 20.0, (camera.height, camera.width))
    return depth.astype(np.float32)


def points_of(depth: np.ndarray, camera: Camera, stride: int = 1) -> np.ndarray:
    return points_along(rays_of(camera, stride), np.ascontiguousarray(depth[::stride, ::stride]))


def pixels_of(points: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    x, y, z = points.T
    return pixels_from_directions(x / z, y / z, camera)


def test_pinhole_points_are_exact() -> None:
    depth = np.full((48, 64), 2.0, np.float32)
    points = points_of(depth, PINHOLE)
    assert points.dtype == np.float32
    assert points[22, 31].tolist() == pytest.approx([0.0, 2.0 * -0.5 / 52.0, 2.0])
    assert points[0, 0].tolist() == pytest.approx([-62.0 / 50.0, -45.0 / 52.0, 2.0])


@cameras
def test_points_project_back_onto_their_pixels(camera: Camera) -> None:
    points = points_of(bumpy(camera), camera)
    u, v = pixels_of(points.reshape(-1, 3), camera)
    rows, columns = np.indices((camera.height, camera.width))
    assert np.allclose(u, columns.ravel(), rtol=0, atol=2e-3)
    assert np.allclose(v, rows.ravel(), rtol=0, atol=2e-3)


def test_rays_and_pixels_are_those_of_the_simulated_camera() -> None:
    directions = pixel_directions(BARREL, 'float64')
    expected = (directions[:2] / directions[2]).reshape(2, 480, 640)
    assert np.allclose(rays_of(BARREL), expected, rtol=0, atol=1e-6)
    points = points_of(bumpy(BARREL), BARREL)[::7, ::5].reshape(-1, 3)
    u, v, _ = project(BARREL, points.T)
    ours = pixels_of(points, BARREL)
    assert np.allclose(ours, (u, v), rtol=0, atol=2e-3)


@cameras
@pytest.mark.parametrize('stride', [2, 3, 7])
def test_stride_takes_pixels_from_the_first_on(camera: Camera, stride: int) -> None:
    depth = bumpy(camera)
    every = points_of(depth, camera)
    assert np.allclose(points_of(depth, camera, stride), every[::stride, ::stride])


def test_unknown_depth_gives_unknown_points() -> None:
    depth = np.full((48, 64), 1.0, np.float32)
    depth[3, 4], depth[5, 6] = np.nan, np.inf
    points = points_of(depth, PINHOLE)
    assert np.isnan(points[3, 4]).all()
    assert not np.isfinite(points[5, 6]).any()
    assert np.isfinite(points).all(axis=-1).sum() == 48 * 64 - 2


def test_points_wide_off_a_distorted_view_stay_outside() -> None:
    # The polynomial alone would fold these back into the picture.
    slopes = np.linspace(2.0, 8.0, 50)
    points = np.stack([slopes, 0 * slopes, 1 + 0 * slopes], axis=1)
    u, _ = pixels_of(points, BARREL)
    assert not ((u >= 0) & (u < 640)).any()


def test_rays_are_made_once_and_cannot_be_changed() -> None:
    rays = rays_of(BARREL, 2)
    assert rays is rays_of(BARREL, 2)
    assert rays.shape == (2, 240, 320)
    with pytest.raises(ValueError, match='read-only'):
        rays[0, 0, 0] = 1.0
