"""What one camera's stream is said to have gone through."""

from __future__ import annotations

import time

import pytest

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.metric.scale import Scale
from depth_anything_ros.ros.telemetry import CLOCKS_DISAGREE_S, Outcome, SequenceNumbers, Telemetry


def published(telemetry: Telemetry, stamp_s: float, age_s: float = 0.02) -> None:
    telemetry.published(time.monotonic() - 0.01, stamp_s, age_s, {'infer': 5.0})


def test_every_image_is_counted_once() -> None:
    telemetry = Telemetry()
    for _ in range(5):
        telemetry.received()
    telemetry.skipped_idle()
    telemetry.replaced()
    telemetry.too_old()
    assert telemetry.invalid('bad_step', 'step is 3')
    assert not telemetry.invalid('bad_step', 'step is 4')
    assert telemetry.last_outcome is Outcome.INVALID
    published(telemetry, 1.0)
    assert telemetry.last_outcome is Outcome.PUBLISHED
    counts = telemetry.throughput()
    assert counts['frames_in'] == 5
    assert counts['frames_out'] == 1
    assert counts['dropped_superseded'] == counts['dropped_too_old'] == 1
    assert counts['dropped_invalid'] == counts['dropped_invalid_bad_step'] == 2
    assert telemetry.last_invalid == ('bad_step', 'step is 4')


def test_latency_and_age_are_told_apart() -> None:
    telemetry = Telemetry()
    published(telemetry, 1.0, age_s=0.5)
    figures = telemetry.latency()
    assert 10.0 <= figures['latency_p50_ms'] < 500.0
    assert figures['age_p50_ms'] == 500.0
    assert figures['infer_ms'] == 5.0
    assert 0.0 < telemetry.clock_offset_s() < 0.5


def test_clocks_that_disagree_are_noticed_both_ways() -> None:
    for age_s in (-3600.0, 3600.0):
        telemetry = Telemetry()
        published(telemetry, 1.0, age_s)
        assert abs(telemetry.clock_offset_s()) > CLOCKS_DISAGREE_S


def test_a_bag_that_loops_resets_the_windows_but_no_count() -> None:
    telemetry = Telemetry()
    published(telemetry, 100.0, age_s=99.0)
    published(telemetry, 1.0, age_s=0.1)
    assert telemetry.latency()['age_p99_ms'] == 100.0
    assert telemetry.throughput()['frames_out'] == 2


def test_a_late_frame_leaves_the_windows_alone() -> None:
    telemetry = Telemetry()
    published(telemetry, 100.0, age_s=0.3)
    published(telemetry, 99.5, age_s=0.1)
    assert telemetry.latency()['age_p50_ms'] == pytest.approx(200.0)
    # Measured from the newest stamp, not from the late one.
    published(telemetry, 98.9, age_s=0.1)
    assert telemetry.latency()['age_p50_ms'] == pytest.approx(100.0)


def test_silence_counts_from_the_beginning_or_the_last_image() -> None:
    telemetry = Telemetry()
    first_s = telemetry.silent_s()
    assert 0.0 <= first_s < 60.0
    assert telemetry.silent_s() >= first_s


def test_every_image_is_refused_only_after_two_with_nothing_between() -> None:
    telemetry = Telemetry()
    telemetry.invalid('bad_step', 'step is 3')
    assert not telemetry.every_image_refused()
    published(telemetry, 1.0)
    telemetry.invalid('bad_step', 'step is 3')
    assert not telemetry.every_image_refused()
    telemetry.invalid('bad_step', 'step is 3')
    assert telemetry.every_image_refused()


def test_a_change_of_reason_is_noticed_and_a_change_of_figures_is_not() -> None:
    telemetry = Telemetry()

    def note(text: str, **missing: FrameError) -> bool:
        return telemetry.scaled(Scale(None, '', 'no_reference', text), missing)

    note('the reference is 0.31 s older')
    assert not note('the reference is 0.35 s older')
    assert telemetry.scale.message == 'the reference is 0.35 s older'
    assert note('nothing', scan=FrameError('no_transform', 'tf is 0.2 s late'))
    assert not note('nothing', scan=FrameError('no_transform', 'tf is 0.3 s late'))
    assert note('nothing', scan=FrameError('no_bearings', 'no bearing is known'))
    assert note('nothing')
    assert telemetry.unscaled() == {'refused_no_reference': 6}


def test_numbers_tell_what_was_missed_of_one_publisher() -> None:
    numbers = SequenceNumbers()
    seen = [7, 8, 11, 12, 3, 4, None, 9, 10]
    assert [numbers.missed(number) for number in seen] == [0, 0, 2, 0, 0, 0, 0, 0, 0]
