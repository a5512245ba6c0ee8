"""Where the sensors sit: frames, extrinsics, and the pose of the base on its path."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera
from lab.world.geometry import yaw_matrix

__all__ = [
    'BASE_HEIGHT_M',
    'OPTICAL',
    'RIGS',
    'Mount',
    'Rig',
    'base_pose',
    'extrinsics_text',
    'optical',
    'pinhole',
]

BASE_HEIGHT_M = 0.12
"""Height of base_link above base_footprint."""

OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotation of an optical frame (x right, y down, z forward) in its body frame (REP 103)."""


@dataclass(frozen=True)
class Mount:
    """A sensor's place on base_footprint: position in metres, nose-down pitch and roll."""

    x_m: float
    y_m: float
    z_m: float
    pitch_rad: float = 0.0
    roll_rad: float = 0.0

    def pose(self) -> Transform:
        """Return base_footprint <- the sensor's body frame (x forward, y left, z up)."""
        cp, sp = np.cos(self.pitch_rad), np.sin(self.pitch_rad)
        cr, sr = np.cos(self.roll_rad), np.sin(self.roll_rad)
        pitch = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
        roll = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
        return Transform(pitch @ roll, np.array([self.x_m, self.y_m, self.z_m]))


@dataclass(frozen=True)
class Rig:
    """The mounts of one kind of robot. `camera_pitch_rad` is positive looking down."""

    camera: Mount
    depth_camera: Mount
    lidar: Mount
    scan: Mount
    camera_focal: float = 0.75
    """Focal length over image width of the colour camera: 67 degrees across."""


RIGS: dict[str, Rig] = {
    'room': Rig(
        camera=Mount(0.15, 0.0, 0.80, np.radians(5.0)),
        depth_camera=Mount(0.15, 0.06, 0.80, np.radians(5.0)),
        lidar=Mount(0.0, 0.0, 1.05),
        scan=Mount(0.18, 0.0, 0.22),
    ),
    'road': Rig(
        camera=Mount(0.60, 0.0, 1.45, np.radians(1.0)),
        depth_camera=Mount(0.60, 0.10, 1.45, np.radians(1.0)),
        lidar=Mount(0.20, 0.0, 1.85),
        scan=Mount(0.75, 0.0, 0.55),
    ),
}


def base_pose(x: float, y: float, yaw: float) -> Transform:
    """Return map <- base_footprint for a base at (x, y) metres, heading `yaw` radians."""
    return Transform(yaw_matrix(yaw), np.array([x, y, 0.0]))


def optical(body: Transform) -> Transform:
    """Return parent <- optical frame from parent <- body frame."""
    return Transform(body.rotation @ OPTICAL, body.translation)


def pinhole(
    width: int,
    height: int,
    focal: float = 0.75,
    distortion: tuple[float, ...] = (),
) -> Camera:
    """Return a centred camera with square pixels; `focal` is in image widths."""
    return Camera(
        width,
        height,
        focal * width,
        focal * width,
        (width - 1) / 2,
        (height - 1) / 2,
        distortion,
        'plumb_bob' if distortion else '',
    )


def extrinsics_text(pose: Transform) -> str:
    """Return a pose as the parameter reference.extrinsics, to a micrometre and microradian."""
    (xx, xy, xz), (yx, yy, yz), (zx, _, _) = pose.rotation.tolist()
    yaw = math.atan2(yx, xx)
    sin, cos = math.sin(yaw), math.cos(yaw)
    # From the yaw, so that it holds where x points along z, as a lidar before a camera does.
    roll = math.atan2(sin * xz - cos * yz, cos * yy - sin * xy)
    turns = roll, math.atan2(-zx, math.hypot(xx, yx)), yaw
    return ' '.join(f'{value:.6f}' for value in (*pose.translation.tolist(), *turns))
