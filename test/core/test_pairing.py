from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.pairing import StampedRing
from depth_anything_ros.core.timing import JUMP_BACK_NS

MS = 1_000_000


def test_nearest_within_tolerance() -> None:
    ring: StampedRing[str] = StampedRing(10)
    assert ring.nearest(0, 10**18) is None
    for stamp, name in ((100, 'b'), (0, 'a'), (200, 'c')):
        ring.add(stamp * MS, name)
    assert ring.nearest(140 * MS, 40 * MS) == (100 * MS, 'b')
    assert ring.nearest(140 * MS, 39 * MS) is None
    assert ring.nearest(160 * MS, 100 * MS) == (200 * MS, 'c')
    assert ring.nearest(150 * MS, 100 * MS) == (100 * MS, 'b')
    assert ring.nearest(-30 * MS, 30 * MS) == (0, 'a')
    assert ring.nearest(900 * MS, 100 * MS) is None


def test_around_a_stamp_are_the_values_on_both_sides() -> None:
    ring: StampedRing[str] = StampedRing(10)
    assert ring.around(0) == (None, None)
    for stamp, name in ((100, 'b'), (0, 'a'), (200, 'c')):
        ring.add(stamp, name)
    assert ring.around(150) == ((100, 'b'), (200, 'c'))
    assert ring.around(100) == ((100, 'b'), (100, 'b'))
    assert ring.around(-1) == (None, (0, 'a'))
    assert ring.around(201) == ((200, 'c'), None)


def test_the_oldest_go_and_equal_stamps_replace() -> None:
    ring: StampedRing[int] = StampedRing(3)
    for stamp in (5, 1, 4, 2, 3):
        ring.add(stamp, stamp)
    assert len(ring) == 3
    assert ring.nearest(1, 0) is None
    ring.add(4, 44)
    assert len(ring) == 3
    assert ring.nearest(4, 0) == (4, 44)


def test_time_that_goes_back_empties_the_ring_and_late_messages_do_not() -> None:
    ring: StampedRing[str] = StampedRing(5)
    ring.add(10 * JUMP_BACK_NS, 'first')
    ring.add(9 * JUMP_BACK_NS, 'late')
    assert len(ring) == 2
    ring.add(2 * JUMP_BACK_NS, 'looped')
    assert len(ring) == 1
    assert ring.nearest(10 * JUMP_BACK_NS, MS) is None
    assert ring.nearest(2 * JUMP_BACK_NS, 0) is not None


def test_one_stamp_from_the_future_does_not_deafen() -> None:
    ring: StampedRing[int] = StampedRing(4)
    ring.add(10**19, -1)
    for stamp in range(6):
        ring.add(stamp * 33 * MS, stamp)
    assert ring.nearest(5 * 33 * MS, MS) == (5 * 33 * MS, 5)


def test_clear_and_capacity() -> None:
    ring: StampedRing[int] = StampedRing(1)
    ring.add(1, 1)
    ring.clear()
    assert len(ring) == 0
    with pytest.raises(SettingError, match='capacity'):
        StampedRing(0)


@given(st.lists(st.integers(0, JUMP_BACK_NS), max_size=40), st.integers(0, JUMP_BACK_NS))
def test_order_of_arrival_does_not_matter(stamps: list[int], asked: int) -> None:
    ring: StampedRing[int] = StampedRing(len(stamps) + 1)
    for stamp in stamps:
        ring.add(stamp, stamp)
    found = ring.nearest(asked, JUMP_BACK_NS)
    expected = min(stamps, key=lambda stamp: (abs(stamp - asked), stamp), default=None)
    assert (None if found is None else found.value) == expected


def test_threads_may_share_a_ring() -> None:
    ring: StampedRing[int] = StampedRing(8)
    wrong: list[object] = []

    def write(first: int) -> None:
        for step in range(3000):
            # Now and then time goes back.
            stamp = (first + step) % 1500 * MS
            ring.add(stamp, stamp)

    def read() -> None:
        for step in range(3000):
            found = ring.nearest(step % 1500 * MS, 50 * MS)
            if found and (
                found.stamp_ns != found.value or abs(found.stamp_ns - step % 1500 * MS) > 50 * MS
            ):
                wrong.append(found)
            if len(ring) > 8:
                wrong.append(len(ring))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 40, 80)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
