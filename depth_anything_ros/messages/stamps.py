"""Stamps of messages as whole nanoseconds."""

from __future__ import annotations

from typing import Any

__all__ = ['ns_from_stamp']


def ns_from_stamp(stamp: Any) -> int:
    """Return a builtin_interfaces/Time, of rclpy or of rosbags, in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
