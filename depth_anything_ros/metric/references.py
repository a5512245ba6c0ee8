"""References, which measure metric depth beside an image, and their samples in its pixels.

Frames are REP 103's: sensors have x forward, y left, z up; optical frames z forward, x right,
y down. `camera_from_sensor` is a homogeneous matrix (4, 4) or a Transform: the pose of the sensor
in the optical frame of the camera, at the stamps of both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError, SettingError, require_number
from depth_anything_ros.core.geometry.planar_scan import PlanarScan
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.types import Camera, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment.sample_gate import cell_px
from depth_anything_ros.metric.samples import (
    Gate,
    samples_from_depth,
    samples_from_ground,
    samples_from_points,
)

__all__ = ['DepthImage', 'Ground', 'Odometry', 'Points', 'Reference', 'Scan']

Pose: TypeAlias = Transform | npt.NDArray[Any]
"""A Transform, or the homogeneous matrix (4, 4) of one."""

# So many pixels of a depth image are enough: the alignment keeps 4,096 of them.
_DEPTH_PIXELS = 20_000
# Lines of a lidar lie further apart than pixels: what hides a point may be in the next cell.
_SPARSE_CELL_PX = 8
_DENSE_CELL_PX = 4


@dataclass(frozen=True, eq=False)
class DepthImage:
    """Depth along Z in metres, float32 (H, W), NaN where unknown.

    `camera` took it, from `camera_from_sensor` (optical frame to optical frame). Both None: it is
    registered to the image, in any resolution. `stamp_ns`: when it was taken, None with the image.
    """

    kind: ClassVar = ReferenceKind.DEPTH_IMAGE

    depth_m: npt.NDArray[Any]
    camera: Camera | None = None
    camera_from_sensor: Pose | None = None
    stamp_ns: int | None = None

    def __post_init__(self) -> None:
        """Raise SettingError for values of another shape."""
        _require(self.depth_m, 2, 'DepthImage.depth_m', '(H, W)')
        if self.depth_m.size == 0:
            raise SettingError(f'DepthImage.depth_m is {self.depth_m.shape}: it has no pixel')
        if (self.camera is None) != (self.camera_from_sensor is None):
            raise SettingError(
                'DepthImage needs both camera and camera_from_sensor, or neither for a depth '
                'image in the pixels of the image'
            )
        if self.camera is not None and self.camera_from_sensor is not None:
            _pose(self.camera_from_sensor)
            if self.depth_m.shape != (self.camera.height, self.camera.width):
                raise SettingError(
                    f'DepthImage.depth_m has shape {self.depth_m.shape}, its camera '
                    f'{self.camera.width} x {self.camera.height} pixels: give its own intrinsics'
                )

    def check_registered(self, width: int, height: int) -> None:
        """Raise FrameError('bad_size') where it cannot be in the pixels of an image of that size.

        As one is a resized copy of the other, up to the rounding of either.
        """
        rows, columns = self.depth_m.shape
        if self.camera is None and (
            abs(height * columns - width * rows) > max(height, width, rows, columns)
        ):
            raise FrameError(
                'bad_size',
                f'the reference is {columns} x {rows} and the image {width} x {height}: its '
                'pixels must be those of the image, in any resolution',
            )

    def samples(self, camera: Camera, min_depth_m: float, max_depth_m: float) -> ReferenceSamples:
        """Return samples in pixels of the image that `camera` describes."""
        gate = Gate(min_depth_m, max_depth_m, _DENSE_CELL_PX)
        stride = max(1, math.isqrt(self.depth_m.size // _DEPTH_PIXELS))
        moved = None if self.camera_from_sensor is None else _pose(self.camera_from_sensor)
        own = self.camera or camera
        return samples_from_depth(self.depth_m, own, camera, moved, gate, stride)


@dataclass(frozen=True, eq=False)
class Points:
    """Points (N, 3) float32 in metres, of a lidar or a map, in the frame of their sensor.

    `sigma_m` (N,): their standard deviation along the ray, None where it is not known.
    `stamp_ns`: when they were measured, None with the image.
    """

    kind: ClassVar = ReferenceKind.POINT_CLOUD

    xyz: npt.NDArray[Any]
    camera_from_sensor: Pose = IDENTITY
    sigma_m: npt.NDArray[Any] | None = None
    stamp_ns: int | None = None

    def __post_init__(self) -> None:
        """Raise SettingError for values of another shape."""
        _require(self.xyz, 2, 'Points.xyz', '(N, 3)')
        if self.xyz.shape[1] != 3:
            raise SettingError(f'Points.xyz has shape {self.xyz.shape}: it must be (N, 3)')
        if self.sigma_m is not None:
            _require(self.sigma_m, 1, 'Points.sigma_m', '(N,)')
            if self.sigma_m.shape != self.xyz.shape[:1]:
                raise SettingError(
                    f'Points.sigma_m has shape {self.sigma_m.shape} for {len(self.xyz)} points'
                )
        _pose(self.camera_from_sensor)

    def samples(self, camera: Camera, min_depth_m: float, max_depth_m: float) -> ReferenceSamples:
        """Return samples in pixels of the image that `camera` describes."""
        gate = Gate(min_depth_m, max_depth_m, _SPARSE_CELL_PX)
        return samples_from_points(
            self.xyz, _pose(self.camera_from_sensor), camera, gate, self.sigma_m
        )


@dataclass(frozen=True, eq=False)
class Scan:
    """One turn of a planar laser scanner: ranges (N,) float32 in metres about z, x forward.

    By REP 117 what is infinite or NaN has no depth. `bearing_min_rad` is the bearing of the first
    range, `step_rad` leads to the next. `stamp_ns`: when it was measured, None with the image.
    """

    kind: ClassVar = ReferenceKind.LASER_SCAN

    ranges_m: npt.NDArray[Any]
    bearing_min_rad: float
    step_rad: float
    camera_from_sensor: Pose
    stamp_ns: int | None = None

    def __post_init__(self) -> None:
        """Raise SettingError for values of another shape."""
        _require(self.ranges_m, 1, 'Scan.ranges_m', '(N,)')
        for name in ('bearing_min_rad', 'step_rad'):
            require_number(getattr(self, name), f'Scan.{name}', 'radians')
        _pose(self.camera_from_sensor)

    def samples(self, camera: Camera, min_depth_m: float, max_depth_m: float) -> ReferenceSamples:
        """Return samples in pixels of the image that `camera` describes."""
        gate = Gate(min_depth_m, max_depth_m, _DENSE_CELL_PX)
        scan = PlanarScan(self.ranges_m, self.bearing_min_rad, self.step_rad, 0.0, math.inf)
        return samples_from_points(scan.points(), _pose(self.camera_from_sensor), camera, gate)


@dataclass(frozen=True, eq=False)
class Ground:
    """A flat ground plane, `camera_height_m` below the camera.

    `up` (3,) is the unit vector away from the ground in the optical frame; (0, -1, 0) for a camera
    that looks along the horizon without roll.
    """

    kind: ClassVar = ReferenceKind.GROUND_PLANE

    camera_height_m: float
    up: tuple[float, float, float] | npt.NDArray[np.float64] = (0.0, -1.0, 0.0)
    stamp_ns: int | None = None

    def __post_init__(self) -> None:
        """Raise SettingError for a height or a vector that no ground has."""
        require_number(self.camera_height_m, 'Ground.camera_height_m', 'metres above 0')
        if self.camera_height_m <= 0.0:
            raise SettingError(
                f'Ground.camera_height_m is {self.camera_height_m}: give metres above 0'
            )
        length = float(np.linalg.norm(self.up))
        if not abs(length - 1.0) < 1e-3:
            raise SettingError(f'Ground.up {self.up} has length {length:g}: it must be 1')

    def samples(self, camera: Camera, min_depth_m: float, max_depth_m: float) -> ReferenceSamples:
        """Return samples in pixels of the image that `camera` describes."""
        gate = Gate(min_depth_m, max_depth_m, _DENSE_CELL_PX)
        stride = cell_px((camera.height, camera.width))
        return samples_from_ground(self.camera_height_m, np.asarray(self.up), camera, gate, stride)


@dataclass(frozen=True, eq=False)
class Odometry:
    """The pose of the camera's optical frame in a frame that does not jump, such as `odom`.

    It has no samples by itself: `OdometryTracker` makes them of images and poses.
    """

    kind: ClassVar = ReferenceKind.ODOMETRY

    odom_from_camera: Pose
    stamp_ns: int | None = None

    def __post_init__(self) -> None:
        """Raise SettingError for what is no pose."""
        _pose(self.odom_from_camera)

    @property
    def transform(self) -> Transform:
        """Return `odom_from_camera` as a Transform."""
        return _pose(self.odom_from_camera)


Reference: TypeAlias = DepthImage | Points | Scan | Ground | Odometry
"""Whatever measures metric depth."""


def _pose(value: Pose) -> Transform:
    return value if isinstance(value, Transform) else Transform.from_matrix(value)


def _require(values: Any, dimensions: int, name: str, shape: str) -> None:
    if not isinstance(values, np.ndarray) or values.ndim != dimensions:
        found = getattr(values, 'shape', type(values).__name__)
        raise SettingError(f'{name} is {found}: it must be an array {shape} of float32')
    if not np.issubdtype(values.dtype, np.floating):
        raise SettingError(f'{name} holds {values.dtype}: give metres, as float32')
