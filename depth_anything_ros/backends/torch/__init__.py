"""Our own network, run by torch on a CPU or an NVIDIA GPU."""

from __future__ import annotations

import torch

from depth_anything_ros.backends.base import BackendSettings
from depth_anything_ros.backends.frames import Frames, HostFrames, NetworkBackend
from depth_anything_ros.backends.torch.devices import (
    PRECISIONS,
    choose_device,
    choose_precision,
    is_out_of_memory,
)
from depth_anything_ros.backends.torch.gpu import GpuFrames
from depth_anything_ros.core.errors import DeviceMemoryError
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.checkpoint import network_of
from depth_anything_ros.model.network.cpu import tune_for_cpu

__all__ = ['TorchBackend', 'host_frames']


class TorchBackend(NetworkBackend):
    """The network in torch, as a DepthBackend."""

    def __init__(self, settings: BackendSettings, *, plain: bool = False) -> None:
        """`plain` runs float32 without optimisations: the reference of the self-check."""
        device = choose_device(settings.device)
        precision = choose_precision('fp32' if plain else settings.precision, device)
        dtype = PRECISIONS[precision]
        torch.set_num_threads(settings.threads)
        network = network_of(settings.weights)
        frames: Frames
        if device.type == 'cpu':
            frames = host_frames(network, dtype, plain)
        else:
            frames = GpuFrames(network, device, dtype, plain)
        super().__init__(settings, 'torch', str(device), precision, frames)

    def close(self) -> None:
        """Free the memory; the backend cannot run afterwards."""
        super().close()
        if self.info.device.startswith('cuda'):
            torch.cuda.empty_cache()

    def _infer_equal(self, images: list[BgrImage], times: StageTimes) -> list[FloatImage]:
        try:
            return super()._infer_equal(images, times)
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
        # Outside the handler, where the error no longer keeps the tensors of its frames alive.
        if self._frames is not None:
            self._frames.free()
        height, width = images[0].shape[:2]
        raise DeviceMemoryError(
            f'the memory of {self.info.device} does not hold {len(images)} x {width}x{height}'
            f' at input_size {self.input_size}: lower it, take a smaller variant, or end what'
            ' else uses the device'
        )


def host_frames(network: DepthAnythingV2, dtype: torch.dtype, plain: bool = False) -> HostFrames:
    """Return frames on the CPU; the network is changed to fit, unless `plain`."""
    network.eval().requires_grad_(False)
    if plain:
        network.to(dtype)
    else:
        tune_for_cpu(network, dtype)

    @torch.inference_mode()
    def run(batch: FloatImage) -> FloatImage:
        output: FloatImage = network(torch.from_numpy(batch).to(dtype)).float().numpy()
        return output

    return HostFrames(run)
