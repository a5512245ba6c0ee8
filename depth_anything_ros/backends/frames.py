"""Steps around a network that are the same for every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.preprocess import check_bgr, network_input
from depth_anything_ros.core.types import BgrImage, FloatImage

__all__ = ['HostInputs', 'infer_by_size', 'inverse_of_metres']

KEPT_INPUTS = 8
"""Input buffers kept, one per shape: a robot has a few cameras."""


class HostInputs:
    """Input batches for the network, in host memory that is reused for each shape."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], npt.NDArray[np.float32]] = {}

    def filled(self, images: Sequence[BgrImage], size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Return float32 (N, 3, h, w): images of one size, resized to `size` (h, w), normalised.

        The next batch of that shape overwrites it.
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
        """Free the memory."""
        self._kept.clear()


def infer_by_size(
    images: Sequence[BgrImage], infer_equal: Callable[[list[BgrImage]], list[FloatImage]]
) -> list[FloatImage]:
    """Return the outputs for `images` in their order, where `infer_equal` runs those of one size.

    Raises FrameError for a malformed image.
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


def inverse_of_metres(metres: FloatImage) -> FloatImage:
    """Return 1/z per pixel in 1/m, 0 where `metres` is not finite and positive."""
    known = np.isfinite(metres) & (metres > 0)
    return np.divide(1.0, metres, out=np.zeros_like(metres), where=known)
