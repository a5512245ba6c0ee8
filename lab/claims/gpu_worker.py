"""A network in a process of its own, run in one of several ways: see `lab.claims.gpu`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from importlib.util import find_spec

import torch
from torch.profiler import ProfilerActivity, profile

from depth_anything_ros.backends.frames import Frames, NetworkBackend
from depth_anything_ros.backends.registry import choose_backend
from depth_anything_ros.backends.torch import host_frames
from depth_anything_ros.backends.torch.devices import PRECISIONS, choose_device, choose_precision
from depth_anything_ros.backends.torch.gpu import GpuFrames
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.network.checkpoint import network_of
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.network_worker import NetworkWorker
from depth_anything_ros.studies.bench.row import Loaded, Sample

__all__ = ['GpuWorker', 'Way']


_CELL_MS, _LEAST_CALLS, _MOST_CALLS = 500.0, 3, 300
_OPERATIONS = 20


class Way(str, Enum):
    """What runs the network; all but the last through torch."""

    GRAPH = 'CUDA graph'
    EAGER = 'eager'
    CUDNN_ATTENTION = 'CUDA graph, attention by cuDNN'
    TUNED = 'CUDA graph, convolutions tuned'
    COMPILED_GRAPH = 'compiled, CUDA graph'
    COMPILED = 'compiled'
    TENSORRT = 'TensorRT'

    @property
    def is_slow_to_load(self) -> bool:
        """Whether each shape is compiled first."""
        return self in (Way.COMPILED, Way.COMPILED_GRAPH, Way.TENSORRT)

    @property
    def is_plain(self) -> bool:
        """Whether torch launches the network step by step."""
        return self in (Way.EAGER, Way.COMPILED)

    def lacks(self, device: str) -> str:
        """Return what this machine lacks for it, '' for nothing."""
        if device == 'cpu':
            return '' if self.is_plain else 'needs an NVIDIA GPU'
        is_there = find_spec('onnxruntime') and find_spec('tensorrt')
        return (
            '' if self is not Way.TENSORRT or is_there else 'pip install onnxruntime-gpu tensorrt'
        )


class GpuWorker(NetworkWorker):
    """A network that is kept while batch and input size change."""

    def load_way(self, asked: Configuration, way: Way, image: BgrImage) -> Loaded:
        """Load the network, and run it once; the machine must lack nothing for the way."""
        if self._backend is not None:
            self._backend.close()
        self._frames: Frames | None = None
        if way is Way.TENSORRT:
            asked = replace(asked, backend='onnxruntime', device='tensorrt')
            self.prepare(asked)
            return self.load(asked, image)
        device = choose_device(asked.device)
        start_s = time.perf_counter()
        settings = choose_backend(asked.parameters()).settings
        precision = choose_precision(asked.precision, device)
        dtype, network = PRECISIONS[precision], network_of(settings.weights)
        # What torch keeps for the whole process.
        torch.backends.cudnn.benchmark = way is Way.TUNED
        for enable in (
            torch.backends.cuda.enable_flash_sdp,
            torch.backends.cuda.enable_mem_efficient_sdp,
            torch.backends.cuda.enable_math_sdp,
        ):
            enable(way is not Way.CUDNN_ATTENTION)
        if device.type == 'cpu':
            # What is tuned for a CPU can be neither compiled nor profiled.
            self._frames = host_frames(network, dtype, plain=True)
        else:
            self._frames = GpuFrames(network, device, dtype, way.is_plain)
        if way.is_slow_to_load:
            network.compile(dynamic=False)
        self._backend = NetworkBackend(settings, 'torch', str(device), precision, self._frames)
        load_s = time.perf_counter() - start_s
        self._images = [image]
        first_ms = self.turn(1)[0].ms
        return Loaded('torch', str(device), precision, settings.input_size, load_s, first_ms)

    def cell(self, batch: int, input_size: int) -> tuple[list[Sample], float | None]:
        """Return the first call and half a second of others, and the MB of the GPU they took."""
        assert self._backend is not None
        self._backend.input_size = input_size
        self._images = self._images[:1] * batch
        if isinstance(self._frames, GpuFrames):
            self._frames.free()
            torch.cuda.reset_peak_memory_stats(self._backend.info.device)
        first, usual = self.turn(2)
        calls = max(_LEAST_CALLS, min(_MOST_CALLS, round(_CELL_MS / usual.ms)))
        return [first, *self.turn(calls)], self.memory_mb()[1] or None

    def together(self, images: Sequence[BgrImage]) -> list[FloatImage]:
        """Return the inverse depth of each image, run as one batch."""
        assert self._backend is not None
        return self._backend.infer_batch(images)

    def operations(self, calls: int) -> list[dict[str, str | float]]:
        """Return operators of torch, and kernels of a GPU, by the share of their own time."""
        assert self._backend is not None
        on_gpu = self._backend.info.device != 'cpu'
        kinds = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]
        with profile(activities=kinds) as profiler:
            self.turn(calls)
        own = 'self_device_time_total' if on_gpu else 'self_cpu_time_total'
        found: dict[str, list[tuple[float, float, str]]] = {'operator': [], 'kernel': []}
        for event in profiler.key_averages():
            kind = 'operator' if event.device_type.name == 'CPU' else 'kernel'
            ms = getattr(event, own) / calls * 1e-3
            found[kind].append((ms, event.count / calls, event.key))
        return [
            {'kind': kind, 'name': name, 'calls': count, 'ms': ms, 'share %': 100 * ms / total}
            for kind, some in found.items()
            for total in [sum(ms for ms, *_ in some)]
            for ms, count, name in sorted(some, reverse=True)[:_OPERATIONS]
            if ms > 0.0
        ]
