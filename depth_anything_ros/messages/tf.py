"""Transforms from geometry_msgs and tf2_msgs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.messages.stamps import ns_from_stamp

__all__ = ['put_transforms', 'transform_from']


def transform_from(msg: Any) -> Transform:
    """Return a geometry_msgs/Transform; FrameError('bad_transform') where it is not one."""
    turn, shift = msg.rotation, msg.translation
    return Transform.from_quaternion((turn.x, turn.y, turn.z, turn.w), (shift.x, shift.y, shift.z))


def put_transforms(
    buffer: TransformBuffer, transforms: Iterable[Any], *, static: bool
) -> list[FrameError]:
    """Store the transforms of a TFMessage; return what is wrong with those that are refused.

    One bad transform must not cost the rest of its message, as many publishers share /tf.
    """
    refused: list[FrameError] = []
    for item in transforms:
        try:
            buffer.put(
                item.header.frame_id,
                item.child_frame_id,
                transform_from(item.transform),
                ns_from_stamp(item.header.stamp),
                static=static,
            )
        except FrameError as err:
            refused.append(err)
    return refused
