"""Transforms from geometry_msgs and tf2_msgs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.messages.stamps import ns_from_stamp

__all__ = ['TransformMessage', 'TransformStampedMessage', 'put_transforms', 'transform_from']


class TransformMessage(Protocol):
    """The fields of geometry_msgs/Transform: Vector3 and Quaternion."""

    translation: Any
    rotation: Any


class TransformStampedMessage(Protocol):
    """The fields of geometry_msgs/TransformStamped."""

    header: Any
    child_frame_id: str
    transform: Any


def transform_from(msg: TransformMessage) -> Transform:
    """Return parent_from_child; FrameError('bad_transform') where it is none."""
    turn, shift = msg.rotation, msg.translation
    return Transform.from_quaternion((turn.x, turn.y, turn.z, turn.w), (shift.x, shift.y, shift.z))


def put_transforms(
    buffer: TransformBuffer, transforms: Iterable[TransformStampedMessage], *, static: bool
) -> list[FrameError]:
    """Store the transforms of a TFMessage; gives what was wrong with those that were not.

    One bad transform must not cost the rest of its message, as many publishers share /tf.
    """
    refused: list[FrameError] = []
    for item in transforms:
        stamp = item.header.stamp
        stamp_ns = ns_from_stamp(stamp)
        try:
            buffer.put(
                item.header.frame_id,
                item.child_frame_id,
                transform_from(item.transform),
                stamp_ns,
                static=static,
            )
        except FrameError as err:
            refused.append(err)
    return refused
