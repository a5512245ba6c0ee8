"""Whole frames through a network: a backend, whichever runtime executes the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from depth_anything_ros.backends.base import BackendSettings
from depth_anything_ros.backends.output_values import inverse_depth_of
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.input_format import InputFormat
from depth_anything_ros.core.preprocess import check_bgr, network_input, upsample
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage

__all__ = ['Frames', 'HostFrames', 'NetworkBackend', 'Run']

KEPT_INPUTS = 8
"""Input buffers kept, one per shape: a robot has a few cameras."""

Run = Callable[[FloatImage], FloatImage]
"""Maps the network's input (N, 3, h, w) to a new array (N, h, w)."""


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


class HostFrames:
    """See Frames: pre- and postprocessing on the CPU, in buffers that are reused."""

    def __init__(self, run: Run, form: InputFormat | None = None) -> None:
        self._run = run
        self._channels = (form or InputFormat()).channels
        self._inputs: dict[tuple[int, ...], FloatImage] = {}

    def run(
        self, images: Sequence[BgrImage], size: tuple[int, int], times: StageTimes
    ) -> list[FloatImage]:
        """Return outputs (H, W) for images of one size; the network's input is `size` (h, w)."""
        with times.stage('preprocess'):
            shape = len(images), 3, *size
            if shape not in self._inputs:
                if len(self._inputs) == KEPT_INPUTS:
                    self._inputs.clear()
                self._inputs[shape] = np.empty(shape, np.float32)
            batch = self._inputs[shape]
            for image, target in zip(images, batch, strict=True):
                network_input(image, size, target, self._channels)
        with times.stage('infer'):
            values = self._run(batch)
        with times.stage('postprocess'):
            height, width = images[0].shape[:2]
            return [upsample(value, (height, width)) for value in values]

    def free(self) -> None:
        """Free the memory that is kept for the next frames."""
        self._inputs.clear()


class NetworkBackend:
    """A network, run by `frames`; see DepthBackend for what it does."""

    def __init__(
        self, settings: BackendSettings, name: str, device: str, precision: str, frames: Frames
    ) -> None:
        self.info = settings.info(name, device, precision)
        self._card = settings.weights.card
        self._pinned_size = self._card.pinned_size
        self.input_size = settings.input_size
        self._frames: Frames | None = frames
        # Runtimes and buffers take one image at a time.
        self._turn = threading.Lock()

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
        self._card.input.size_for(1, 1, value)
        self._input_size = value

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return float32 (H, W) for a uint8 (H, W, 3) image, larger = nearer."""
        return self.infer_batch([bgr], times)[0]

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Return `infer` of each image, in order; those of equal size run as one batch.

        Raises FrameError for a malformed image, DeviceMemoryError where a device of torch has
        not enough memory.
        """
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            check_bgr(image)
            groups.setdefault(image.shape, []).append(index)
        found: dict[int, FloatImage] = {}
        for indices in groups.values():
            equal = [images[index] for index in indices]
            with self._turn:
                outputs = self._infer_equal(equal, times or StageTimes())
            found.update(zip(indices, outputs, strict=True))
        return [found[index] for index in range(len(images))]

    def close(self) -> None:
        """Free the memory; the backend cannot run afterwards."""
        with self._turn:
            frames, self._frames = self._frames, None
            if frames is not None:
                frames.free()

    def _infer_equal(self, images: list[BgrImage], times: StageTimes) -> list[FloatImage]:
        if self._frames is None:
            raise BackendError(f'the {self.info.name} backend was closed: create another one')
        height, width = images[0].shape[:2]
        size = self._card.input.size_for(height, width, self.input_size)
        maps = self._frames.run(images, size, times)
        shrunk = 0.5 * (size[0] / height + size[1] / width)
        with times.stage('postprocess'):
            return [inverse_depth_of(values, self._card, shrunk) for values in maps]
