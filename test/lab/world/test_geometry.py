from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.world.geometry import (
    Array,
    Cylinder,
    Rays,
    Shape,
    Sphere,
    box,
    dots,
    frustum,
    rotated,
    yaw_matrix,
)

ORIGIN = np.array([-6.0, 0.4, 1.1])

SHAPES: dict[str, Shape] = {
    'box': box(np.array([0.5, 0.2, 0.3]), (1.0, 2.0, 1.5), 0.6),
    'frustum': frustum(np.zeros(3), (2.0, 1.6, 1.2), (1.0, 0.9), -0.4, 0.2),
    'cylinder': Cylinder(np.array([0.3, -0.2, 0.1]), 0.7, 1.9),
    'sphere': Sphere(np.array([0.0, 0.5, 1.0]), 0.9),
}


def fan(count: int = 4000, spread: float = 0.35) -> Array:
    random = np.random.default_rng(0)
    rays = np.stack([np.ones(count), *random.uniform(-spread, spread, (2, count))])
    return np.asarray(rays / np.linalg.norm(rays, axis=0))


@pytest.mark.parametrize('name', SHAPES)
def test_rays_enter_and_leave_on_the_surface(name: str) -> None:
    shape, directions = SHAPES[name], fan()
    near, far = shape.interval(ORIGIN, directions)
    hit = near <= far
    assert 100 < hit.sum() < hit.size
    rays = Rays(ORIGIN, directions[:, hit])
    for distance in (near[hit], far[hit]):
        assert np.abs(shape.distance(rays.at(distance))).max() < 1e-9
    middle = rays.at(0.5 * (near[hit] + far[hit]))
    assert shape.distance(middle).max() <= 1e-9


@pytest.mark.parametrize('name', SHAPES)
def test_rays_that_miss_stay_outside(name: str) -> None:
    shape, directions = SHAPES[name], fan()
    near, far = shape.interval(ORIGIN, directions)
    missed = Rays(ORIGIN, directions[:, near > far])
    for distance in np.linspace(0.1, 12.0, 200):
        assert shape.distance(missed.at(np.full(missed.directions.shape[1], distance))).min() > 0


@pytest.mark.parametrize('name', SHAPES)
def test_normals_are_unit_and_face_the_entering_ray(name: str) -> None:
    shape, directions = SHAPES[name], fan()
    near, far = shape.interval(ORIGIN, directions)
    hit = near <= far
    normals = shape.normals(Rays(ORIGIN, directions[:, hit]).at(near[hit]))
    assert np.allclose(np.linalg.norm(normals, axis=0), 1.0)
    assert np.einsum('ij,ij->j', normals, directions[:, hit]).max() < 1e-6


@pytest.mark.parametrize('name', SHAPES)
def test_ball_encloses_and_moving_moves(name: str) -> None:
    shape, directions = SHAPES[name], fan()
    near, far = shape.interval(ORIGIN, directions)
    hit = near <= far
    points = Rays(ORIGIN, directions[:, hit]).at(near[hit])
    reach = np.linalg.norm(points - shape.centre[:, None], axis=0)
    assert reach.max() <= shape.radius + 1e-9
    offset = np.array([1.0, -2.0, 0.5])
    moved = shape.moved(offset)
    again, _ = moved.interval(ORIGIN + offset, directions[:, hit])
    assert np.allclose(again, near[hit])


def test_an_origin_inside_enters_at_once() -> None:
    for shape in SHAPES.values():
        near, far = shape.interval(shape.centre, fan())
        assert (near == 0.0).all()
        assert (far > 0.0).all()


def test_axis_parallel_rays_beside_a_box_miss() -> None:
    # Zero rates of both signs: the ray runs along the planes, outside two of them.
    shape = box(np.zeros(3), (1.0, 1.0, 1.0))
    for sign in (1.0, -1.0):
        ray = np.array([[sign], [-0.0], [-0.0]])
        near, far = shape.interval(np.array([-5.0 * sign, 0.0, 2.0]), ray)
        assert near[0] > far[0]
        near, far = shape.interval(np.array([-5.0 * sign, 0.0, 0.5]), ray)
        assert near[0] == pytest.approx(4.5)
        assert far[0] == pytest.approx(5.5)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.1, 2.0), st.floats(0.2, 3.0), st.floats(-4.0, 4.0), st.floats(-0.3, 0.3))
def test_a_rotated_box_agrees_with_slabs_in_its_own_frame(
    half: float, height: float, yaw: float, slope: float
) -> None:
    shape = box(np.zeros(3), (2 * half, half, height), yaw)
    directions = fan(200, 0.4)
    near, far = shape.interval(ORIGIN, directions)
    turn = yaw_matrix(-yaw)
    origin, local = turn @ ORIGIN, turn @ directions
    low = np.array([-half, -half / 2, 0.0])[:, None]
    high = np.array([half, half / 2, height])[:, None]
    first, second = (low - origin[:, None]) / local, (high - origin[:, None]) / local
    enter = np.minimum(first, second).max(axis=0)
    leave = np.maximum(first, second).min(axis=0)
    hit = (enter < leave - 1e-9) & (leave > 0)
    assert np.array_equal(hit, near < far - 1e-9)
    assert np.allclose(near[hit], np.maximum(enter[hit], 0.0))
    assert np.allclose(far[hit], leave[hit])


def test_dots_and_rotated_agree_with_matrix_products() -> None:
    random = np.random.default_rng(1)
    matrix, columns = random.standard_normal((4, 3)), random.standard_normal((3, 50))
    assert np.allclose(rotated(matrix, columns), matrix @ columns)
    assert np.array_equal(dots(np.zeros(3), columns), np.zeros(50))
    assert dots(matrix[0], columns.astype(np.float32)).dtype == np.float32
