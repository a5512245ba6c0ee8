"""Signals that end a long run at the next safe place."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ['interruption', 'undisturbed']


@contextmanager
def interruption() -> Iterator[Callable[[], str]]:
    """Return a function that names the signal that asks to stop, '' while none does.

    SIGINT and SIGTERM ask; a second SIGINT raises KeyboardInterrupt at once. Outside of the main
    thread, which alone may listen, nothing asks.
    """
    asked: list[str] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and 'SIGINT' in asked:
            raise KeyboardInterrupt
        asked.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: ''
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked[0] if asked else ''
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed(*, last: bool = False) -> Iterator[None]:
    """Hold SIGINT back to the end of something that must not stop half way.

    What was held back comes then, and may raise KeyboardInterrupt, unless this is the `last`
    thing to do, which needs no interruption any more. After an error it is dropped.
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
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if not last:
                raise
