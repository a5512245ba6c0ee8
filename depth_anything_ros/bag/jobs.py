"""Process many bags, one after the other or in several processes; one that fails stops no other.

Each process keeps its network, and takes the next bag when it is done with one. All run with the
same number of threads, however many there are: that number decides about the last bits.
"""

from __future__ import annotations

import multiprocessing
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TypeVar

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.bag.opening import unpacked_name
from depth_anything_ros.bag.plan import BagPlan, ProcessOptions
from depth_anything_ros.bag.process import BagInterrupted, plan_bag, process_bag
from depth_anything_ros.bag.signals import stop_signals
from depth_anything_ros.bag.summary import BagState, BagSummary, bag_name
from depth_anything_ros.bag.writing import check_outside
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters

__all__ = ['attempt', 'not_begun', 'process_bags']


Result = TypeVar('Result')

_POLL_S = 0.5
# A process may have to close a bag, behind the image at hand.
_SHUTDOWN_TIMEOUT_S = 60.0

_CONTEXT = multiprocessing.get_context('spawn')


def process_bags(
    bags: Sequence[Path],
    out: Path,
    parameters: Parameters,
    options: ProcessOptions | None = None,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    fetch: Callable[[Parameters], None] = fetch_weights,
) -> list[BagSummary]:
    """Process one bag into `out`, or several into bags of their names in the folder `out`.

    All bags are checked and planned before the network is loaded. A single bag that cannot be
    processed is a DepthAnythingError; of several it is named in its summary, and the rest go on.
    `on_progress` is called with the images done and those of all bags. `fetch` downloads the
    weights, if there is something to do. SIGINT and SIGTERM stop it after the image at hand.
    """
    options = options or ProcessOptions()
    if jobs < 1:
        raise SettingError(f'jobs is {jobs}: give 1 or more')
    out = out.expanduser()
    alone = len(bags) == 1
    planned: list[BagPlan | BagSummary] = []
    for bag, target in _outputs(bags, out):
        plan = attempt(bag, partial(plan_bag, bag, target, parameters, options), alone=alone)
        planned.append(plan or BagSummary(bag, target, BagState.WAS_THERE))
    work = [plan for plan in planned if isinstance(plan, BagPlan)]
    results: list[BagSummary] = []
    if work:
        images = sum(plan.images for plan in work)
        done, lock = 0, threading.Lock()

        def on_images(count: int) -> None:
            nonlocal done
            with lock:
                done += count
                on_progress(done, max(images, done))

        if not alone:
            _make_folder(out)
        fetch(parameters)
        with stop_signals() as stop:
            if jobs > 1 and len(work) > 1:
                size = min(jobs, len(work))
                results = _in_processes(work, parameters, on_images, stop, size)
            else:
                results = _one_by_one(work, parameters, on_images, stop, alone)
    ended = iter(results)
    return [next(ended) if isinstance(each, BagPlan) else each for each in planned]


def _one_by_one(
    work: Sequence[BagPlan],
    parameters: Parameters,
    on_images: Callable[[int], None],
    stop: Callable[[], str],
    alone: bool,
) -> list[BagSummary]:
    """Return the summary of each bag."""
    with closing(load_backend(parameters)) as backend:

        def process(plan: BagPlan) -> BagSummary:
            if received := stop():
                return not_begun(plan.bag, received)
            return process_bag(plan, backend, parameters, on_images, stop)

        return [attempt(plan.bag, partial(process, plan), alone=alone) for plan in work]


def attempt(bag: Path, act: Callable[[], Result], *, alone: bool = False) -> Result | BagSummary:
    """Return what `act` does, or how it failed; that is an error where the bag is `alone`."""
    try:
        return act()
    except BagInterrupted as err:
        return BagSummary(bag, None, BagState.STOPPED, why=str(err))
    except DepthAnythingError as err:
        if alone:
            raise
        return BagSummary(bag, None, BagState.FAILED, why=str(err))
    except Exception as err:
        where = traceback.extract_tb(err.__traceback__)[-1]
        why = (
            f'bag {bag}: unforeseen {type(err).__name__} in {where.filename}, line '
            f'{where.lineno} ({" ".join(str(err).split())}): please report it'
        )
        if alone:
            raise DepthAnythingError(why) from err
        return BagSummary(bag, None, BagState.FAILED, why=why)


