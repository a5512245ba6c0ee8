"""Read a bag in a thread of its own, a little ahead of the processing of its messages."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from depth_anything_ros.bag.reading import BagMessage

__all__ = ['read_ahead']

# Some images of a camera: enough to bridge the reading of a chunk of them.
_BUDGET_BYTES = 16 * 2**20


@contextmanager
def read_ahead(messages: Iterator[BagMessage]) -> Iterator[Iterator[BagMessage]]:
    """Return the same messages in the same order, and what went wrong with reading, in its place.

    Nothing else may use the bag meanwhile. At most 16 MiB wait, or one message that is larger.
    """
    line = _Line()
    thread = threading.Thread(target=line.fill, args=(messages,), name='read-ahead', daemon=True)
    thread.start()
    try:
        yield line.drained()
    finally:
        line.close()
        thread.join()


class _Line:
    """Messages on their way from one thread to another."""

    def __init__(self) -> None:
        self._waiting: deque[BagMessage] = deque()
        self._bytes = 0
        self._error: BaseException | None = None
        self._filled = self._closed = False
        self._changed = threading.Condition()

    def fill(self, messages: Iterator[BagMessage]) -> None:
        """Put all messages in, each once there is room, as long as somebody takes them out."""
        try:
            for message in messages:
                with self._changed:
                    self._changed.wait_for(partial(self._takes, len(message.raw)))
                    if self._closed:
                        break
                    self._waiting.append(message)
                    self._bytes += len(message.raw)
                    self._changed.notify()
        except BaseException as err:  # noqa: BLE001 - it is raised where the message was awaited
            self._error = err
        with self._changed:
            self._filled = True
            self._changed.notify()

    def drained(self) -> Iterator[BagMessage]:
        """Take them out, to the last."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._filled)
                if not self._waiting:
                    break
                message = self._waiting.popleft()
                self._bytes -= len(message.raw)
                self._changed.notify()
            yield message
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Take nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _takes(self, size: int) -> bool:
        fits = not self._waiting or self._bytes + size <= _BUDGET_BYTES
        return fits or self._closed
