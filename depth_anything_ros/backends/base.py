"""What a backend is: the protocol, the settings it is built from, and what it reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.variants import Variant
from depth_anything_ros.model.weights_file import WeightsFile

__all__ = ['AUTO', 'INT8', 'BackendInfo', 'BackendSettings', 'DepthBackend', 'NetworkOutput']

AUTO = 'auto'
"""Value of `backend`, `device` and `precision` that leaves the choice to this package."""

INT8 = 'int8'


class NetworkOutput(str, Enum):
    """What the values of a backend mean; larger is nearer for both."""

    INVERSE_DEPTH = 'inverse_depth'
    """Inverse depth of unknown scale and shift."""

    METRES = 'metres'
    """1 / z in 1/m, from a checkpoint that was trained on metric depth; 0 where unknown."""

    METRES_BY_FOCAL = 'metres_by_focal'
    """Like METRES for a camera whose focal length is one pixel of the image: 1 / z is the value
    divided by the focal length in pixels."""

    @property
    def metric(self) -> bool:
        """Whether it leads to metres without a reference."""
        return self is not NetworkOutput.INVERSE_DEPTH


@dataclass(frozen=True)
class BackendInfo:
    """What runs, with every 'auto' resolved."""

    name: str
    variant: str
    """That of the network, or the name of an ONNX file."""
    device: str
    precision: str
    input_size: int
    output: NetworkOutput
    weights: WeightsFile
    why: str = ''
    """Why this backend was chosen, where `backend` is 'auto'."""
    notices: tuple[str, ...] = ()
    """What was requested and does not run, and why."""


@dataclass(frozen=True)
class BackendSettings:
    """What is requested: see the parameters of these names. `threads` is at least 1."""

    weights: WeightsFile
    device: str
    precision: str
    input_size: int
    threads: int

    @property
    def variant(self) -> Variant:
        """Return the architecture that the weights are for; none for ONNX."""
        return self.weights.card.architecture

    def info(self, name: str, device: str, precision: str) -> BackendInfo:
        """Return what backend `name` reports when it runs these settings so."""
        card = self.weights.card
        output = NetworkOutput.METRES if card.metric else NetworkOutput.INVERSE_DEPTH
        if card.focal_constant:
            output = NetworkOutput.METRES_BY_FOCAL
        network = self.weights.name
        return BackendInfo(name, network, device, precision, self.input_size, output, self.weights)


class DepthBackend(Protocol):
    """A network ready to run. Threads that share it take turns."""

    info: BackendInfo
    """What runs."""

    input_size: int
    """Shorter side of the network's input in pixels; may be set between frames.

    `info.input_size` keeps the value that the backend was created with.
    """

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return float32 (H, W) for a uint8 (H, W, 3) image, larger = nearer.

        `times` receives the milliseconds of 'preprocess', 'infer' and 'postprocess'. Raises
        FrameError for an image that cannot be processed.
        """
        ...

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Return `infer` of each image, in order; those of equal size run as one batch."""
        ...

    def close(self) -> None:
        """Free the memory; the backend cannot run afterwards."""
        ...
