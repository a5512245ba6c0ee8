from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.geometry.transforms import (
    IDENTITY,
    Transform,
    extrinsics_from_text,
    interpolated,
)
from lab.world.rig import extrinsics_text

HALF = math.sqrt(0.5)
QUARTER_TURN = Transform.from_quaternion((0, 0, HALF, HALF), (1, 2, 3))

numbers = st.floats(-10, 10)
quaternions = (
    st.tuples(*[st.floats(-1, 1)] * 4)
    .filter(lambda q: math.hypot(*q) > 0.1)
    .map(lambda q: tuple(value / math.hypot(*q) for value in q))
)
transforms = st.builds(Transform.from_quaternion, quaternions, st.tuples(*[numbers] * 3))


def same(one: Transform, other: Transform) -> bool:
    return bool(np.allclose(one.matrix, other.matrix, rtol=0, atol=1e-9))


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    moved = QUARTER_TURN.apply(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 5.0]]))
    assert moved.dtype == np.float32
    assert np.allclose(moved, [[1, 3, 3], [1, 2, 8]], atol=1e-6)


@given(transforms)
def test_forms_agree(one: Transform) -> None:
    assert same(Transform.from_matrix(one.matrix), one)
    assert same(Transform.from_quaternion(one.quaternion, tuple(one.translation)), one)
    assert one.quaternion[3] >= 0.0
    assert same(one @ one.inverse(), IDENTITY)
    assert np.allclose(one.rotation @ one.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(one.rotation) == pytest.approx(1.0)


@given(transforms, transforms)
def test_chaining_is_moving_twice(one: Transform, other: Transform) -> None:
    point = np.array([[0.3, -0.2, 1.5]])
    assert np.allclose((one @ other).apply(point), one.apply(other.apply(point)), atol=1e-4)


@given(transforms, transforms)
def test_interpolation_meets_both_ends(one: Transform, other: Transform) -> None:
    assert same(interpolated(one, other, 0.0), one)
    # cv2.Rodrigues takes what is within 1e-5 of a half turn for one.
    assert np.allclose(interpolated(one, other, 1.0).matrix, other.matrix, rtol=0, atol=2e-5)


def test_interpolation_turns_evenly_by_the_shortest_arc() -> None:
    def yaw(degrees: float, x: float) -> Transform:
        half = math.radians(degrees) / 2
        return Transform.from_quaternion((0, 0, math.sin(half), math.cos(half)), (x, 0, 0))

    assert same(interpolated(yaw(10, 1), yaw(50, 3), 0.25), yaw(20, 1.5))
    assert same(interpolated(yaw(170, 0), yaw(-170, 0), 0.5), yaw(180, 0))


@pytest.mark.parametrize(
    ('quaternion', 'translation'),
    [
        ((0, 0, 0, 0), (0, 0, 0)),
        ((0, 0, 0, 1.1), (0, 0, 0)),
        ((0, 0, math.nan, 1), (0, 0, 0)),
        ((0, 0, 0, 1), (0, math.inf, 0)),
    ],
)
def test_what_is_no_rigid_transform_is_refused(quaternion: tuple, translation: tuple) -> None:
    with pytest.raises(FrameError, match='rigid') as caught:
        Transform.from_quaternion(quaternion, translation)
    assert caught.value.reason == 'bad_transform'


def test_unknown_points_stay_unknown() -> None:
    moved = QUARTER_TURN.apply(np.array([[np.nan, 0, 0], [np.inf, -np.inf, 0], [0, 0, 0]]))
    assert not np.isfinite(moved[:2]).all(axis=1).any()
    assert np.isfinite(moved[2]).all()
    assert QUARTER_TURN.apply(np.zeros((0, 3))).shape == (0, 3)


def test_extrinsics_are_read_as_static_transform_publisher_takes_them() -> None:
    # A quarter turn about z, then the sensor's x is the camera's y.
    read = extrinsics_from_text('1 2 3 0 0 1.5707963267948966')
    assert read is not None
    assert np.allclose(read.apply(np.array([[1.0, 0.0, 0.0]])), [[1.0, 3.0, 3.0]], atol=1e-6)
    # Roll comes first, about the axes of the target: z turns to -y, and stays there.
    read = extrinsics_from_text('0, 0, 0, 1.5707963267948966, 0, 0')
    assert read is not None
    assert np.allclose(read.apply(np.array([[0.0, 0.0, 1.0]])), [[0.0, -1.0, 0.0]], atol=1e-6)
    assert extrinsics_from_text(' ') is None


@pytest.mark.parametrize('text', ['1 2 3', '1 2 3 4 5 x', '1 2 3 4 5 nan', '1 2 3 4 5 6 7'])
def test_extrinsics_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match='six numbers, x y z roll pitch yaw'):
        extrinsics_from_text(text)


@given(transforms)
def test_extrinsics_survive_being_written(before: Transform) -> None:
    after = extrinsics_from_text(extrinsics_text(before))
    assert after is not None
    assert np.allclose(after.matrix, before.matrix, atol=1e-5)
