"""Process many bags, one after the other or in several processes; one that fails stops no other.

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
from typing import Any, NamedTuple, TypeVar

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.bag.plan import BagPlan, ProcessOptions
from depth_anything_ros.bag.process import BagInterrupted, plan_bag, process_planned
from depth_anything_ros.bag.signals import stop_signals
from depth_anything_ros.bag.summary import BagState, BagSummary, bag_name
from depth_anything_ros.bag.writing import check_outside
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters

__all__ = ['process_bags']


class _Job(NamedTuple):
    """A bag, where its output goes, and what to do with it."""

    bag: Path
    out: Path
    plan: BagPlan


Result = TypeVar('Result')
OnProgress = Callable[[int, int], None]

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
    on_progress: OnProgress = lambda done, total: None,
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
    results: dict[int, BagSummary] = {}
    work: dict[int, _Job] = {}
    for number, (bag, target) in enumerate(_outputs(bags, out)):
        plan = _attempt(bag, partial(plan_bag, bag, target, parameters, options), alone=alone)
        if isinstance(plan, BagSummary):
            results[number] = plan
        elif plan is None:
            results[number] = BagSummary(bag, target, BagState.WAS_THERE)
        else:
            work[number] = _Job(bag, target, plan)
    if work:
        images = sum(job.plan.images for job in work.values())
        done = 0

        def on_images(count: int) -> None:
            nonlocal done
            done += count
            on_progress(done, max(images, done))

        if not alone:
            _make_folder(out)
        fetch(parameters)
        with stop_signals() as stop:
            if jobs > 1 and len(work) > 1:
                crew = _Crew(work, parameters, on_images, stop)
                results |= crew.process(min(jobs, len(work)))
            else:
                results |= _one_by_one(work, parameters, on_images, stop, alone)
    return [results[number] for number in range(len(bags))]


def _one_by_one(
    work: Mapping[int, _Job],
    parameters: Parameters,
    on_images: Callable[[int], None],
    stop: Callable[[], str],
    alone: bool,
) -> dict[int, BagSummary]:
    """Return the summary of each job, by number."""
    backend = load_backend(parameters)
    results: dict[int, BagSummary] = {}
    try:
        for number, job in work.items():
            if received := stop():
                results[number] = _not_begun(job, received)
            else:
                process = partial(process_planned, *job, backend, parameters, on_images, stop)
                results[number] = _attempt(job.bag, process, alone=alone)
    finally:
        backend.close()
    return results


def _attempt(bag: Path, act: Callable[[], Result], *, alone: bool = False) -> Result | BagSummary:
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


@dataclass
class _BagProcess:
    """One process of the crew, and the number of the job it works on."""

    process: Any
    connection: Connection
    number: int | None = None


class _Crew:
    """Processes that share the jobs among them."""

    def __init__(
        self,
        work: Mapping[int, _Job],
        parameters: Parameters,
        on_images: Callable[[int], None],
        stop: Callable[[], str],
    ) -> None:
        self._work, self._parameters = work, parameters
        self._on_images, self._stop = on_images, stop
        self._waiting = list(work)[::-1]
        self._members: list[_BagProcess] = []
        self._results: dict[int, BagSummary] = {}

    def process(self, size: int) -> dict[int, BagSummary]:
        """Return the summary of each job, by number."""
        terminated = False
        try:
            while len(self._results) < len(self._work):
                if self._stop() and not terminated:
                    terminated = True
                    self._terminate()
                self._assign(size)
                self._receive()
        except KeyboardInterrupt:
            self._terminate()
            self._drain()
        finally:
            self._shut_down()
        return self._results

    def _assign(self, size: int) -> None:
        """Give waiting jobs to idle processes, of which there are at most `size`."""
        while self._waiting:
            idle = next((each for each in self._members if each.number is None), None)
            if idle is None:
                if len(self._members) == size:
                    return
                idle = self._spawn()
            idle.number = self._waiting.pop()
            # One that has just died is noticed when receiving.
            with suppress(OSError):
                idle.connection.send(self._work[idle.number])

    def _spawn(self) -> _BagProcess:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(theirs, self._parameters), daemon=True)
        process.start()
        # Else its end would not end the connection.
        theirs.close()
        member = _BagProcess(process, ours)
        self._members.append(member)
        return member

    def _receive(self) -> None:
        """Take what the processes send, for half a second at most: signals are to be noticed."""
        ready = wait([each.connection for each in self._members], _POLL_S)
        for member in [each for each in self._members if each.connection in ready]:
            try:
                received = member.connection.recv()
            except (EOFError, OSError):
                self._reap(member)
                continue
            if isinstance(received, BagSummary):
                assert member.number is not None
                self._results[member.number], member.number = received, None
            else:
                self._on_images(received)

    def _reap(self, member: _BagProcess) -> None:
        """Name the bag at which a process died; another one takes the next bag."""
        self._members.remove(member)
        member.connection.close()
        member.process.join(_POLL_S)
        if member.number is not None:
            why = (
                f'its process ended with status {member.process.exitcode}: see above, or look '
                'whether memory ran out; then try fewer jobs'
            )
            bag = self._work[member.number].bag
            self._results[member.number] = BagSummary(bag, None, BagState.FAILED, why=why)

    def _terminate(self) -> None:
        """Begin no other bag, and have the processes stop."""
        for number in self._waiting:
            self._results[number] = _not_begun(self._work[number], self._stop())
        self._waiting.clear()
        # A terminal sends Ctrl-C to all of them, `kill` and a supervisor to this one alone.
        for member in self._members:
            with suppress(OSError):
                os.kill(member.process.pid, signal.SIGTERM)

    def _drain(self) -> None:
        """Receive the summaries of processes that were interrupted as well."""
        end_s = time.monotonic() + _SHUTDOWN_TIMEOUT_S
        while len(self._results) < len(self._work) and time.monotonic() < end_s:
            self._receive()
        for number in self._work.keys() - self._results.keys():
            bag = self._work[number].bag
            self._results[number] = BagSummary(bag, None, BagState.STOPPED, why='interrupted')

    def _shut_down(self) -> None:
        for member in self._members:
            with suppress(OSError):
                member.connection.send(None)
            member.connection.close()
        for member in self._members:
            member.process.join(_SHUTDOWN_TIMEOUT_S)
            if member.process.is_alive():
                member.process.kill()


def _serve(connection: Connection, parameters: Parameters) -> None:
    """Process the jobs that come, in a process of its own, until None comes."""
    backend: DepthBackend | None = None

    def process(job: _Job) -> BagSummary:
        nonlocal backend
        backend = backend or load_backend(parameters)
        return process_planned(*job, backend, parameters, connection.send, stop)

    with stop_signals() as stop, suppress(EOFError, OSError, KeyboardInterrupt):
        while (job := connection.recv()) is not None:
            connection.send(_attempt(job.bag, partial(process, job)))


def _outputs(bags: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Return each bag with where its output goes."""
    if len(bags) == 1:
        return [(bags[0], out)]
    pairs: list[tuple[Path, Path]] = []
    for bag in bags:
        check_outside(bag, out)
        name = bag_name(bag)
        target = out / (name if bag.is_dir() else Path(name).stem)
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


def _not_begun(job: _Job, signal_name: str) -> BagSummary:
    why = f'stopped by {signal_name} before it began'
    return BagSummary(job.bag, None, BagState.STOPPED, why=why)
