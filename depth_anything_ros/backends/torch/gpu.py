"""Frames on an NVIDIA GPU: the image is uploaded, inverse depth of its size is downloaded.

Everything in between runs on one stream, as one CUDA graph per shape, so that a frame costs the
CPU two copies, three launches and one wait. Not run on a GPU yet: see test_torch_gpu.py for what
is checked without one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.backends.torch.devices import is_out_of_memory
from depth_anything_ros.core.input_format import IMAGENET_MEAN, IMAGENET_STD
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.variants import PATCH_PX

__all__ = ['GpuFrames', 'Normalizer', 'whole_frame']

KEPT_PLANS = 8
"""Shapes kept, each with its buffers and its graph. A robot has a few cameras, any number of
which may wait together: four that look alike make four shapes, and a capture takes a while."""

_WARM_UPS = 2
"""Runs before a capture, in which libraries choose kernels and allocate what a graph may not."""

_log = logging.getLogger(__name__)


class Normalizer:
    """ImageNet's normalisation of 8-bit colours, as constants on `device`."""

    def __init__(self, device: torch.device) -> None:
        # Uploaded once: made within a frame, they would be a copy, and a wait, for every one.
        std = torch.tensor(IMAGENET_STD)
        self.factor = (1.0 / (255.0 * std)).view(1, 3, 1, 1).to(device)
        self.offset = (-torch.tensor(IMAGENET_MEAN) / std).view(1, 3, 1, 1).to(device)

    def __call__(self, bgr: Tensor, size: tuple[int, int]) -> Tensor:
        """Return float32 (N, 3, h, w), as `core.preprocess.network_input` does."""
        rgb = bgr.permute(0, 3, 1, 2).flip(1).float()
        resized = functional.interpolate(rgb, size, mode='bicubic', align_corners=False)
        # Last, on fewer pixels as a rule: it commutes with resizing.
        return torch.addcmul(self.offset, resized, self.factor)


def whole_frame(
    network: DepthAnythingV2,
    normalizer: Normalizer,
    dtype: torch.dtype,
    bgr: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Return float32 (N, H, W) for uint8 (N, H, W, 3), resized to `size` (h, w) in between."""
    x = normalizer(bgr, size).to(dtype, memory_format=torch.channels_last)
    output = network(x).float()[:, None]
    frame = functional.interpolate(output, bgr.shape[1:3], mode='bilinear', align_corners=True)
    return frame[:, 0]


def captured(
    compute: Callable[[], None], stream: torch.cuda.Stream, pool: Any
) -> Callable[[], None]:
    """Return a function that launches at once what `compute` launches on `stream`.

    Graphs may share the memory `pool` as long as none reads there what another has written.
    """
    graph = torch.cuda.CUDAGraph()
    # By default a capture fails, and fails what others do, as soon as any thread allocates.
    with torch.cuda.graph(graph, pool, stream, capture_error_mode='thread_local'):
        compute()
    return graph.replay


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is kept for a shape: a graph needs the same memory each time."""

    sent: Tensor
    given: Tensor
    launch: Callable[[], None]
    held: Tensor
    """Position embedding that the graph reads, kept alive should the network drop it."""


class GpuFrames:
    """See Frames. The network moves to `device`, changed for inference unless `plain`."""

    def __init__(
        self,
        network: DepthAnythingV2,
        device: torch.device,
        dtype: torch.dtype,
        plain: bool = False,
    ) -> None:
        network.eval().requires_grad_(False)
        if not plain:
            # Before rounding to `dtype`, so that a product is rounded once.
            network.fold_scales()
        network.to(device, dtype)
        self._network: DepthAnythingV2 = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._normalizer = Normalizer(device)
        self._device, self._dtype = device, dtype
        self._plans: dict[tuple[int, ...], _Plan] = {}
        self._captures = not plain
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # The weights are copied on the default stream.
        self._stream.wait_stream(torch.cuda.current_stream(device))

    def run(
        self, images: Sequence[BgrImage], size: tuple[int, int], times: StageTimes
    ) -> list[FloatImage]:
        """Return outputs (H, W) for images of one size; the network's input is `size` (h, w).

        'preprocess' is the copy to pinned memory: the GPU does the rest within 'infer'.
        """
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            plan = self._plan((len(images), *images[0].shape), size)
            with times.stage('preprocess'):
                np.stack(images, out=plan.sent.numpy())
            with times.stage('infer'):
                plan.launch()
                self._stream.synchronize()
            with times.stage('postprocess'):
                return list(plan.given.numpy().copy())

    def free(self) -> None:
        """Free the memory that is kept for the next frames."""
        self._stream.synchronize()
        self._plans.clear()
        torch.cuda.empty_cache()

    def _plan(self, shape: tuple[int, ...], size: tuple[int, int]) -> _Plan:
        """Return the plan of a batch (N, H, W, 3), kept or new; drop the least recently used."""
        key = (*shape, *size)
        plan = self._plans.pop(key, None)
        if plan is None:
            while len(self._plans) >= KEPT_PLANS:
                del self._plans[next(iter(self._plans))]
            plan = self._make(shape, size)
        self._plans[key] = plan
        return plan

    def _make(self, shape: tuple[int, ...], size: tuple[int, int]) -> _Plan:
        pin = self._device.type == 'cuda'
        sent = torch.zeros(shape, dtype=torch.uint8, pin_memory=pin)
        given = torch.empty(shape[:3], pin_memory=pin)
        bgr = torch.empty(shape, dtype=torch.uint8, device=self._device)

        def compute() -> None:
            bgr.copy_(sent, non_blocking=True)
            frame = whole_frame(self._network, self._normalizer, self._dtype, bgr, size)
            given.copy_(frame, non_blocking=True)

        for _ in range(_WARM_UPS):
            compute()
        self._stream.synchronize()
        held = self._network.pretrained.positions(size[0] // PATCH_PX, size[1] // PATCH_PX)
        return _Plan(sent, given, self._launcher(compute), held)

    def _launcher(self, compute: Callable[[], None]) -> Callable[[], None]:
        """Return `compute` as a graph, or as it is where it cannot be captured."""
        if not self._captures:
            return compute
        try:
            return captured(compute, self._stream, self._pool)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self._captures = False
            first = (str(error).splitlines() or [''])[0]
            _log.warning('no CUDA graph (%s): the network runs step by step, a bit slower', first)
        return compute
