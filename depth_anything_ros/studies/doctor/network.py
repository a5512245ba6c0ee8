"""Checks of the weights on disk and of each backend, on the network that is installed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.core.errors import BackendError, WeightsError
from depth_anything_ros.core.packages import pip_install
from depth_anything_ros.model.inventory import FileState, verify
from depth_anything_ros.model.releases import release_for
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.network_process import NetworkProcess
from depth_anything_ros.studies.bench.network_worker import NetworkWorker
from depth_anything_ros.studies.doctor.check import Check, fail, guarded, ok, warn

__all__ = ['network_checks']

_CALLS = 10
_FETCH = 'depth_anything weights fetch --variant vits'


def network_checks() -> Iterator[Check]:
    """Yield the check of the weights and one for each backend; a backend takes seconds."""
    yield guarded('weights', _weights)
    for name in ('torch', 'openvino', 'onnxruntime'):
        yield guarded(name, partial(_backend, name))


def _weights() -> Check:
    try:
        rows = verify()
    except WeightsError as error:
        return fail(str(error))
    bad = [row for row in rows if row.state is FileState.BAD]
    if bad:
        one = bad[0]
        release = release_for(one.variant, one.checkpoint or Checkpoint.RELATIVE)
        fetch = release.fetch_command if release else _FETCH
        return fail(one.message, f'delete {one.path}, then {fetch}')
    here = [row.path.name for row in rows if row.path and row.state is FileState.OK]
    if not here:
        return warn('no released file is here: the first start downloads 99 MB', _FETCH)
    return ok(f'{", ".join(here)}; as released')


def _backend(name: str) -> Check:
    """Run the demo network by one backend in a process of its own, which may crash."""
    if find_spec(name) is None:
        return ok(f'not installed; `{pip_install(name)}` adds it')
    configuration = Configuration('demo', name, device='cpu' if name != 'torch' else 'auto')
    try:
        with NetworkProcess() as process:
            process.call(NetworkWorker.prepare, configuration)
            loaded = process.call(NetworkWorker.load, configuration, photograph())
            problem = process.call(NetworkWorker.disagreement)
            times_ms = [each.ms for each in process.call(NetworkWorker.turn, _CALLS)]
    except BackendError as error:
        return fail(str(error), f'pip install --force-reinstall {name}')
    text = f'{loaded.device} {loaded.precision}, {statistics.median(times_ms):.1f} ms for demo'
    if problem:
        return warn(f'{text}; {problem}', 'update the driver or the package')
    return ok(f'{text}; agrees with float32')
