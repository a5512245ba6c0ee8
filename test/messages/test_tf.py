from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.messages.tf import put_transforms, transform_from
from lab.sample_messages import SampleMessages
from lab.world.world import World

try:
    from geometry_msgs.msg import TransformStamped
except ImportError:
    TransformStamped = None


@dataclass
class Vector:
    """geometry_msgs/Vector3, and Quaternion with w."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    w: float = 1.0


@dataclass
class Stamp:
    """builtin_interfaces/Time."""

    sec: int = 0
    nanosec: int = 0


@dataclass
class Header:
    """std_msgs/Header."""

    stamp: Stamp = field(default_factory=Stamp)
    frame_id: str = 'a'


@dataclass
class Move:
    """geometry_msgs/Transform."""

    translation: Vector = field(default_factory=Vector)
    rotation: Vector = field(default_factory=Vector)


@dataclass
class Stamped:
    """geometry_msgs/TransformStamped."""

    header: Header = field(default_factory=Header)
    child_frame_id: str = 'b'
    transform: Move = field(default_factory=Move)


def test_the_tree_of_a_sample_bag() -> None:
    world, make, time_s = World('room', 2), SampleMessages(), 0.75
    local = world.base(time_s).inverse() @ world.camera_pose(time_s)
    buffer = TransformBuffer()
    moving = make.transforms(1_750_000_000, [('map', 'base', world.base(time_s))])
    fixed = make.transforms(0, [('base', 'lens', local)])
    assert put_transforms(buffer, moving.transforms, static=False) == []
    assert put_transforms(buffer, fixed.transforms, static=True) == []
    found = buffer.lookup('map', 'lens', 1_750_000_000)
    expected = world.camera_pose(time_s)
    assert np.allclose(found.rotation, expected.rotation, atol=1e-9)
    assert np.allclose(found.translation, expected.translation, atol=1e-9)


@pytest.mark.skipif(TransformStamped is None, reason='needs geometry_msgs')
def test_messages_of_rclpy() -> None:
    msg = TransformStamped()
    msg.header.frame_id, msg.child_frame_id = 'a', 'b'
    msg.header.stamp.sec, msg.header.stamp.nanosec = 2, 5
    msg.transform.translation.x = 1.5
    msg.transform.rotation.z = msg.transform.rotation.w = math.sqrt(0.5)
    buffer = TransformBuffer()
    assert put_transforms(buffer, [msg], static=False) == []
    found = buffer.lookup('a', 'b', 2_000_000_005)
    assert np.allclose(found.apply(np.array([[1.0, 0.0, 0.0]])), [[1.5, 1.0, 0.0]])


def test_one_bad_transform_does_not_cost_the_others() -> None:
    buffer = TransformBuffer()
    bad = Stamped(transform=Move(rotation=Vector(w=0.0)))
    loop = Stamped(Header(frame_id='c'), 'c')
    good = Stamped(child_frame_id='d')
    refused = put_transforms(buffer, [bad, loop, good], static=True)
    assert [error.reason for error in refused] == ['bad_transform'] * 2
    assert np.array_equal(buffer.lookup('a', 'd', 9).matrix, np.eye(4))


NUMBERS = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, 1e308]))


@given(st.lists(NUMBERS, min_size=7, max_size=7))
@settings(max_examples=300, deadline=None)
def test_any_message_gives_a_transform_or_a_frame_error(values: list[float]) -> None:
    move = Move(Vector(*values[:3]), Vector(*values[3:]))
    try:
        found = transform_from(move)
    except FrameError as error:
        assert error.reason == 'bad_transform'
        return
    assert np.allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-6)
    assert np.isfinite(found.matrix).all()
