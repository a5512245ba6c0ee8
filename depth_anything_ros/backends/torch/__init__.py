"""Our own network, run by torch on a CPU or an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from depth_anything_ros.backends.base import BackendInfo, BackendSettings, NetworkOutput
from depth_anything_ros.backends.frames import infer_by_size, inverse_of_metres, output_of
from depth_anything_ros.backends.torch.devices import (
    PRECISIONS,
    choose_device,
    choose_precision,
    is_out_of_memory,
)
from depth_anything_ros.backends.torch.gpu import GpuFrames
from depth_anything_ros.backends.torch.host import HostFrames
from depth_anything_ros.core.errors import BackendError, DeviceMemoryError, SettingError
from depth_anything_ros.core.preprocess import network_size
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.network import DepthAnythingV2, random_network
from depth_anything_ros.model.network.loading import load_network
from depth_anything_ros.model.variants import Variant
from depth_anything_ros.model.weights import WeightsFile

__all__ = ['TorchBackend', 'choose_device', 'load']


class Frames(Protocol):
    """Runs the network on a device, with what is before and after it."""

    def run(
        self, images: Sequence[BgrImage], size: tuple[int, int], times: StageTimes
    ) -> list[FloatImage]:
        """Return answers (H, W) to images of one size, seen by the network at `size` (h, w)."""
        ...

    def free(self) -> None:
        """Return back the memory that is kept for frames to come."""
        ...


class TorchBackend:
    """The network in torch; see DepthBackend for what it does."""

    def __init__(self, settings: BackendSettings, *, plain: bool = False) -> None:
        """`plain` runs float32 without what was done for speed: the truth of the self-check."""
        device = choose_device(settings.device)
        precision = choose_precision('fp32' if plain else settings.precision, device)
        torch.set_num_threads(settings.threads)
        self.info = BackendInfo(
            name='torch',
            variant=settings.variant.name,
            device=str(device),
            precision=precision,
            input_size=settings.input_size,
            output=output_of(settings.weights.checkpoint),
            weights=settings.weights,
        )
        self._pinned_size = settings.variant.input_size
        # A bad one must not wait for the first frame.
        self.input_size = settings.input_size
        network = load(settings.variant, settings.weights)
        make = HostFrames if device.type == 'cpu' else GpuFrames
        self._frames: Frames | None = make(network, device, PRECISIONS[precision], plain)

    @property
    def output(self) -> NetworkOutput:
        """What the numbers mean."""
        return self.info.output

    @property
    def input_size(self) -> int:
        """Shorter side of the network's input in pixels, from the next frame on."""
        return self._input_size

    @input_size.setter
    def input_size(self, value: int) -> None:
        if self._pinned_size not in (None, value):
            raise SettingError(
                f'input_size {value} cannot be run by {self.info.variant}, which is made for'
                f' {self._pinned_size}: choose another variant'
            )
        network_size(1, 1, value)
        self._input_size = value

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return float32 (H, W) for a uint8 (H, W, 3) image, larger = nearer."""
        return self.infer_batch([bgr], times)[0]

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Do `infer` for each image; those of equal size run together.

        Raises DeviceMemoryError where that takes more memory than there is.
        """
        spent = times or StageTimes()
        return infer_by_size(images, lambda equal: self._infer_equal(equal, spent))

    def close(self) -> None:
        """Free the memory; the backend cannot run again."""
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.free()
        del frames
        if self.info.device.startswith('cuda'):
            torch.cuda.empty_cache()

    def _infer_equal(self, images: list[BgrImage], times: StageTimes) -> list[FloatImage]:
        if self._frames is None:
            raise BackendError('the torch backend was closed: create another one')
        height, width = images[0].shape[:2]
        try:
            maps = self._frames.run(images, network_size(height, width, self.input_size), times)
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
            maps = []
        # Out of the handler, where the error no longer holds the tensors that it came across.
        if not maps:
            self._frames.free()
            raise DeviceMemoryError(
                f'the memory of {self.info.device} does not hold {len(images)} x {width}x{height}'
                f' at input_size {self.input_size}: lower it, take a smaller variant, or end what'
                ' else uses the device'
            )
        if self.output is NetworkOutput.METRES:
            with times.stage('postprocess'):
                maps = [inverse_of_metres(metres) for metres in maps]
        return maps


def load(variant: Variant, weights: WeightsFile) -> DepthAnythingV2:
    """Load a network in float32 on the CPU."""
    if weights.path is None:
        return random_network(variant, weights.checkpoint.max_depth_m)
    return load_network(variant, weights.checkpoint, weights.path)
