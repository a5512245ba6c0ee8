"""Many bags, one after the other or in several processes; what goes wrong with one is its own.

Each process keeps its network, and takes the next bag when it is done with one. All run with the
same number of threads, however many there are: that number decides about the last bits.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.bag.process import check_bag, process_bag
from depth_anything_ros.bag.processing.interruption import interruption
from depth_anything_ros.bag.processing.plan import Choice
from depth_anything_ros.bag.processing.results import BagSummary, State, bag_name
from depth_anything_ros.bag.writing import check_outside
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters

__all__ = ['process_bags']

Job: TypeAlias = tuple[Path, Path]
"""A bag, and where its output goes."""

Found = TypeVar('Found')
OnProgress = Callable[[int, int], None]

_PATIENCE_S = 0.5
# A process may have to close a bag, behind the image at hand.
_SHUTDOWN_TIMEOUT_S = 60.0

_CONTEXT = multiprocessing.get_context('spawn')


def process_bags(
    bags: Sequence[Path],
    out: Path,
    parameters: Parameters,
    choice: Choice | None = None,
    jobs: int = 1,
    on_progress: OnProgress = lambda done, total: None,
    fetch: Callable[[Parameters], None] = fetch_weights,
) -> list[BagSummary]:
    """Process one bag into `out`, or several into bags of their names in the folder `out`.

    A single bag that cannot be processed is a DepthAnythingError; of several it is named in its
    summary, and the rest go on. `on_progress` hears how many of how many images are done. `fetch`
    brings the weights, once it is known that there is something to do.
    """
    choice = choice or Choice()
    if jobs < 1:
        raise SettingError(f'jobs is {jobs}: give 1 or more')
    out = out.expanduser()
    work = _outputs(bags, out)
    results: dict[int, BagSummary] = {}
    images = 0
    for number, job in enumerate(work):
        found = _attempt(job, partial(_look_at, job, parameters, choice), alone=len(work) == 1)
        if isinstance(found, BagSummary):
            results[number] = found
        else:
            images += found
    waiting = {number: job for number, job in enumerate(work) if number not in results}
    if waiting:
        done = 0

        def on_images(count: int) -> None:
            nonlocal done
            done += count
            on_progress(done, max(images, done))

        if len(work) > 1:
            _make_folder(out)
        fetch(parameters)
        if jobs > 1 and len(waiting) > 1:
            crew = _Crew(parameters, choice, on_images)
            results |= crew.process(waiting, min(jobs, len(waiting)))
        else:
            alone = len(work) == 1
            results |= _one_by_one(waiting, parameters, choice, on_images, alone)
    return [results[number] for number in range(len(work))]


def _one_by_one(
    waiting: Mapping[int, Job],
    parameters: Parameters,
    choice: Choice,
    on_images: Callable[[int], None],
    alone: bool,
) -> dict[int, BagSummary]:
    """Return what came of each, by number."""
    backend = load_backend(parameters)
    results: dict[int, BagSummary] = {}
    try:
        with interruption() as stop:
            for number, job in waiting.items():
                if asked := stop():
                    results[number] = _not_begun(job, asked)
                    continue
                process = partial(process_bag, *job, backend, parameters, choice, on_images, stop)
                results[number] = _attempt(job, process, alone=alone)
    finally:
        backend.close()
    return results


def _attempt(job: Job, act: Callable[[], Found], *, alone: bool = False) -> Found | BagSummary:
    """Do something with a bag; what goes wrong is its own, or an error where it is `alone`."""
    try:
        return act()
    except KeyboardInterrupt as err:
        if not err.args:
            raise
        return _stopped(job, str(err))
    except DepthAnythingError as err:
        if alone:
            raise
        return _failed(job, str(err))
    except Exception as err:
        where = traceback.extract_tb(err.__traceback__)[-1]
        why = (
            f'bag {job[0]}: unforeseen {type(err).__name__} in {where.filename}, line '
            f'{where.lineno} ({" ".join(str(err).split())}): please report it'
        )
        if alone:
            raise DepthAnythingError(why) from err
        return _failed(job, why)


def _look_at(job: Job, parameters: Parameters, choice: Choice) -> int | BagSummary:
    """Count the images of a bag that can be processed, unless it was before."""
    bag, out = job
    count = check_bag(bag, out, parameters, choice)
    return BagSummary(bag, out, State.WAS_THERE) if count is None else count


@dataclass
class _Worker:
    """One process, and the number of the bag it works on."""

    process: Any
    connection: Connection
    number: int | None = None


class _Crew:
    """Processes that share the bags among them."""

    def __init__(
        self, parameters: Parameters, choice: Choice, on_images: Callable[[int], None]
    ) -> None:
        self._arguments = parameters, choice
        self._on_images = on_images
        self._workers: list[_Worker] = []
        self._results: dict[int, BagSummary] = {}

    def process(self, work: Mapping[int, Job], size: int) -> dict[int, BagSummary]:
        """Return what came of each, by number."""
        waiting = list(work.items())[::-1]
        told = False
        with interruption() as stop:
            try:
                while len(self._results) < len(work):
                    if stop() and not told:
                        told = True
                        self._stop(waiting, stop())
                    self._hand_out(waiting, size)
                    self._listen(work)
            except KeyboardInterrupt:
                self._stop(waiting, stop())
                self._drain(work)
            finally:
                self._dismiss()
        return self._results

    def _hand_out(self, waiting: list[tuple[int, Job]], size: int) -> None:
        while waiting:
            idle = next((each for each in self._workers if each.number is None), None)
            if idle is None:
                if len(self._workers) == size:
                    return
                idle = self._spawn()
            idle.number, job = waiting.pop()
            # One that has just died is noticed by listening.
            with suppress(OSError):
                idle.connection.send(job)

    def _spawn(self) -> _Worker:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
        process.start()
        # Else its end would not end the connection.
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _listen(self, work: Mapping[int, Job]) -> None:
        """Take what the processes say, for half a second at most: signals want to be heard."""
        ready = wait([each.connection for each in self._workers], _PATIENCE_S)
        for worker in [each for each in self._workers if each.connection in ready]:
            try:
                said = worker.connection.recv()
            except (EOFError, OSError):
                self._reap(worker, work)
                continue
            if isinstance(said, BagSummary):
                assert worker.number is not None
                self._results[worker.number], worker.number = said, None
            else:
                self._on_images(said)

    def _reap(self, worker: _Worker, work: Mapping[int, Job]) -> None:
        """Name the bag at which a process died; another one takes the next bag."""
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join(_PATIENCE_S)
        if worker.number is not None:
            self._results[worker.number] = _failed(
                work[worker.number],
                f'its process ended with status {worker.process.exitcode}: see above, or look '
                'whether memory ran out; then try fewer jobs',
            )

    def _stop(self, waiting: list[tuple[int, Job]], asked: str) -> None:
        """Begin no other bag, and tell the processes."""
        for number, job in waiting:
            self._results[number] = _not_begun(job, asked)
        waiting.clear()
        # A terminal sends Ctrl-C to all of them, `kill` and a supervisor to this one alone.
        for worker in self._workers:
            with suppress(OSError):
                os.kill(worker.process.pid, signal.SIGTERM)

    def _drain(self, work: Mapping[int, Job]) -> None:
        """Take the last words of processes that heard the interruption as well."""
        end_s = time.monotonic() + _SHUTDOWN_TIMEOUT_S
        while len(self._results) < len(work) and time.monotonic() < end_s:
            self._listen(work)
        for number in work.keys() - self._results.keys():
            self._results[number] = _stopped(work[number], 'interrupted')

    def _dismiss(self) -> None:
        for worker in self._workers:
            with suppress(OSError):
                worker.connection.send(None)
            worker.connection.close()
        for worker in self._workers:
            worker.process.join(_SHUTDOWN_TIMEOUT_S)
            if worker.process.is_alive():
                worker.process.kill()


def _serve(connection: Connection, parameters: Parameters, choice: Choice) -> None:
    """Process the bags that come, in a process of its own, until None comes."""
    backend: DepthBackend | None = None

    def process(job: Job) -> BagSummary:
        nonlocal backend
        backend = backend or load_backend(parameters)
        return process_bag(*job, backend, parameters, choice, connection.send, stop)

    with interruption() as stop, suppress(EOFError, OSError):
        while (job := connection.recv()) is not None:
            connection.send(_attempt(job, partial(process, job)))


def _outputs(bags: Sequence[Path], out: Path) -> list[Job]:
    """Pair each bag with where its output goes."""
    if len(bags) == 1:
        return [(bags[0], out)]
    work: list[Job] = []
    for bag in bags:
        check_outside(bag, out)
        name = bag_name(bag)
        target = out / (name if bag.is_dir() else Path(name).stem)
        for other, same in work:
            if target == same:
                raise SettingError(
                    f'{bag} and {other} would both become {target}: rename one, or process them '
                    'one after the other'
                )
        work.append((bag, target))
    return work


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise SettingError(
            f'{out} cannot be a folder ({err.strerror}): name another output'
        ) from err


def _failed(job: Job, why: str) -> BagSummary:
    return BagSummary(job[0], None, State.FAILED, why=why)


def _stopped(job: Job, why: str) -> BagSummary:
    return BagSummary(job[0], None, State.STOPPED, why=why)


def _not_begun(job: Job, signal_name: str) -> BagSummary:
    return _stopped(job, f'stopped by {signal_name} before it began')