class _Worker:
    """A process that keeps its network and takes one bag after the other, started when needed."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._process: SpawnProcess | None = None

    def process(
        self, plan: BagPlan, on_images: Callable[[int], None], stop: Callable[[], str]
    ) -> BagSummary:
        """Return the summary of a bag, also where the process died of it."""
        if received := stop():
            return not_begun(plan.bag, received)
        if self._process is None or not self._process.is_alive():
            self._connection, theirs = _CONTEXT.Pipe()
            arguments = theirs, self._parameters
            process = _CONTEXT.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            # Else its end would not end the connection.
            theirs.close()
            # Only once it can be terminated, which another thread does.
            self._process = process
        with suppress(OSError):
            self._connection.send(plan)
        while True:
            try:
                found = self._connection.recv()
            except (EOFError, OSError):
                self._process.join(_POLL_S)
                break
            if isinstance(found, BagSummary):
                return found
            on_images(found)
        if stop():
            return BagSummary(plan.bag, None, BagState.STOPPED, why='interrupted')
        why = (
            f'its process ended with status {self._process.exitcode}: see above, or look whether '
            'memory ran out; then try fewer jobs'
        )
        return BagSummary(plan.bag, None, BagState.FAILED, why=why)

    def terminate(self) -> None:
        """Have the process stop after the image at hand, as by `kill`."""
        if self._process is not None:
            self._process.terminate()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            with suppress(OSError):
                self._connection.send(None)
            self._process.join(_SHUTDOWN_TIMEOUT_S)
            self._process.kill()


def _in_processes(
    work: Sequence[BagPlan],
    parameters: Parameters,
    on_images: Callable[[int], None],
    stop: Callable[[], str],
    size: int,
) -> list[BagSummary]:
    """Return the summary of each bag; `size` processes share them."""
    workers = [_Worker(parameters) for _ in range(size)]
    idle = workers.copy()

    def process(plan: BagPlan) -> BagSummary:
        worker = idle.pop()
        try:
            return worker.process(plan, on_images, stop)
        finally:
            idle.append(worker)

    pool = ThreadPoolExecutor(size)
    futures = [pool.submit(process, plan) for plan in work]
    try:
        pending = set(futures)
        while pending:
            done, pending = wait(pending, _POLL_S, FIRST_COMPLETED)
            for future in done:
                future.result()
            # A terminal sends Ctrl-C to all of them, `kill` and a supervisor to this one alone.
            if stop():
                for worker in workers:
                    worker.terminate()
    except KeyboardInterrupt:
        for worker in workers:
            worker.terminate()
        wait(futures, _SHUTDOWN_TIMEOUT_S)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        for worker in workers:
            worker.close()
        pool.shutdown()
    return [future.result() for future in futures]


def _serve(connection: Connection, parameters: Parameters) -> None:
    """Process the bags that come, in a process of its own, until None comes."""
    backend: DepthBackend | None = None

    def process(plan: BagPlan) -> BagSummary:
        nonlocal backend
        backend = backend or load_backend(parameters)
        return process_bag(plan, backend, parameters, connection.send, stop)

    with stop_signals() as stop, suppress(EOFError, OSError, KeyboardInterrupt):
        while (plan := connection.recv()) is not None:
            connection.send(attempt(plan.bag, partial(process, plan)))


def _outputs(bags: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Return each bag with where its output goes."""
    if len(bags) == 1:
        return [(bags[0], out)]
    pairs: list[tuple[Path, Path]] = []
    for bag in bags:
        check_outside(bag, out)
        name = bag_name(bag)
        target = out / (name if bag.is_dir() else Path(unpacked_name(name)).stem)
        for other, same in pairs:
            if target == same:
                raise SettingError(
                    f'{bag} and {other} would both become {target}: rename one, or process them '
                    'one after the other'
                )
        pairs.append((bag, target))
    return pairs


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise SettingError(
            f'{out} cannot be a folder ({err.strerror}): name another output'
        ) from err


def not_begun(bag: Path, signal_name: str) -> BagSummary:
    """Return the summary of a bag that a signal came before."""
    why = f'stopped by {signal_name} before it began'
    return BagSummary(bag, None, BagState.STOPPED, why=why)
