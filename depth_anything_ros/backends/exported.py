"""A backend around an exported network, whichever runtime executes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from depth_anything_ros.backends.base import BackendSettings, NetworkOutput
from depth_anything_ros.backends.frames import HostInputs, infer_by_size, inverse_of_metres
from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.core.preprocess import network_size, upsample
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage

__all__ = ['ExportedBackend', 'Run']

Run = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Maps the network's input (N, 3, h, w) to a new array (N, h, w)."""


class ExportedBackend:
    """A loaded network of any runtime; see DepthBackend for what it does."""

    def __init__(
        self, settings: BackendSettings, name: str, device: str, precision: str, run: Run
    ) -> None:
        # An invalid input size is an error now, not at the first frame.
        network_size(1, 1, settings.input_size)
        self._run: Run | None = run
        self._inputs = HostInputs()
        self.info = settings.info(name, device, precision)
        self.input_size = settings.input_size

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return float32 (H, W) for a uint8 (H, W, 3) image, larger = nearer."""
        return self.infer_batch([bgr], times)[0]

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Return `infer` of each image, in order; those of equal size run as one batch."""
        return infer_by_size(images, partial(self._infer_equal, times=times or StageTimes()))

    def close(self) -> None:
        """Free the memory; the backend cannot run afterwards."""
        self._run = None
        self._inputs.clear()

    def _infer_equal(self, images: list[BgrImage], times: StageTimes) -> list[FloatImage]:
        if self._run is None:
            raise BackendError(f'the {self.info.name} backend was closed: create another one')
        size = images[0].shape[0], images[0].shape[1]
        with times.stage('preprocess'):
            batch = self._inputs.filled(images, network_size(*size, self.input_size))
        with times.stage('infer'):
            values = self._run(batch)
        with times.stage('postprocess'):
            maps = [upsample(value, size) for value in values]
            if self.info.output is NetworkOutput.METRES:
                maps = [inverse_of_metres(metres) for metres in maps]
        return maps
