"""What is the same around a network, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from depth_anything_ros.backends.base import NetworkOutput
from depth_anything_ros.core.preprocess import check_bgr, network_input
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.variants import Checkpoint

__all__ = ['HostInputs', 'infer_by_size', 'inverse_of_metres', 'output_of']

KEPT_INPUTS = 8
"""Input buffers kept, one per shape: a robot has a few cameras."""


class HostInputs:
    """Batches ready for the network, in memory of the host that is kept for their shapes."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], npt.NDArray[np.float32]] = {}

    def filled(self, images: Sequence[BgrImage], size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Return (N, 3, h, w) of images of one size, for the network to see them at `size` (h, w).

        The next batch of that shape is written to the same place.
        """
        shape = len(images), 3, *size
        batch = self._kept.get(shape)
        if batch is None:
            if len(self._kept) == KEPT_INPUTS:
                self._kept.clear()
            batch = self._kept[shape] = np.empty(shape, np.float32)
        for image, target in zip(images, batch, strict=True):
            network_input(image, size, out=target)
        return batch

    def clear(self) -> None:
        """Return the memory back."""
        self._kept.clear()


def infer_by_size(
    images: Sequence[BgrImage], infer_equal: Callable[[list[BgrImage]], list[FloatImage]]
) -> list[FloatImage]:
    """Have `infer_equal` run the images of each size together, and give all in their order.

    Raises FrameError for what is no image.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        check_bgr(image)
        groups.setdefault(image.shape, []).append(index)
    found: dict[int, FloatImage] = {}
    for indices in groups.values():
        group = infer_equal([images[index] for index in indices])
        found.update(zip(indices, group, strict=True))
    return [found[index] for index in range(len(images))]


def output_of(checkpoint: Checkpoint) -> NetworkOutput:
    """Say what a network of that checkpoint gives."""
    return NetworkOutput.INVERSE_DEPTH if checkpoint.max_depth_m is None else NetworkOutput.METRES


def inverse_of_metres(metres: FloatImage) -> FloatImage:
    """Return 1/z per pixel, 0 where `metres` is no depth."""
    known = np.isfinite(metres) & (metres > 0)
    return np.divide(1.0, metres, out=np.zeros_like(metres), where=known)
