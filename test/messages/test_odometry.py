"""nav_msgs/Odometry as the pose of a camera, between messages and never beyond them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.messages.odometry import odometry_at
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.metric.references import Odometry
from lab.sample_messages import SampleMessages

MAKE = SampleMessages()
MS = 1_000_000
LENS = 'camera_optical_frame'


def pose(x: float, yaw: float) -> Transform:
    return Transform(cv2.Rodrigues(np.array([0.0, 0.0, yaw]))[0], np.array([x, 0.0, 0.0]))


def message(stamp_ms: int, child: str = 'base_link') -> Any:
    """Odometry that moves 1 m and turns 2 rad in a second."""
    return MAKE.odometry(stamp_ms * MS, 'odom', child, pose(stamp_ms * 1e-3, stamp_ms * 2e-3))


def received(**given: Any) -> tuple[SceneMessages, Callable[..., MessageScene]]:
    """Odometry at 50 Hz from 1.00 to 1.98 s, and the scene of an image at some millisecond."""
    messages = SceneMessages(TransformBuffer())
    messages.kind = ReferenceKind.ODOMETRY
    for stamp_ms in range(1000, 2000, 20):
        messages.add_reference(message(stamp_ms))
    parameters = parameters_from_flat({name.replace('__', '.'): v for name, v in given.items()})

    def scene(stamp_ms: int, frame: str = LENS) -> MessageScene:
        return MessageScene(messages, frame, stamp_ms * MS, (160, 120), parameters)

    return messages, scene


def found(scene: MessageScene) -> Transform:
    reference = scene.reference(None)
    assert isinstance(reference, Odometry)
    return reference.transform


def why(scene: MessageScene) -> tuple[str, str]:
    with pytest.raises(FrameError) as caught:
        scene.reference(None)
    return caught.value.reason, str(caught.value)


def same(one: Transform, other: Transform) -> bool:
    return bool(np.allclose(one.matrix, other.matrix))


@pytest.mark.parametrize(('stamp_ms', 'share'), [(100, 0.0), (125, 0.25), (200, 1.0)])
def test_place_and_turn_follow_the_time_between_two_messages(stamp_ms: int, share: float) -> None:
    between = odometry_at(message(100), message(200), stamp_ms * MS)
    assert same(between, pose(0.1 + 0.1 * share, 0.2 + 0.2 * share))


def test_a_message_of_that_very_stamp_stands_alone() -> None:
    assert same(odometry_at(message(100), message(100), 100 * MS), pose(0.1, 0.2))


def test_two_odometries_on_one_topic_are_not_mixed() -> None:
    with pytest.raises(FrameError, match='a topic of its own') as caught:
        odometry_at(message(100), message(120, 'other_base'), 110 * MS)
    assert caught.value.reason == 'bad_transform'


def test_a_quaternion_of_zeros_is_named() -> None:
    bad = message(100)
    nothing = replace(bad.pose.pose.orientation, x=0.0, y=0.0, z=0.0, w=0.0)
    bad.pose.pose.orientation = nothing
    with pytest.raises(FrameError) as caught:
        odometry_at(bad, message(120), 110 * MS)
    assert caught.value.reason == 'bad_transform'


def test_the_camera_is_where_tf_mounts_it_on_the_child_frame() -> None:
    messages, scene = received()
    assert why(scene(1510))[0] == 'no_transform'
    base_from_camera = Transform(np.eye(3), np.array([0.3, 0.1, 0.5]))
    assert isinstance(messages.transforms, TransformBuffer)
    messages.transforms.put('base_link', LENS, base_from_camera, static=True)
    assert same(found(scene(1510)), pose(1.51, 3.02) @ base_from_camera)
    assert scene(1510).reference(1510 * MS) is None


def test_extrinsics_stand_in_for_tf() -> None:
    _, scene = received(reference__extrinsics='0.5 0 0 0 0 0')
    camera_from_base = Transform(np.eye(3), np.array([0.5, 0.0, 0.0]))
    assert same(found(scene(1510)), pose(1.51, 3.02) @ camera_from_base.inverse())
    # Their z is up as well, where a known height of the camera is to be checked.
    assert scene(1510).up().tolist() == [0.0, 0.0, 1.0]


def test_a_pose_beyond_the_messages_is_refused() -> None:
    _, scene = received(reference__extrinsics='0 0 0 0 0 0')
    reason, text = why(scene(1990))
    assert (reason, '0.010 s older' in text) == ('transform_too_old', True)
    reason, text = why(scene(990))
    assert (reason, '0.010 s newer' in text) == ('transform_too_new', True)
    reason, text = why(scene(2990))
    assert (reason, '1.01 s older' in text) == ('no_reference', True)


def test_messages_far_faster_than_the_network_are_kept() -> None:
    messages, scene = received(reference__extrinsics='0 0 0 0 0 0')
    late = scene(1005)
    for stamp_ms in range(2000, 2800):
        messages.add_reference(message(stamp_ms))
    assert same(found(late), pose(1.005, 2.01))


def test_with_a_fixed_frame_tf_alone_has_the_motion() -> None:
    messages, scene = received(reference__fixed_frame='odom')
    messages.clear()
    assert isinstance(messages.transforms, TransformBuffer)
    for stamp_ms in (1000, 1100):
        x = stamp_ms * 1e-3
        messages.transforms.put('odom', LENS, pose(x, 2.0 * x), stamp_ms * MS)
    assert same(found(scene(1025)), pose(1.025, 2.05))
    assert why(scene(1101))[0] == 'transform_too_old'
    assert why(scene(999))[0] == 'transform_too_new'
    assert why(scene(1050, ''))[0] == 'no_frame_id'


def test_nothing_is_followed_where_nobody_wants_metres() -> None:
    messages, scene = received(reference__extrinsics='0 0 0 0 0 0')
    messages.metres_wanted = lambda: False
    assert why(scene(1500))[0] == 'no_subscriber'
