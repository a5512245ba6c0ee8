"""Process many bags by workers of Ray, which schedules them and replaces those that are lost."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

import depth_anything_ros
from depth_anything_ros.bag.fleet.places import FleetBag
from depth_anything_ros.bag.fleet.worker import BagWorker, FleetResult, Judge
from depth_anything_ros.bag.jobs import not_begun
from depth_anything_ros.bag.plan import ProcessOptions
from depth_anything_ros.bag.signals import stop_signals
from depth_anything_ros.bag.summary import BagState, BagSummary
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import Parameters

__all__ = ['Cluster', 'run_fleet']

_POLL_S = 0.5
_START_TIMEOUT_S = 120.0
_REACHED_TIMEOUT_S = 5.0
_ADDRESS = re.compile(r'(?:ray://)?([^:/]+):(\d+)')
_OBJECTS_BYTES = 80 * 2**20
"""Ray's shared memory on this machine; only summaries pass through it."""


@dataclass(frozen=True)
class Cluster:
    """Where the workers run.

    `address` of a Ray cluster; '' starts one on this machine, for this run. `workers`: 0 takes as
    many as fit. `gpus` is the share of a GPU of each worker; None is 1 where the cluster has GPUs.
    `retries` counts how often a bag starts again whose worker was lost.
    """

    address: str = ''
    workers: int = 0
    gpus: float | None = None
    retries: int = 2


def run_fleet(
    bags: Sequence[FleetBag],
    parameters: Parameters,
    options: ProcessOptions,
    cluster: Cluster,
    on_result: Callable[[FleetResult], None],
    judges: Sequence[Judge] = (),
) -> None:
    """Process the bags and call `on_result` with each as it ends; none stops the others.

    The `judges` judge each bag that is processed, in its worker.
    A worker runs on `parameters.threads` CPUs, 1 where that is 0: results depend in their last
    bits on this number. SIGINT and SIGTERM stop each worker after the image at hand. Raises
    SettingError for a cluster that cannot be reached, or has no room for one worker.
    """
    parameters = replace(parameters, threads=parameters.threads or 1)
    with _connected(cluster, parameters.threads), stop_signals() as stop:
        workers = _started(cluster, (parameters, options, judges), len(bags))
        waiting, running = list(reversed(bags)), dict[Any, tuple[FleetBag, Any]]()
        stopped = ''
        while waiting or running:
            if (received := stop()) and not stopped:
                stopped = received
                for worker in workers:
                    worker.stop.remote(received)
                for bag in waiting:
                    on_result(FleetResult(bag, not_begun(Path(bag.source), received)))
                waiting = []
            busy = [worker for _, worker in running.values()]
            for worker in workers:
                if worker not in busy and waiting:
                    bag = waiting.pop()
                    running[worker.process.remote(bag)] = bag, worker
            done, _ = ray.wait(list(running), timeout=_POLL_S) if running else ([], [])
            for reference in done:
                bag, _ = running.pop(reference)
                on_result(_result(reference, bag, cluster.retries))


def _result(reference: Any, bag: FleetBag, retries: int) -> FleetResult:
    try:
        found: FleetResult = ray.get(reference)
        return found
    except ray.exceptions.RayError as err:
        first = str(err).strip().partition('\n')[0]
        why = (
            f'its worker was lost in each of {retries + 1} tries ({first}): look whether memory '
            'ran out on its machine; then try fewer workers'
        )
        return FleetResult(bag, BagSummary(Path(bag.source), None, BagState.FAILED, why=why))


@contextmanager
def _connected(cluster: Cluster, threads: int) -> Iterator[None]:
    """Join the cluster, or start one on this machine."""
    # Nothing is to be reported about the user's machines.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    here: dict[str, Any] = {'address': cluster.address}
    if not cluster.address:
        cpus = max(os.cpu_count() or 1, cluster.workers * threads)
        here = {
            'address': 'local',
            'num_cpus': cpus,
            'include_dashboard': False,
            'object_store_memory': _OBJECTS_BYTES,
        }
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        if host := _ADDRESS.fullmatch(cluster.address):
            # Ray itself would try for minutes.
            socket.create_connection((host[1], int(host[2])), _REACHED_TIMEOUT_S).close()
        ray.init(**here, log_to_driver=False, logging_level='error')
    except (OSError, ValueError, RuntimeError) as err:
        reason = ' '.join(str(err).split())
        where = cluster.address or 'this machine'
        raise SettingError(
            f'no Ray cluster at {where}: {reason}; start one with `ray start --head`, or leave '
            '--address out'
        ) from err
    # Ray's own would go on beyond this run, and end it without a word.
    if signal.getsignal(signal.SIGTERM) is not on_term:
        signal.signal(signal.SIGTERM, on_term)
    try:
        yield
    finally:
        ray.shutdown()


def _started(
    cluster: Cluster, arguments: tuple[Parameters, ProcessOptions, Sequence[Judge]], bags: int
) -> list[Any]:
    """Return the workers, which have been heard of and run the version of this package."""
    threads = arguments[0].threads
    has = ray.cluster_resources()
    gpus = cluster.gpus if cluster.gpus is not None else min(1.0, has.get('GPU', 0.0))
    fit = int(has.get('CPU', 0.0) // threads)
    if gpus:
        fit = min(fit, int(has.get('GPU', 0.0) / gpus))
    wanted = cluster.workers or min(fit, bags)
    if not 0 < wanted <= fit:
        raise SettingError(
            f'{max(1, wanted)} workers on {threads} CPUs and {gpus:g} GPUs each do not '
            f'fit into {has.get("CPU", 0):g} CPUs and {has.get("GPU", 0):g} GPUs: take fewer '
            '(--workers), or smaller ones (--threads, --gpus-per-worker)'
        )
    kind = ray.remote(
        num_cpus=threads,
        num_gpus=gpus,
        max_restarts=-1,
        max_task_retries=cluster.retries,
        # stop() runs beside process().
        max_concurrency=2,
    )(BagWorker)
    workers = [kind.remote(*arguments) for _ in range(min(wanted, bags))]
    try:
        versions = ray.get([each.version.remote() for each in workers], timeout=_START_TIMEOUT_S)
    except (ray.exceptions.RayError, TimeoutError) as err:
        reason = ' '.join(str(err).split())[-300:]
        raise SettingError(
            f'no worker could start: {reason}; install depth_anything_ros[bag,fleet] on every '
            'machine of the cluster, and look whether other jobs take its room (`ray status`)'
        ) from err
    here = depth_anything_ros.__version__
    if others := set(versions) - {here}:
        raise SettingError(
            f'a machine of the cluster has depth_anything_ros {min(others)}, this one {here}: '
            'install the same on all of them'
        )
    return workers
