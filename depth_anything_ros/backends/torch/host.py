"""Frames on the CPU: what is before and after the network is NumPy and OpenCV."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from depth_anything_ros.core.preprocess import network_input, upsample
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.cpu import tune_for_cpu

__all__ = ['HostFrames']

KEPT_INPUTS = 8
"""Input buffers kept, one per shape: a robot has a few cameras."""


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
        self._inputs: dict[tuple[int, ...], Tensor] = {}
        if plain:
            self._network.to(device, dtype)
        else:
            tune_for_cpu(self._network, dtype)

    def run(
        self, images: Sequence[BgrImage], size: tuple[int, int], times: StageTimes
    ) -> list[FloatImage]:
        """Give the answers (H, W) to images of one size, seen by the network at `size` (h, w)."""
        with times.stage('preprocess'):
            kept = self._input((len(images), 3, *size))
            for image, target in zip(images, kept.numpy(), strict=True):
                network_input(image, size, out=target)
        with torch.inference_mode(), times.stage('infer'):
            values: FloatImage = self._network(kept.to(self._dtype)).float().numpy()
        with times.stage('postprocess'):
            height, width = images[0].shape[:2]
            return [upsample(value, (height, width)) for value in values]

    def free(self) -> None:
        """Give back the memory that is kept for frames to come."""
        self._inputs.clear()

    def _input(self, shape: tuple[int, ...]) -> Tensor:
        kept = self._inputs.get(shape)
        if kept is None:
            if len(self._inputs) == KEPT_INPUTS:
                self._inputs.clear()
            kept = self._inputs[shape] = torch.empty(shape)
        return kept
