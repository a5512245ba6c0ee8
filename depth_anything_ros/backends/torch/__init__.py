"""Our own network, run by torch on a CPU or an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from depth_anything_ros.backends.base import BackendSettings, NetworkOutput
from depth_anything_ros.backends.frames import infer_by_size, inverse_of_metres
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
from depth_anything_ros.model.network.checkpoint import network_of

__all__ = ['TorchBackend']


class Frames(Protocol):
    """Runs the network on a device, with its pre- and postprocessing."""

    def run(
        self, images: Sequence[BgrImage], size: tuple[int, int], times: StageTimes
    ) -> list[FloatImage]:
        """Return outputs (H, W) for images of one size; the network's input is `size` (h, w)."""
        ...

    def free(self) -> None:
        """Free the memory that is kept for the next frames."""
        ...


class TorchBackend:
    """The network in torch, as a DepthBackend."""

    def __init__(self, settings: BackendSettings, *, plain: bool = False) -> None:
        """`plain` runs float32 without optimisations: the reference of the self-check."""
        device = choose_device(settings.device)
        precision = choose_precision('fp32' if plain else settings.precision, device)
        torch.set_num_threads(settings.threads)
        self.info = settings.info('torch', str(device), precision)
        self._pinned_size = settings.variant.input_size
        # Set before the network is loaded: an invalid one is an error at once.
        self.input_size = settings.input_size
        network = network_of(settings.weights)
        make = HostFrames if device.type == 'cpu' else GpuFrames
        self._frames: Frames | None = make(network, device, PRECISIONS[precision], plain)

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
        """Return `infer` of each image, in order; those of equal size run as one batch.

        Raises DeviceMemoryError where the device has not enough memory for that.
        """
        spent = times or StageTimes()
        return infer_by_size(images, lambda equal: self._infer_equal(equal, spent))

    def close(self) -> None:
        """Free the memory; the backend cannot run afterwards."""
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
        # Outside the handler, where the error no longer keeps the tensors of its frames alive.
        if not maps:
            self._frames.free()
            raise DeviceMemoryError(
                f'the memory of {self.info.device} does not hold {len(images)} x {width}x{height}'
                f' at input_size {self.input_size}: lower it, take a smaller variant, or end what'
                ' else uses the device'
            )
        if self.info.output is NetworkOutput.METRES:
            with times.stage('postprocess'):
                maps = [inverse_of_metres(metres) for metres in maps]
        return maps
