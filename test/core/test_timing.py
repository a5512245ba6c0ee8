"""Rates, percentiles and jitter against hand-made numbers."""

from __future__ import annotations

import math

import pytest

from depth_anything_ros.core.timing import (
    NOMINAL_INTERVAL_S,
    Jitter,
    Rate,
    StageTimes,
    Window,
    interval_s,
    time_went_back,
)

SECOND_NS = 1_000_000_000


def test_time_goes_back_by_more_than_a_second_and_less_is_late() -> None:
    newest_ns = 100 * SECOND_NS
    assert not time_went_back(newest_ns, newest_ns)
    assert not time_went_back(newest_ns, 99 * SECOND_NS)
    assert time_went_back(newest_ns, 99 * SECOND_NS - 1)
    assert time_went_back(newest_ns, 0)
    assert not time_went_back(newest_ns, 10**19)


def test_stamps_that_do_not_advance_count_as_one_frame() -> None:
    assert interval_s(5, 5 + SECOND_NS // 4) == pytest.approx(0.25)
    assert interval_s(0, 0) == NOMINAL_INTERVAL_S
    assert interval_s(SECOND_NS, SECOND_NS // 2) == NOMINAL_INTERVAL_S


def test_window_forgets_the_oldest() -> None:
    window = Window(3)
    for value in (100.0, 1.0, 2.0, 3.0):
        window.add(value)
    assert window.percentiles(0, 50, 100) == (1.0, 2.0, 3.0)
    # Population standard deviation of 1, 2, 3 is sqrt(2/3).
    assert window.cov_percent() == pytest.approx(100 * math.sqrt(2 / 3) / 2)


def test_an_empty_window_has_no_figures() -> None:
    assert math.isnan(Window().percentiles(50)[0])
    assert math.isnan(Window().cov_percent())


def test_rate_counts_gaps_not_events() -> None:
    rate = Rate(5.0)
    for index in range(11):
        rate.tick(index * 0.1)
    assert rate.hz(1.0) == pytest.approx(10.0)
    # Half the period later without an event the rate has sunk, after the period it is nil.
    assert rate.hz(3.5) < 4.0
    assert rate.hz(20.0) == 0.0


def test_jitter_follows_rfc_3550() -> None:
    jitter = Jitter()
    jitter.add(10.000, 1.0)
    jitter.add(10.116, 1.1)  # 16 ms late against its stamp: J = 16 / 16
    assert jitter.ms == pytest.approx(1.0)
    jitter.add(10.216, 1.2)  # on time: J = 1 - 1 / 16
    assert jitter.ms == pytest.approx(15 / 16)


def test_stages_add_up_even_when_they_fail() -> None:
    times = StageTimes()
    with pytest.raises(ZeroDivisionError), times.stage('infer'):
        raise ZeroDivisionError
    first = times.ms['infer']
    with times.stage('infer'):
        pass
    assert times.ms['infer'] >= first > 0.0
