"""The one thread that owns the network, and the one-slot mailbox in front of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

__all__ = ['Worker']

Frame = TypeVar('Frame')
Result = TypeVar('Result')


class Worker(Generic[Frame]):
    """Runs tasks, and the newest waiting frame of each source, on one thread.

    A frame that comes while another of the same source waits replaces it: the newest image is
    processed next, however slow the network. Nothing here holds the lock while a task or
    a batch of frames runs.
    """

    def __init__(
        self,
        handle: Callable[[Mapping[str, Frame]], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Start the thread.

        `handle` gets the frames that waited together, by source. `on_error` gets whatever
        `handle` raises; the thread goes on.
        """
        self._handle = handle
        self._on_error = on_error
        self._wake = threading.Condition()
        self._frames: dict[str, Frame] = {}
        self._tasks: list[tuple[Callable[[], Any], Future[Any]]] = []
        self._stopped = False
        # A daemon, because a thread inside the network cannot be interrupted.
        self._thread = threading.Thread(target=self._run, name='depth_worker', daemon=True)
        self._thread.start()

    def offer(self, source: str, frame: Frame) -> bool:
        """Leave a frame; True if it replaced one that was still waiting."""
        with self._wake:
            replaced = source in self._frames
            self._frames[source] = frame
            self._wake.notify()
        return replaced

    def submit(self, task: Callable[[], Result]) -> Future[Result]:
        """Run `task` once, before any frame that waits; the future has its result or error."""
        future: Future[Result] = Future()
        with self._wake:
            self._tasks.append((task, future))
            self._wake.notify()
        return future

    def clear(self) -> None:
        """Forget the frames that wait."""
        with self._wake:
            self._frames.clear()

    def stop(self, timeout_s: float) -> bool:
        """End the thread after what it runs now; True if it ended within `timeout_s` seconds."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopped or self._tasks or self._frames)
                if self._stopped:
                    return
                task, future = self._tasks.pop(0) if self._tasks else (None, None)
                frames: Mapping[str, Frame] = {}
                if task is None:
                    frames, self._frames = self._frames, {}
            try:
                if task is None or future is None:
                    self._handle(frames)
                else:
                    future.set_result(task())
            except BaseException as error:  # noqa: BLE001  the thread must outlive any frame
                if future is None:
                    self._on_error(error)
                else:
                    future.set_exception(error)
            # Else the last batch and its messages would be held until the next one comes, and a
            # failed task by the traceback of its own error.
            del task, future, frames
