"""The worker of the bench within the process that tests, which has torch in memory already."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from depth_anything_ros.core.errors import BackendError, DepthAnythingError
from depth_anything_ros.studies.bench import measure, starts
from depth_anything_ros.studies.bench.network_worker import NetworkWorker
from lab.claims import gpu_cells

__all__ = ['bench_in_process']


def bench_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bench start no process: for tests of what it makes of the answers."""
    for module in (measure, starts, gpu_cells):
        monkeypatch.setattr(module, 'NetworkProcess', _Here)


class _Here:
    """Stands for a NetworkProcess."""

    def __init__(
        self,
        threads: int = 0,
        environment: Mapping[str, str] | None = None,
        worker: type[NetworkWorker] = NetworkWorker,
    ) -> None:
        self._environment = environment or {}
        self._start_s = time.perf_counter()
        self._worker = worker()

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def since_start_s(self) -> float:
        return time.perf_counter() - self._start_s

    def call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._environment.items():
                patch.setenv(name, value)
            try:
                return getattr(self._worker, method.__name__)(*arguments, **options)
            except DepthAnythingError as error:
                raise BackendError(str(error)) from error
            except RuntimeError as error:
                name = type(error).__name__
                raise BackendError(f'{name}: {error}'.partition('\n')[0]) from error
