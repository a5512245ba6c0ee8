"""Poses from nav_msgs/Odometry, between its messages."""

from __future__ import annotations

from typing import Any

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import Transform, interpolated
from depth_anything_ros.messages.stamps import ns_from_stamp

__all__ = ['odometry_at']


def odometry_at(before: Any, after: Any, stamp_ns: int) -> Transform:
    """Return the pose of child_frame_id at a stamp, from the messages around it.

    Either may be None, where there is none: FrameError, as a pose beyond the messages would be
    a guess. Both are the same message where it has that very stamp.
    """
    if before is None or after is None:
        newest = before if after is None else after
        away_s = abs(ns_from_stamp(newest.header.stamp) - stamp_ns) * 1e-9
        if after is None:
            raise FrameError(
                'transform_too_old',
                f'the newest odometry is {away_s:.3f} s older than the image: is its publisher '
                'running, on the same clock, and as fast as the network?',
            )
        raise FrameError(
            'transform_too_new',
            f'the oldest odometry is {away_s:.3f} s newer than the image: the image waited too '
            'long, or the clocks disagree',
        )
    names = [(each.header.frame_id, each.child_frame_id) for each in (before, after)]
    if names[0] != names[1]:
        raise FrameError(
            'bad_transform',
            f'odometry of {names[0][1]!r} in {names[0][0]!r} is followed by that of '
            f'{names[1][1]!r} in {names[1][0]!r}: give each odometry a topic of its own',
        )
    first, second = _pose(before), _pose(after)
    start_ns = ns_from_stamp(before.header.stamp)
    span_ns = ns_from_stamp(after.header.stamp) - start_ns
    return interpolated(first, second, (stamp_ns - start_ns) / span_ns) if span_ns else first


def _pose(message: Any) -> Transform:
    turn, place = message.pose.pose.orientation, message.pose.pose.position
    return Transform.from_quaternion((turn.x, turn.y, turn.z, turn.w), (place.x, place.y, place.z))
