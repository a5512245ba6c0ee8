"""One network in a process of its own, which does what its parent asks for.

`python -m depth_anything_ros.studies.bench.network_worker DESCRIPTOR THREADS MODULE CLASS`:
DESCRIPTOR is that of a multiprocessing connection, CLASS a NetworkWorker. It receives (name of a
method, arguments, keyword arguments), and (True, result) or (False, reason) is sent back.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

import cv2

from depth_anything_ros.backends.base import INT8, DepthBackend
from depth_anything_ros.backends.export_files import quantize_export
from depth_anything_ros.backends.registry import (
    ChosenBackend,
    choose_backend,
    format_of,
    load,
    prepare,
)
from depth_anything_ros.backends.self_check import cached_float32_output, disagreement
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.packages import missing
from depth_anything_ros.core.processor import process_status
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.cache import find_export
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.operation_times import Profile, counted
from depth_anything_ros.studies.bench.row import Loaded, Sample

__all__ = ['NetworkWorker']


class NetworkWorker:
    """A network, and the methods that the parent calls."""

    def __init__(self) -> None:
        self._chosen: ChosenBackend | None = None
        self._backend: DepthBackend | None = None
        self._images: list[BgrImage] = []

    def prepare(self, configuration: Configuration) -> None:
        """Do what the backend needs done once for these weights, like exporting them."""
        parameters = configuration.parameters()
        weights = find(parameters.variant, Checkpoint.RELATIVE, parameters.weights)
        backend, device = configuration.backend, configuration.device
        if configuration.precision == INT8:
            form = format_of(backend, device)
            if form is not None and find_export(weights, form, int8=True) is None:
                from depth_anything_ros.studies.calibration import NO_PICTURES, calibration_images

                if not configuration.calibration:
                    raise SettingError(NO_PICTURES)
                images = calibration_images(configuration.calibration)
                quantize_export(weights, form, images, configuration.input_size)
        prepare(backend, device, weights, configuration.precision)

    def load(self, configuration: Configuration, image: BgrImage) -> Loaded:
        """Load the network and run it once on `image`, uint8 (H, W, 3)."""
        start_s = time.perf_counter()
        self._chosen = choose_backend(configuration.parameters())
        self._backend = load(self._chosen)
        load_s = time.perf_counter() - start_s
        self._images = [image] * configuration.batch
        first = self.turn(1)[0]
        info = self._backend.info
        return Loaded(info.name, info.device, info.precision, info.input_size, load_s, first.ms)

    def turn(self, calls: int) -> list[Sample]:
        """Run the network so many times."""
        samples = []
        for _ in range(calls):
            times = StageTimes()
            start_s = time.perf_counter()
            self._run(times)
            samples.append(Sample((time.perf_counter() - start_s) * 1e3, times.ms))
        return samples

    def _run(self, times: StageTimes) -> None:
        assert self._backend is not None
        if len(self._images) == 1:
            self._backend.infer(self._images[0], times)
        else:
            self._backend.infer_batch(self._images, times)

    def inverse_depths(self, images: Sequence[BgrImage]) -> list[FloatImage]:
        """Return the inverse depth (H, W) of each image."""
        assert self._backend is not None
        return [self._backend.infer(image) for image in images]

    def disagreement(self) -> str:
        """Return how the loaded network disagrees with float32; '' where it agrees."""
        assert self._backend is not None
        assert self._chosen is not None
        return disagreement(self._backend, cached_float32_output(self._chosen.settings))

    def profile(self, configuration: Configuration, image: BgrImage, calls: int) -> Profile:
        """Load a network by OpenVINO, and count its operations on `image`, uint8 (H, W, 3)."""
        chosen = choose_backend(configuration.parameters())
        if chosen.name != 'openvino':
            raise SettingError(
                f'{chosen.name} counts nothing by operation: profile --backend openvino'
            )
        return counted(chosen.settings, image, calls)

    def memory_mb(self) -> tuple[float, float | None]:
        """Return the most memory held so far: resident, and of the GPU where torch knows."""
        resident_mb = process_status()['VmHWM'] / 1024
        torch: Any = sys.modules.get('torch')
        if torch is None or not torch.cuda.is_available():
            return resident_mb, None
        # Without an index it is the first GPU, whichever the network runs on.
        held = map(torch.cuda.max_memory_reserved, range(torch.cuda.device_count()))
        return resident_mb, max(held) / 2**20

    def run_batch(self, images: int) -> float:
        """Run so many at once; return the most MB held so far, of the GPU where it runs there."""
        self._images = self._images[:1] * images
        self.turn(1)
        resident_mb, gpu_mb = self.memory_mb()
        return gpu_mb or resident_mb

    def peak_gflops(self, device: str, precision: str) -> float | None:
        """Return the rate of large matrix products; None where torch has none of that type."""
        from depth_anything_ros.studies.bench.work import peak_gflops

        return peak_gflops(device, precision)


def main(descriptor: int, threads: int, module: str, name: str) -> None:
    """Serve requests until the connection is closed, on the first `threads` CPUs; 0 for all."""
    # Ctrl-C reaches the whole process group; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if threads:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        cv2.setNumThreads(threads)
    # By name, so that what is sent has the types of the module, and not of this program.
    worker = getattr(import_module(module), name)()
    with Connection(descriptor) as parent:
        while True:
            try:
                name, arguments, options = parent.recv()
            except EOFError:
                return
            try:
                parent.send((True, getattr(worker, name)(*arguments, **options)))
            except DepthAnythingError as error:
                parent.send((False, str(error)))
            except ModuleNotFoundError as error:
                parent.send((False, missing('it', error.name or 'a package')))
            except Exception as error:  # noqa: BLE001  the parent puts it into the row
                parent.send((False, f'{type(error).__name__}: {error}'.partition('\n')[0]))


if __name__ == '__main__':
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
    # Threads inside a library may hold a regular exit for seconds.
    os._exit(0)
