from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.planar_scan import PlanarScan
from depth_anything_ros.messages.laser_scans import fill_scan, scan_from_message
from lab.sample_messages import SampleMessages
from lab.world.world import World

try:
    from sensor_msgs.msg import LaserScan
except ImportError:
    LaserScan = None

NAN, INF = math.nan, math.inf


@dataclass
class BagScan:
    """sensor_msgs/LaserScan as rosbags gives it."""

    angle_min: float = 0.0
    angle_max: float = 0.0
    angle_increment: float = 0.0
    time_increment: float = 0.0
    scan_time: float = 0.0
    range_min: float = 0.0
    range_max: float = 0.0
    ranges: Any = field(default_factory=lambda: np.zeros(0, np.float32))
    intensities: Any = field(default_factory=lambda: np.zeros(0, np.float32))


SCANS: list[Any] = [BagScan] if LaserScan is None else [BagScan, LaserScan]


def scan_message(kind: Any, ranges: list[float], **changes: Any) -> Any:
    values: dict[str, Any] = {
        'angle_min': -1.0,
        'angle_max': 1.0,
        'angle_increment': 0.5,
        'range_min': 0.1,
        'range_max': 10.0,
    }
    stored: Any = np.array(ranges, np.float32)
    return kind(**values | changes, ranges=stored if kind is BagScan else array('f', stored))


@pytest.mark.parametrize('kind', SCANS)
def test_rep_117(kind: Any) -> None:
    # Returns; nothing in range; too near; unknown; and old drivers' values out of limits.
    scan = scan_from_message(scan_message(kind, [0.1, 10.0, INF, -INF, NAN, 0.0, 0.05, 10.5, -1]))
    expected = np.array([0.1, 10.0, INF, -INF, NAN, NAN, NAN, NAN, NAN], np.float32)
    assert scan.ranges_m.dtype == np.float32
    assert np.array_equal(scan.ranges_m, expected, equal_nan=True)


@pytest.mark.parametrize('kind', SCANS)
def test_bearings_and_points(kind: Any) -> None:
    scan = scan_from_message(scan_message(kind, [1.0, INF, 2.0, NAN, 3.0]))
    assert np.allclose(scan.bearings_rad, [-1.0, -0.5, 0.0, 0.5, 1.0])
    expected = [
        [math.cos(-1), math.sin(-1), 0],
        [2, 0, 0],
        [3 * math.cos(1), 3 * math.sin(1), 0],
    ]
    assert np.allclose(scan.points(), expected, atol=1e-6)


def test_scanners_that_turn_the_other_way() -> None:
    msg = scan_message(BagScan, [1.0, 2.0], angle_min=1.0, angle_increment=-0.25)
    assert scan_from_message(msg).bearings_rad.tolist() == [1.0, 0.75]


@pytest.mark.parametrize(
    'change',
    [
        {'angle_increment': 0.0},
        {'angle_increment': NAN},
        {'angle_min': INF},
        {'range_max': 0.0},
        {'range_max': NAN},
        {'range_min': -1.0},
        {'range_min': 11.0},
    ],
)
def test_scans_that_make_no_sense_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(FrameError) as caught:
        scan_from_message(scan_message(BagScan, [1.0], **change))
    assert caught.value.reason == 'bad_scan'


@pytest.mark.parametrize('ranges', [[], ['far'], None, [[1.0], [1.0, 2.0]]])
def test_scans_without_ranges_are_refused(ranges: Any) -> None:
    msg = scan_message(BagScan, [1.0])
    msg.ranges = ranges
    with pytest.raises(FrameError) as caught:
        scan_from_message(msg)
    assert caught.value.reason == 'bad_scan'


@pytest.mark.parametrize('kind', SCANS)
def test_written_scans_can_be_read(kind: Any) -> None:
    ranges = np.array([1.0, INF, NAN, 4.0], np.float32)
    msg = kind()
    fill_scan(msg, PlanarScan(ranges, -0.75, 0.5, 0.2, 8.0))
    read = scan_from_message(msg)
    assert np.array_equal(read.ranges_m, ranges, equal_nan=True)
    assert np.allclose(read.bearings_rad, [-0.75, -0.25, 0.25, 0.75])
    assert msg.angle_max == pytest.approx(0.75)
    assert (read.min_m, read.max_m) == pytest.approx((0.2, 8.0))
    assert len(msg.intensities) == 0


def test_the_sensors_of_a_sample_bag() -> None:
    world, make = World('road', 1), SampleMessages()
    ranges = world.scan(0.5)
    msg = make.scan(0, 'laser', world.sensors.scanner, ranges)
    scan = scan_from_message(msg)
    assert np.array_equal(scan.ranges_m, ranges, equal_nan=True)
    fill_scan(msg, scan)
    name = 'sensor_msgs/msg/LaserScan'
    read = make.store.deserialize_cdr(make.store.serialize_cdr(msg, name), name)
    assert np.array_equal(read.ranges, ranges, equal_nan=True)


# The fields of the message are float32.
ANY = st.one_of(st.floats(width=32), st.floats(0, 10, width=32), st.sampled_from([0.0, 0.125]))


@given(st.lists(ANY, min_size=4, max_size=4), st.lists(ANY, max_size=9), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_scan_gives_values_or_a_frame_error(
    values: list[float], ranges: list[float], doubles: bool
) -> None:
    angle_min, step, low, high = values
    stored = np.array(ranges) if doubles else ranges
    msg = BagScan(angle_min, 0.0, step, 0.0, 0.0, low, high, stored)
    try:
        scan = scan_from_message(msg)
    except FrameError as error:
        assert error.reason == 'bad_scan'
        return
    known = scan.ranges_m[np.isfinite(scan.ranges_m)]
    assert scan.points().shape == (known.size, 3)
    assert ((known >= np.float32(low)) & (known <= np.float32(high))).all()
