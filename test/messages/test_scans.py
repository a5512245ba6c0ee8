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
from depth_anything_ros.core.geometry.scans import PlanarScan
from depth_anything_ros.messages.scans import fill_scan, reading_from_range, scan_from_message
from lab.sample_messages import SampleMessages
from lab.world.world import World

try:
    from sensor_msgs.msg import LaserScan, Range
except ImportError:
    LaserScan = Range = None

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


@dataclass
class HumbleRange:
    """sensor_msgs/Range as Humble has it, without a variance."""

    field_of_view: float = 0.2
    min_range: float = 0.1
    max_range: float = 4.0
    range: float = 1.0


@dataclass
class JazzyRange(HumbleRange):
    """As Jazzy has it."""

    variance: float = 0.0


SCANS: list[Any] = [BagScan] if LaserScan is None else [BagScan, LaserScan]
RANGES: list[Any] = [JazzyRange] if Range is None else [JazzyRange, Range]


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
    cone = world.sensors.range_cone
    reading = reading_from_range(make.range(0, 'range', cone, 1.25))
    assert (reading.range_m, reading.fov_rad) == (1.25, cone.fov_rad)
    assert reading.sigma_m == pytest.approx(0.01)


@pytest.mark.parametrize('kind', RANGES)
@pytest.mark.parametrize(
    ('value', 'expected'),
    [(1.5, 1.5), (0.05, NAN), (4.5, NAN), (INF, INF), (-INF, -INF), (NAN, NAN), (0.0, NAN)],
)
def test_readings(kind: Any, value: float, expected: float) -> None:
    msg = kind(field_of_view=0.25, min_range=0.125, max_range=4.0, range=value)
    reading = reading_from_range(msg)
    assert np.array_equal(reading.range_m, expected, equal_nan=True)
    assert reading.fov_rad == 0.25
    assert reading.sigma_m is None


def test_variance_is_optional_and_zero_means_unknown() -> None:
    assert reading_from_range(HumbleRange()).sigma_m is None
    assert reading_from_range(JazzyRange(variance=0.04)).sigma_m == pytest.approx(0.2)
    for nothing in (0.0, -1.0, NAN, INF):
        assert reading_from_range(JazzyRange(variance=nothing)).sigma_m is None


def test_sensors_of_fixed_distance_give_no_range() -> None:
    fixed = {'min_range': 0.5, 'max_range': 0.5}
    assert math.isnan(reading_from_range(HumbleRange(range=0.5, **fixed)).range_m)
    assert reading_from_range(HumbleRange(range=-INF, **fixed)).range_m == -INF


@pytest.mark.parametrize(
    'change',
    [{'field_of_view': NAN}, {'field_of_view': 3.2}, {'min_range': 5.0}, {'max_range': NAN}],
)
def test_readings_that_make_no_sense_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(FrameError) as caught:
        reading_from_range(HumbleRange(**change))
    assert caught.value.reason == 'bad_range'


# The fields of both messages are float32.
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


@given(*[ANY] * 5)
@settings(max_examples=300, deadline=None)
def test_any_range_gives_a_value_or_a_frame_error(
    fov: float, low: float, high: float, value: float, variance: float
) -> None:
    try:
        reading = reading_from_range(JazzyRange(fov, low, high, value, variance))
    except FrameError as error:
        assert error.reason == 'bad_range'
        return
    assert not math.isfinite(reading.range_m) or 0.0 < reading.range_m <= high
    assert reading.sigma_m is None or reading.sigma_m > 0.0
