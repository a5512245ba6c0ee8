"""The one-slot mailbox: newest wins, one thread, errors survived."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Mapping

from depth_anything_ros.ros.worker import Worker


class Handler:
    """Holds the worker inside `handle` until the test lets it go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.batches: list[dict[str, int]] = []
        self.errors: list[BaseException] = []

    def __call__(self, frames: Mapping[str, int]) -> None:
        self.batches.append(dict(frames))
        self.entered.release()
        assert self.go.acquire(timeout=20.0)
        if -1 in frames.values():
            raise ValueError('a bad frame')

    def wait(self) -> None:
        assert self.entered.acquire(timeout=20.0)


def test_the_newest_frame_of_each_source_waits_together() -> None:
    handler = Handler()
    worker: Worker[int] = Worker(handler, handler.errors.append)
    assert not worker.offer('front', 1)
    handler.wait()
    assert not worker.offer('front', 2)
    assert not worker.offer('rear', 10)
    assert worker.offer('front', 3)
    handler.go.release(2)
    handler.wait()
    assert worker.stop(20.0)
    assert handler.batches == [{'front': 1}, {'front': 3, 'rear': 10}]


def test_an_error_is_told_and_the_next_frame_still_runs() -> None:
    handler = Handler()
    worker: Worker[int] = Worker(handler, handler.errors.append)
    handler.go.release(2)
    worker.offer('front', -1)
    handler.wait()
    worker.offer('front', 2)
    handler.wait()
    assert worker.stop(20.0)
    assert [str(error) for error in handler.errors] == ['a bad frame']
    assert handler.batches[-1] == {'front': 2}


def test_tasks_run_before_waiting_frames_and_cleared_frames_never() -> None:
    handler = Handler()
    order: list[str] = []
    worker: Worker[int] = Worker(handler, handler.errors.append)
    worker.offer('front', 1)
    handler.wait()
    worker.offer('front', 2)
    done = worker.submit(lambda: order.append(f'task before {len(handler.batches)}'))
    worker.clear()
    worker.offer('front', 3)
    handler.go.release(2)
    handler.wait()
    assert worker.stop(20.0)
    assert done.done()
    assert order == ['task before 1']
    assert handler.batches == [{'front': 1}, {'front': 3}]


def test_stop_does_not_wait_for_a_busy_thread() -> None:
    handler = Handler()
    worker: Worker[int] = Worker(handler, handler.errors.append)
    worker.offer('front', 1)
    handler.wait()
    assert not worker.stop(0.01)
    handler.go.release()
    assert worker.stop(20.0)


def test_a_task_that_fails_tells_whoever_asked() -> None:
    handler = Handler()
    worker: Worker[int] = Worker(handler, handler.errors.append)

    def fail() -> None:
        raise ValueError('a bad task')

    assert str(worker.submit(fail).exception(20.0)) == 'a bad task'
    assert worker.submit(lambda: 7).result(20.0) == 7
    assert worker.stop(20.0)
    assert not handler.errors


def test_a_failed_task_is_not_kept_by_its_own_error() -> None:
    class Load:
        """What a task had in hand when it failed, half of a network say."""

    handler = Handler()
    worker: Worker[int] = Worker(handler, handler.errors.append)
    kept: list[weakref.ref[Load]] = []

    def fail() -> None:
        load = Load()
        kept.append(weakref.ref(load))
        raise ValueError('out of memory')

    gc.disable()
    try:
        future = worker.submit(fail)
        assert future.exception(20.0) is not None
        # Behind this one the worker has let go of the failed task.
        assert worker.submit(lambda: 7).result(20.0) == 7
        del future
        assert kept[0]() is None
    finally:
        gc.enable()
    assert worker.stop(20.0)
