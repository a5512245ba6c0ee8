"""Frames on the CPU: pre- and postprocessing in NumPy and OpenCV."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from depth_anything_ros.backends.frames import HostInputs
from depth_anything_ros.core.preprocess import upsample
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.cpu import tune_for_cpu

__all__ = ['HostFrames']


class HostFrames:
    """See Frames."""

    def __init__(
        self,
        network: DepthAnythingV2,
        device: torch.device,
        dtype: torch.dtype,
        plain: bool = False,
    ) -> None:
        self._network = network.eval().requires_grad_(False)
        self._dtype = dtype
        self._inputs = HostInputs()
        if plain:
            self._network.to(device, dtype)
        else:
            tune_for_cpu(self._network, dtype)

    def run(
        self, images: Sequence[BgrImage], size: tuple[int, int], times: StageTimes
    ) -> list[FloatImage]:
        """Return outputs (H, W) for images of one size; the network's input is `size` (h, w)."""
        with times.stage('preprocess'):
            batch = torch.from_numpy(self._inputs.filled(images, size))
        with torch.inference_mode(), times.stage('infer'):
            values: FloatImage = self._network(batch.to(self._dtype)).float().numpy()
        with times.stage('postprocess'):
            height, width = images[0].shape[:2]
            return [upsample(value, (height, width)) for value in values]

    def free(self) -> None:
        """Free the memory that is kept for the next frames."""
        self._inputs.clear()
