"""What a metric reference measured, and the samples that it gives of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

from depth_anything_ros.core.geometry.projection import Points
from depth_anything_ros.core.geometry.scans import PlanarScan
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import CameraModel, FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.samples import (
    Gate,
    samples_from_depth,
    samples_from_ground,
    samples_from_points,
    samples_from_scan,
)

__all__ = ['DepthMap', 'Floor', 'Measurement', 'samples_of']

# So many pixels of a depth image are enough: the alignment keeps 4,096 of them.
_DEPTH_PIXELS = 20_000
# Lines of a lidar lie further apart than pixels: what hides a point may be in the next cell.
_SPARSE_CELL_PX = 8
_DENSE_CELL_PX = 4


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth along Z in metres, float32 (H, W), NaN where unknown.

    `camera` took it; None where that is not known: then it has to be registered to the image.
    """

    depth_m: FloatImage
    camera: CameraModel | None


@dataclass(frozen=True)
class Floor:
    """The plane z = 0 of its frame; the camera is `camera_height_m` over it, 0 = ask the frame."""

    camera_height_m: float


@dataclass(frozen=True, eq=False)
class Measurement:
    """One measurement at `stamp_ns`, in REP 103 axes of `frame_id`.

    A depth map is in the optical frame of its camera; points are float32 (N, 3) in metres.
    """

    kind: ReferenceKind
    stamp_ns: int
    frame_id: str
    value: DepthMap | Points | PlanarScan | Floor

    @property
    def registered(self) -> bool:
        """Whether it is in the pixels of the image already, so that no transform matters."""
        return isinstance(self.value, DepthMap) and self.value.camera is None


def samples_of(
    measurement: Measurement,
    camera_from_sensor: Transform,
    camera: CameraModel,
    min_depth_m: float,
    max_depth_m: float,
) -> ReferenceSamples:
    """Return the samples in pixels of the image that `camera` describes."""
    value = measurement.value
    sparse = measurement.kind is ReferenceKind.POINT_CLOUD
    gate = Gate(min_depth_m, max_depth_m, _SPARSE_CELL_PX if sparse else _DENSE_CELL_PX)
    if isinstance(value, DepthMap):
        stride = max(1, math.isqrt(value.depth_m.size // _DEPTH_PIXELS))
        if value.camera is None:
            return samples_from_depth(value.depth_m, camera, camera, None, gate, stride)
        return samples_from_depth(
            value.depth_m, value.camera, camera, camera_from_sensor, gate, stride
        )
    if isinstance(value, PlanarScan):
        return samples_from_scan(value, camera_from_sensor, camera, gate)
    if isinstance(value, Floor):
        height_m = value.camera_height_m or float(camera_from_sensor.inverse().translation[2])
        return samples_from_ground(height_m, camera_from_sensor.rotation[:, 2], camera, gate)
    return samples_from_points(value, camera_from_sensor, camera, gate)
