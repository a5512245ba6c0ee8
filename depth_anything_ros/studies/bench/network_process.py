"""The parent's end of a worker."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.worker_results import Loaded, Profile, Sample

__all__ = ['NetworkProcess', 'cache_in']

_LIMIT_S = 1200.0
"""Longest wait for one answer, in seconds: a calibration of the largest network."""


def cache_in(folder: str) -> dict[str, str]:
    """Return the environment of a process that keeps its exports in `folder`."""
    # Where the released weights are must not change with it.
    hub = Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser() / 'huggingface'
    return {'XDG_CACHE_HOME': folder, 'HF_HOME': os.environ.get('HF_HOME', str(hub))}


class NetworkProcess:
    """A network in a process of its own; use it as a context manager.

    A method raises BackendError with the reason where the process cannot do it.
    """

    def __init__(self, threads: int = 0, environment: Mapping[str, str] | None = None) -> None:
        self._start_s = time.perf_counter()
        self._connection, theirs = Pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed on exit
        command = [sys.executable, '-m', f'{__package__}.network_worker', str(theirs.fileno())]
        self._child = subprocess.Popen(
            [*command, str(threads)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=dict(os.environ) | dict(environment or {}),
        )
        theirs.close()

    def __enter__(self) -> NetworkProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._child.kill()
        self._child.wait()
        self._errors.close()

    def prepare(self, configuration: Configuration) -> None:
        """Do what the backend needs done once for these weights, like exporting them."""
        self._call('prepare', configuration)

    def load(self, configuration: Configuration, image: BgrImage) -> Loaded:
        """Load the network and run it once on `image`, uint8 (H, W, 3)."""
        loaded: Loaded = self._call('load', configuration, image)
        return loaded

    def since_start_s(self) -> float:
        """Return the seconds since the process was started."""
        return time.perf_counter() - self._start_s

    def turn(self, calls: int) -> list[Sample]:
        """Run the network so many times."""
        samples: list[Sample] = self._call('turn', calls)
        return samples

    def inverse_depths(self, images: Sequence[BgrImage]) -> list[FloatImage]:
        """Return the inverse depth (H, W) of each image."""
        inverse_depths: list[FloatImage] = self._call('inverse_depths', images)
        return inverse_depths

    def profile(self, configuration: Configuration, image: BgrImage, calls: int) -> Profile:
        """Load a network by OpenVINO, and count its operations on `image`, uint8 (H, W, 3)."""
        profile: Profile = self._call('profile', configuration, image, calls)
        return profile

    def memory_mb(self) -> tuple[float, float | None]:
        """Return the most memory held so far: resident, and of the GPU or None."""
        resident_mb, gpu_mb = self._call('memory_mb')
        return resident_mb, gpu_mb

    def peak_gflops(self, device: str, precision: str) -> float | None:
        """Return the rate of large matrix products in that precision, or None."""
        rate: float | None = self._call('peak_gflops', device, precision)
        return rate

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            self._connection.send((name, arguments))
            if not self._connection.poll(_LIMIT_S):
                raise BackendError(f'no answer within {_LIMIT_S:.0f} s')
            done, result = self._connection.recv()
        except (EOFError, OSError) as err:
            raise BackendError(self._death()) from err
        if not done:
            raise BackendError(result)
        return result

    def _death(self) -> str:
        status = self._child.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors='replace').splitlines()
        last = f': {lines[-1].strip()}' if lines else ''
        memory = ', as where memory runs out' if status == -9 else ''
        return f'its process ended with status {status}{memory}{last}'
