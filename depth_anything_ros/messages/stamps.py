"""Stamps of messages as whole nanoseconds."""

from __future__ import annotations

from typing import Protocol

__all__ = ['Stamp', 'ns_from_stamp']


class Stamp(Protocol):
    """builtin_interfaces/Time, from rclpy or from a bag."""

    sec: int
    nanosec: int


def ns_from_stamp(stamp: Stamp) -> int:
    """Give a stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
