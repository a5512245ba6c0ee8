"""Read a bag in a thread of its own, a little ahead of the processing of its messages."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from depth_anything_ros.bag.reading import BagMessage

__all__ = ['read_ahead']

# Some images of a camera: enough to bridge the reading of a chunk of them.
_BUDGET_BYTES = 16 * 2**20


@contextmanager
def read_ahead(messages: Iterator[BagMessage]) -> Iterator[Iterator[BagMessage]]:
    """Return the same messages in the same order, and what went wrong with reading, in its place.

    Nothing else may use the bag meanwhile. At most 16 MiB wait, or one message that is larger.
    """
    # The last is None, or what went wrong.
    waiting: deque[BagMessage | BaseException | None] = deque()
    waiting_bytes, closed, changed = 0, False, threading.Condition()

    def put(item: BagMessage | BaseException | None, size: int) -> bool:
        nonlocal waiting_bytes
        with changed:
            changed.wait_for(
                lambda: closed or not waiting or waiting_bytes + size <= _BUDGET_BYTES
            )
            waiting.append(item)
            waiting_bytes += size
            changed.notify()
            return not closed

    def fill() -> None:
        error = None
        try:
            all(put(message, len(message.raw)) for message in messages)
        except BaseException as err:  # noqa: BLE001 - it is raised where the message was awaited
            error = err
        put(error, 0)

    def drained() -> Iterator[BagMessage]:
        nonlocal waiting_bytes
        while True:
            with changed:
                changed.wait_for(lambda: waiting)
                item = waiting.popleft()
                if not isinstance(item, BagMessage):
                    break
                waiting_bytes -= len(item.raw)
                changed.notify()
            yield item
        if item is not None:
            raise item

    thread = threading.Thread(target=fill, name='read-ahead', daemon=True)
    thread.start()
    try:
        yield drained()
    finally:
        with changed:
            closed = True
            changed.notify()
        thread.join()
