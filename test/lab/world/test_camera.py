from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from depth_anything_ros.core.types import Camera
from lab.world.camera import depth_image, pixel_directions, project, view_of
from lab.world.geometry import Array, Cylinder, Shape, Sphere, box
from lab.world.rig import Mount, base_pose, optical, pinhole
from lab.world.scene import Light, Material, Pattern, Scene, Solid
from lab.world.world import World

DISTORTION = (-0.28, 0.09, 0.0012, -0.0008, -0.012)
GREY = Material(Pattern.PLAIN, (0.5, 0.5, 0.5))
POSE = base_pose(0.3, -0.2, 0.4) @ optical(Mount(0.1, 0.0, 1.2, 0.2, 0.05).pose())


def scene_of(shape: Shape) -> Scene:
    light = Light((0, 0, 5), (1, 1, 1), (1, 1, 1), 5.0, 0.1, np.inf, (0, 0, 0), (0, 0, 0))
    solid = Solid(shape, GREY, shape.centre)
    return Scene('test', 0, (solid,), light, World('room').scene.path, 0.0)


def world_rays(camera: Camera) -> Array:
    """Directions (3, n) with z = 1 in the optical frame, in float64, turned into the world."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    x, y = (u.ravel() - camera.cx) / camera.fx, (v.ravel() - camera.cy) / camera.fy
    return np.asarray(POSE.rotation @ np.stack([x, y, np.ones_like(x)]))


def ground_depth(rays: Array) -> Array:
    with np.errstate(divide='ignore'):
        depth = -POSE.translation[2] / rays[2]
    return np.where(depth > 0, depth, np.inf)


def first_root(a: Array, b: Array, c: Array) -> Array:
    room = b * b - a * c
    return np.where(room >= 0, (-b - np.sqrt(np.maximum(room, 0.0))) / a, np.inf)


def ball_depth(rays: Array) -> Array:
    offset = POSE.translation - np.array([4.0, 1.5, 0.8])
    square = (rays**2).sum(axis=0)
    return first_root(square, offset @ rays, np.full(square.shape, offset @ offset - 0.49))


def post_depth(rays: Array) -> Array:
    offset = POSE.translation[:2] - np.array([5.0, 2.0])
    square = (rays[:2] ** 2).sum(axis=0)
    return first_root(square, offset @ rays[:2], np.full(square.shape, offset @ offset - 0.16))


ANALYTIC: dict[str, tuple[Shape, Callable[[Array], Array]]] = {
    'ground': (box(np.array([0.0, 0.0, -1.0]), (400.0, 400.0, 1.0)), ground_depth),
    'ball': (Sphere(np.array([4.0, 1.5, 0.8]), 0.7), ball_depth),
    'post': (Cylinder(np.array([5.0, 2.0, -50.0]), 0.4, 100.0), post_depth),
}


@pytest.mark.parametrize('name', ANALYTIC)
def test_depth_is_that_of_analytic_geometry(name: str) -> None:
    shape, truth_of = ANALYTIC[name]
    camera = pinhole(320, 240)
    depth = depth_image(view_of(scene_of(shape), camera, POSE)).ravel()
    truth = truth_of(world_rays(camera))
    seen = np.isfinite(truth) & (truth < 60.0)
    assert seen.sum() > 300
    # At a silhouette the ray grazes: there a pixel may fall on either side.
    both = seen & np.isfinite(depth)
    assert (seen != (np.isfinite(depth) & (depth < 60.0))).sum() <= 2
    slope = np.abs(np.gradient(np.where(seen, truth, 0.0).reshape(240, 320))[1]).ravel()
    gentle = both & (slope < 0.05)
    assert np.abs(depth[gentle] - truth[gentle]).max() < 1e-4


@pytest.mark.parametrize('family', ['room', 'road'])
def test_single_precision_is_exact_enough_in_whole_scenes(family: str) -> None:
    world = World(family, seed=3, size=(320, 240))
    scene, pose = world.scene.at(2.0), world.camera_pose(2.0)
    single = view_of(scene, world.camera, pose)
    double = view_of(scene, world.camera, pose, 'float64')
    same = (single.hits.solid == double.hits.solid) & (double.hits.solid >= 0)
    assert same.mean() > 0.5
    assert (single.hits.solid != double.hits.solid).sum() <= 3
    given = depth_image(single).ravel()[same]
    truth = (double.hits.distance_m * double.along_z)[same]
    assert np.abs(given - truth).max() < 1e-4


@pytest.mark.parametrize('distortion', [(), DISTORTION])
def test_projection_undoes_the_rays_of_the_pixels(distortion: tuple[float, ...]) -> None:
    camera = pinhole(160, 120, distortion=distortion)
    u, v, z = project(camera, 7.0 * pixel_directions(camera, 'float64'))
    columns, rows = np.meshgrid(np.arange(160), np.arange(120))
    assert np.abs(u - columns.ravel()).max() < 1e-6
    assert np.abs(v - rows.ravel()).max() < 1e-6
    assert (z > 0).all()


def test_distortion_bends_straight_edges() -> None:
    shape = box(np.array([3.0, 0.0, -1.0]), (0.2, 1.6, 4.0), 0.0)
    straight = depth_image(view_of(scene_of(shape), pinhole(160, 120), POSE))
    bent = depth_image(view_of(scene_of(shape), pinhole(160, 120, distortion=DISTORTION), POSE))
    assert (np.isfinite(straight) != np.isfinite(bent)).mean() > 0.01


def test_the_sky_is_infinite() -> None:
    world = World('road', size=(64, 48))
    upward = world.base(0.0) @ optical(Mount(0.0, 0.0, 1.5, -1.5).pose())
    assert np.isinf(depth_image(view_of(world.scene, world.camera, upward))).all()
