"""LaserScan by REP 117."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.planar_scan import PlanarScan
from depth_anything_ros.messages.buffers import stored

__all__ = ['fill_scan', 'scan_from_message']

MAX_BEAMS = 10_000_000
"""Ranges beyond which a scan is taken for a damaged message."""

# Two turns: some drivers count from -2 pi, or on past 2 pi.
_MOST_RAD = 4.0 * math.pi


def scan_from_message(msg: Any) -> PlanarScan:
    """Return the ranges of a sensor_msgs/LaserScan with REP 117's infinities and NaN.

    Finite ranges outside the scanner's limits are to be discarded, and become NaN.
    FrameError('bad_scan') where angles or limits make no sense.
    """
    low, high = float(msg.range_min), float(msg.range_max)
    start, step = float(msg.angle_min), float(msg.angle_increment)
    if not (abs(start) <= _MOST_RAD and 0.0 < abs(step) <= _MOST_RAD):
        raise FrameError(
            'bad_scan',
            f'the scan starts at {start:g} with steps of {step:g} rad: its driver must set '
            'angle_min and angle_increment',
        )
    if not 0.0 <= low < high:
        raise FrameError(
            'bad_scan',
            f'the scan is valid from {low:g} to {high:g} m, which holds nothing: its driver must '
            'set range_min and range_max',
        )
    ranges = _floats(msg.ranges)
    if not 0 < ranges.size <= MAX_BEAMS:
        raise FrameError(
            'bad_scan', f'the scan has {ranges.size} ranges, not between 1 and {MAX_BEAMS}'
        )
    return PlanarScan(_limited(ranges, low, high), start, step, low, high)


def fill_scan(msg: Any, scan: PlanarScan) -> None:
    """Write `scan` into `msg`, all beams of one instant; everything but the header is set."""
    msg.angle_min, msg.angle_increment = scan.bearing_min_rad, scan.step_rad
    msg.angle_max = scan.bearing_min_rad + scan.step_rad * (scan.ranges_m.size - 1)
    msg.time_increment = msg.scan_time = 0.0
    msg.range_min, msg.range_max = scan.min_m, scan.max_m
    msg.ranges = stored(scan.ranges_m, msg.ranges, 'f')
    msg.intensities = stored(np.zeros(0, np.float32), msg.intensities, 'f')


def _floats(values: Any) -> npt.NDArray[np.float32]:
    """Copy a sequence of numbers to float32 (N,)."""
    # A double beyond float32 becomes infinite.
    with suppress(TypeError, ValueError), np.errstate(over='ignore', invalid='ignore'):
        floats = np.array(values, np.float32)
        if floats.ndim == 1:
            return floats
    raise FrameError(
        'bad_scan', f'ranges are a {type(values).__name__}, not a sequence of numbers'
    )


def _limited(ranges: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.float32]:
    with np.errstate(over='ignore'):
        valid = (ranges >= np.float32(low)) & (ranges <= np.float32(high))
    return np.where(valid | np.isinf(ranges), ranges, np.float32(np.nan))
