"""Signals during a long run: stop at the next safe point, and never half way through a write."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ['delayed_interrupt', 'stop_signals']


@contextmanager
def stop_signals() -> Iterator[Callable[[], str]]:
    """Return a function that names the signal received, '' while there was none.

    SIGINT and SIGTERM are only noted; a second SIGINT raises KeyboardInterrupt at once. Outside
    of the main thread, which alone may handle signals, none is ever noted.
    """
    received: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and 'SIGINT' in received:
            raise KeyboardInterrupt
        received.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: ''
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else ''
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def delayed_interrupt() -> Iterator[None]:
    """Delay SIGINT to the end of a block that must not stop half way, and is the last to do.

    Whoever else handles the signal hears of it then, and nothing is interrupted; after an error it
    is dropped.
    """
    held: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    for number in held:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(number)
