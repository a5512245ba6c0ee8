"""The input size under load, on simulated time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from depth_anything_ros.estimator.input_size import InputSize, input_sizes


class Load:
    """A network whose time goes with the pixels of its input, `overhead_s` around it."""

    def __init__(self, full_s: float, overhead_s: float = 0.01, full: int = 518) -> None:
        self.size = InputSize(input_sizes(full))
        self.full_s = full_s
        self.overhead_s = overhead_s
        self.now_s = 1000.0
        self.changes: list[tuple[float, int]] = []

    def run(self, seconds: float, needed_hz: float) -> list[int]:
        """Answer for that long; the sizes that were taken on the way."""
        end_s, first = self.now_s + seconds, len(self.changes)
        while self.now_s < end_s:
            infer_s = self.full_s * (self.size.current / self.size.full) ** 2
            self.now_s += max(infer_s + self.overhead_s, 1.0 / needed_hz)
            if self.size.update(self.now_s, infer_s + self.overhead_s, infer_s, needed_hz):
                self.changes.append((self.now_s, self.size.current))
        return [size for _, size in self.changes[first:]]


@pytest.mark.parametrize('full', [56, 126, 252, 518, 1036])
def test_sizes_go_down_to_half_in_multiples_of_14(full: int) -> None:
    sizes = input_sizes(full)
    assert sizes[0] == full
    assert all(small < large for large, small in pairwise(sizes))
    assert all(size % 14 == 0 and size >= full / 2 for size in sizes[1:])


def test_a_network_in_time_keeps_its_size() -> None:
    load = Load(0.08)
    assert load.run(100.0, 10.0) == []


def test_a_slow_network_steps_down_until_the_rate_holds_and_stays_there() -> None:
    load = Load(0.15)
    steps = load.run(60.0, 10.0)
    assert steps == [434, 364]
    assert load.run(600.0, 10.0) == []


def test_one_slow_frame_changes_nothing() -> None:
    load = Load(0.05)
    load.run(20.0, 10.0)
    load.full_s = 1.0
    load.run(1.0, 10.0)
    load.full_s = 0.05
    load.run(20.0, 10.0)
    assert load.changes == []


def test_it_recovers_when_the_load_is_gone() -> None:
    load = Load(0.2)
    load.run(60.0, 10.0)
    assert load.size.current < 518
    load.full_s = 0.05
    load.run(60.0, 10.0)
    assert load.size.current == 518


def test_a_size_that_proves_too_large_is_tried_less_and_less_often() -> None:
    load = Load(0.15)
    load.run(30.0, 10.0)

    def mistaken() -> None:
        # There seems to be time until it is used.
        low = load.size.current < 434
        load.full_s = 0.08 if low else 0.2

    tried = tries(load, mistaken, 2000.0)
    gaps = [late - early for early, late in pairwise(tried)]
    assert len(gaps) > 3
    assert gaps[-1] > 4.0 * gaps[0]
    assert max(gaps) < 400.0


def tries(load: Load, change: Callable[[], None], seconds: float) -> list[float]:
    """When a larger size was tried."""
    found, end_s = [], load.now_s + seconds
    while load.now_s < end_s:
        change()
        before = load.size.current
        load.run(0.2, 10.0)
        if load.size.current > before:
            found.append(load.now_s)
    return found


def test_a_pause_is_no_load() -> None:
    load = Load(0.15)
    for _ in range(20):
        load.run(1.0, 10.0)
        load.now_s += 60.0
    assert load.changes == []


def test_nothing_is_asked_of_a_network_that_nobody_feeds() -> None:
    assert not InputSize((518, 434)).update(0.0, 1.0, 1.0, 0.0)


def test_memory_lowers_for_good_and_ends_at_the_smallest() -> None:
    load = Load(0.01)
    assert load.size.out_of_memory()
    assert load.size.current == 434 and load.size.short_of_memory
    assert load.run(100.0, 10.0) == []
    assert not load.size.restore()
    while load.size.out_of_memory():
        assert load.size.current < 434
    assert load.size.current == input_sizes(518)[-1]


def test_restore_goes_back_at_once() -> None:
    load = Load(0.2)
    load.run(20.0, 10.0)
    assert load.size.restore()
    assert load.size.current == load.size.full
    assert not load.size.restore()
