"""What a backend is: the protocol, what is asked of it, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.variants import Variant
from depth_anything_ros.model.weights import WeightsFile

__all__ = ['BackendInfo', 'BackendSettings', 'DepthBackend', 'NetworkOutput']


class NetworkOutput(str, Enum):
    """What the numbers of a backend mean; larger is nearer for both."""

    INVERSE_DEPTH = 'inverse_depth'
    """Inverse depth of unknown scale and shift."""

    METRES = 'metres'
    """1 / z in 1/m, from a checkpoint that was trained to give metres; 0 where unknown."""


@dataclass(frozen=True)
class BackendInfo:
    """What runs, after every 'auto' was decided."""

    name: str
    variant: str
    device: str
    precision: str
    input_size: int
    output: NetworkOutput
    weights: WeightsFile
    why: str = ''
    """Why this backend, where 'auto' chose it."""
    notices: tuple[str, ...] = ()
    """What was to run and does not, and why."""


@dataclass(frozen=True)
class BackendSettings:
    """What is asked for: see the parameters of these names. `threads` is at least 1."""

    variant: Variant
    weights: WeightsFile
    device: str
    precision: str
    input_size: int
    threads: int


class DepthBackend(Protocol):
    """A network ready to run. It belongs to the thread that created it."""

    info: BackendInfo
    """What runs."""

    input_size: int
    """Shorter side of the network's input in pixels, as `info` says at first; may be set."""

    @property
    def output(self) -> NetworkOutput:
        """What the numbers mean."""
        ...

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return float32 (H, W) for a uint8 (H, W, 3) image, larger = nearer.

        `times` receives the milliseconds of 'preprocess', 'infer' and 'postprocess'. Raises
        FrameError for an image that cannot be used.
        """
        ...

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Do `infer` for each image; those of equal size run together."""
        ...

    def close(self) -> None:
        """Free the memory; the backend cannot run again."""
        ...
