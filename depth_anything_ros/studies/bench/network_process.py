"""The parent's end of the connection to a worker process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.studies.bench.network_worker import NetworkWorker

__all__ = ['NetworkProcess', 'cache_in']

_Arguments = ParamSpec('_Arguments')
_Result = TypeVar('_Result')

_LIMIT_S = 1200.0
"""Longest wait for one answer, in seconds: a calibration of the largest network."""


def cache_in(folder: str) -> dict[str, str]:
    """Return the environment of a process that keeps its exports in `folder`."""
    # Where the released weights are must not change with it.
    hub = Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser() / 'huggingface'
    return {'XDG_CACHE_HOME': folder, 'HF_HOME': os.environ.get('HF_HOME', str(hub))}


class NetworkProcess:
    """A `NetworkWorker` in a process of its own; use it as a context manager.

    `call` raises BackendError with the reason where the worker cannot do it, has ended, or takes
    more than `limit_s` seconds.
    """

    def __init__(
        self,
        threads: int = 0,
        environment: Mapping[str, str] | None = None,
        worker: type[NetworkWorker] = NetworkWorker,
    ) -> None:
        self.limit_s = _LIMIT_S
        self._start_s = time.perf_counter()
        self._connection, theirs = Pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed on exit
        command = [sys.executable, '-m', NetworkWorker.__module__, str(theirs.fileno())]
        self._child = subprocess.Popen(
            [*command, str(threads), worker.__module__, worker.__name__],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=dict(os.environ) | dict(environment or {}),
        )
        theirs.close()

    def __enter__(self) -> NetworkProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._child.kill()
        self._child.wait()
        self._errors.close()

    def since_start_s(self) -> float:
        """Return the seconds since the process was started."""
        return time.perf_counter() - self._start_s

    def call(
        self,
        method: Callable[Concatenate[Any, _Arguments], _Result],
        *arguments: _Arguments.args,
        **options: _Arguments.kwargs,
    ) -> _Result:
        """Call a method of the worker there."""
        try:
            self._connection.send((method.__name__, arguments, options))
            if not self._connection.poll(self.limit_s):
                raise BackendError(f'no answer within {self.limit_s:.0f} s')
            succeeded, result = self._connection.recv()
        except (EOFError, OSError) as err:
            raise BackendError(self._exit_reason()) from err
        if not succeeded:
            raise BackendError(result)
        returned: _Result = result
        return returned

    def _exit_reason(self) -> str:
        status = self._child.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors='replace').splitlines()
        last = f': {lines[-1].strip()}' if lines else ''
        memory = ', as where memory runs out' if status == -9 else ''
        return f'its process ended with status {status}{memory}{last}'
