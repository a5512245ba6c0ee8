"""The answer to one image, and which parts of it somebody asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag, auto

from depth_anything_ros.core.geometry.cloud import Cloud
from depth_anything_ros.core.geometry.scans import PlanarScan
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.metric.scale import NO_SCALE, Scale

__all__ = ['DepthFrame', 'Wanted']


class Wanted(Flag):
    """Which parts of a frame somebody asks for."""

    NONE = 0
    INVERSE_DEPTH = auto()
    NORMALIZED = auto()
    COLOR = auto()
    SCALE = auto()
    """No more than whether there are metres, and why not."""
    DEPTH = auto()
    SIGMA = auto()
    POINTS = auto()
    SCAN = auto()
    RELATIVE = INVERSE_DEPTH | NORMALIZED | COLOR
    METRIC = DEPTH | SIGMA | POINTS | SCAN
    ALL = RELATIVE | SCALE | METRIC


@dataclass(frozen=True, eq=False)
class DepthFrame:
    """The answer to one image; every picture in it has the same height and width.

    `inverse_depth` is unscaled, larger = nearer. `normalized` is that in [0, 1] with
    1 = nearest, `color` its picture. `depth_m` is depth along Z and `sigma_m` its standard
    deviation, NaN where unknown; `cloud` and `scan` are made of it. All are None unless wanted,
    the metric ones also where `scale` is not valid; `missing` says by name ('points', 'scan')
    why one of these is not there although there are metres. `scan` is in `scan_frame`.
    `image_size` is the width and height of the image itself.
    """

    inverse_depth: FloatImage
    normalized: FloatImage | None
    color: BgrImage | None
    times: StageTimes
    image_size: tuple[int, int]
    scale: Scale = NO_SCALE
    depth_m: FloatImage | None = None
    sigma_m: FloatImage | None = None
    cloud: Cloud | None = None
    scan: PlanarScan | None = None
    scan_frame: str = ''
    missing: Mapping[str, str] = field(default_factory=dict)
