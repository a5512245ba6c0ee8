"""Reading in a thread of its own: the same messages, and nothing left behind."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from depth_anything_ros.bag.read_ahead import read_ahead
from depth_anything_ros.bag.reading import BagMessage
from depth_anything_ros.core.errors import DepthAnythingError

MIB = 2**20
STORE: Any = None


def message(number: int, size: int = 8) -> BagMessage:
    return BagMessage('/topic', 'std_msgs/msg/String', number, bytes(size), STORE)


def read_ahead_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == 'read-ahead']


def test_every_message_comes_in_its_order() -> None:
    with read_ahead(map(message, range(1000))) as messages:
        assert [each.receive_ns for each in messages] == list(range(1000))
    assert not read_ahead_threads()


def test_an_error_comes_after_the_messages_before_it() -> None:
    def damaged() -> Iterator[BagMessage]:
        yield from map(message, range(3))
        raise DepthAnythingError('the bag is damaged')

    found = []
    with (
        pytest.raises(DepthAnythingError, match='the bag is damaged'),
        read_ahead(damaged()) as messages,
    ):
        found.extend(each.receive_ns for each in messages)
        pytest.fail('the error is raised where the next message was awaited')
    assert not read_ahead_threads()


@pytest.mark.parametrize('size', [MIB, 40 * MIB])
def test_few_messages_wait(size: int) -> None:
    taken, most = 0, 0

    def counted() -> Iterator[BagMessage]:
        nonlocal most
        for number in range(60):
            most = max(most, number - taken)
            yield message(number, size)

    with read_ahead(counted()) as messages:
        for _ in messages:
            taken += 1
    assert taken == 60
    # Those that wait, the one that has no room yet, and the one that was just handed out.
    assert most <= max(1, 16 * MIB // size) + 2


def test_who_leaves_early_leaves_no_thread_behind() -> None:
    with read_ahead(map(message, itertools.count())) as messages:
        assert next(messages).receive_ns == 0
        assert read_ahead_threads()
    assert not read_ahead_threads()
