"""The answer to one image, and which parts of it somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto

from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage

__all__ = ['DepthFrame', 'Wanted']


class Wanted(Flag):
    """Which parts of a frame somebody asks for."""

    NONE = 0
    DISPARITY = auto()
    NORMALIZED = auto()
    COLOR = auto()
    ALL = DISPARITY | NORMALIZED | COLOR


@dataclass(frozen=True)
class DepthFrame:
    """The answer to one image; every part has the same height and width.

    `disparity` is inverse depth, unscaled, larger = nearer. `normalized` is that in [0, 1] with
    1 = nearest, `color` its picture; both are None unless wanted.
    """

    disparity: FloatImage
    normalized: FloatImage | None
    color: BgrImage | None
    times: StageTimes
