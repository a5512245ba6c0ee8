"""Stamps of messages as whole nanoseconds."""

from __future__ import annotations

import struct
from typing import Protocol

__all__ = ['Stamp', 'ns_from_cdr', 'ns_from_stamp']


class Stamp(Protocol):
    """builtin_interfaces/Time, from rclpy or from a bag."""

    sec: int
    nanosec: int


def ns_from_stamp(stamp: Stamp) -> int:
    """Return a stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def ns_from_cdr(raw: bytes) -> int:
    """Return the stamp in nanoseconds of a serialised message that begins with a header."""
    # Four bytes of encapsulation, whose second says the byte order, then the stamp.
    seconds, nanoseconds = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
