"""Many bags, one after the other or in several processes; what goes wrong with one is its own.

Each process keeps its network, and takes the next bag when it is done with one. All run with the
same number of threads, however many there are: that number decides about the last bits.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from depth_anything_ros.bag.process import process_bag
from depth_anything_ros.bag.processing.interruption import interruption
from depth_anything_ros.bag.processing.plan import Choice, find_images
from depth_anything_ros.bag.processing.results import BagSummary, State
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.writing import check_free
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.pipeline import load_backend

__all__ = ['process_bags']

OnProgress = Callable[[int, int], None]

_PATIENCE_S = 0.5
# A process may have to close a bag, behind the image at hand.
_LAST_WORDS_S = 60.0

_CONTEXT = multiprocessing.get_context('spawn')


def process_bags(
    bags: Sequence[Path],
    out: Path,
    parameters: Parameters,
    choice: Choice | None = None,
    jobs: int = 1,
    on_progress: OnProgress = lambda done, total: None,
) -> list[BagSummary]:
    """Process one bag into `out`, or several into bags of their names in the folder `out`.

    A single bag that cannot be processed is a DepthAnythingError; of several it is named in its
    summary, and the rest go on. `on_progress` hears how many of how many images are done.
    """
    choice = choice or Choice()
    if jobs < 1:
        raise SettingError(f'jobs is {jobs}: give 1 or more')
    work = _outputs(bags, out)
    images = sum(_count(bag, choice) for bag in bags)
    done = 0

    def on_images(count: int) -> None:
        nonlocal done
        done += count
        on_progress(done, max(images, done))

    if jobs > 1 and len(work) > 1:
        return _Crew(parameters, choice, on_images).process(work, min(jobs, len(work)))
    if len(work) == 1 and not choice.resume:
        # Before a network is loaded, which takes its time.
        check_free(out)
    backend = load_backend(parameters)
    try:
        with interruption() as stop:
            results = []
            for bag, target in work:
                if stop():
                    results.append(_not_begun(bag, stop()))
                    continue
                try:
                    result = process_bag(bag, target, backend, parameters, choice, on_images, stop)
                except DepthAnythingError as err:
                    if len(work) == 1:
                        raise
                    result = _failed(bag, str(err))
                results.append(result)
    finally:
        backend.close()
    return results


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

    def process(self, work: list[tuple[Path, Path]], size: int) -> list[BagSummary]:
        """Give what came of each, in the order of `work`."""
        waiting = list(enumerate(work))[::-1]
        told = False
        with interruption() as stop:
            try:
                while len(self._results) < len(work):
                    if stop() and not told:
                        told = True
                        self._tell_to_stop()
                        for number, (bag, _) in waiting:
                            self._results[number] = _not_begun(bag, stop())
                        waiting.clear()
                    self._hand_out(waiting, size)
                    self._listen(work)
            finally:
                self._dismiss()
        return [self._results[number] for number in range(len(work))]

    def _hand_out(self, waiting: list[tuple[int, tuple[Path, Path]]], size: int) -> None:
        while waiting:
            idle = next((each for each in self._workers if each.number is None), None)
            if idle is None:
                if len(self._workers) == size:
                    return
                idle = self._hire()
            idle.number, job = waiting.pop()
            # One that has just died is noticed by listening.
            with suppress(OSError):
                idle.connection.send(job)

    def _hire(self) -> _Worker:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
        process.start()
        # Else its end would not end the connection.
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _listen(self, work: list[tuple[Path, Path]]) -> None:
        """Take what the processes say, for half a second at most: signals want to be heard."""
        ready = wait([each.connection for each in self._workers], _PATIENCE_S)
        for worker in [each for each in self._workers if each.connection in ready]:
            try:
                said = worker.connection.recv()
            except (EOFError, OSError):
                self._bury(worker, work)
                continue
            if isinstance(said, BagSummary):
                assert worker.number is not None
                self._results[worker.number], worker.number = said, None
            else:
                self._on_images(said)

    def _bury(self, worker: _Worker, work: list[tuple[Path, Path]]) -> None:
        """Name the bag at which a process died; another one takes the next bag."""
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join(_PATIENCE_S)
        if worker.number is not None:
            self._results[worker.number] = _failed(
                work[worker.number][0],
                f'its process ended with status {worker.process.exitcode}: see above, or look '
                'whether memory ran out; then try fewer jobs',
            )

    def _tell_to_stop(self) -> None:
        # A terminal sends Ctrl-C to all of them, `kill` and a supervisor to this one alone.
        for worker in self._workers:
            with suppress(OSError):
                os.kill(worker.process.pid, signal.SIGTERM)

    def _dismiss(self) -> None:
        for worker in self._workers:
            with suppress(OSError):
                worker.connection.send(None)
            worker.connection.close()
        for worker in self._workers:
            worker.process.join(_LAST_WORDS_S)
            if worker.process.is_alive():
                worker.process.kill()


def _serve(connection: Connection, parameters: Parameters, choice: Choice) -> None:
    """Process the bags that come, in a process of its own, until None comes."""
    backend = None
    with interruption() as stop, suppress(EOFError):
        while (job := connection.recv()) is not None:
            bag, out = job
            try:
                backend = backend or load_backend(parameters)
                result = process_bag(bag, out, backend, parameters, choice, connection.send, stop)
            except DepthAnythingError as err:
                result = _failed(bag, str(err))
            connection.send(result)


def _outputs(bags: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair each bag with where its output goes."""
    if len(bags) == 1:
        return [(bags[0], out)]
    work = [(bag, out / (bag.name if bag.is_dir() else bag.stem)) for bag in bags]
    for number, (bag, target) in enumerate(work):
        for other, same in work[:number]:
            if target == same:
                raise SettingError(
                    f'{bag} and {other} would both become {target}: rename one, or process them '
                    'one after the other'
                )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise SettingError(
            f'{out} cannot be a folder ({err.strerror}): name another output'
        ) from err
    return work


def _count(bag: Path, choice: Choice) -> int:
    """Count the images of a bag; 0 where it cannot be read, which is told in its turn."""
    try:
        with BagReader(bag) as reader:
            return sum(reader.topics[name].count for name in find_images(reader, choice))
    except DepthAnythingError:
        return 0


def _failed(bag: Path, why: str) -> BagSummary:
    return BagSummary(bag, None, State.FAILED, why=why)


def _not_begun(bag: Path, signal_name: str) -> BagSummary:
    return BagSummary(bag, None, State.STOPPED, why=f'stopped by {signal_name} before it began')
