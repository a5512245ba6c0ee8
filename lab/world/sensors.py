"""Depth camera, spinning lidar and planar scanner on the geometry of a scene.

Each sensor takes one instant: nothing moves while a lidar turns. Each has its own noise and
outliers, drawn from the seed given. Outliers stretch the true range by 1.5 to 3, as glass and
multipath do, or shrink it to 0.3 to 0.7, as dust and crosstalk do.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera, FloatImage
from lab.world.camera import depth_image, view_of
from lab.world.geometry import Array, Rays, rotated
from lab.world.rig import pinhole
from lab.world.scene import Hits, Scene, cast

__all__ = [
    'LIDAR_POINT',
    'SENSORS',
    'DepthCamera',
    'Lidar',
    'RangeNoise',
    'Scanner',
    'SensorSet',
    'edges',
    'stretched',
]

LIDAR_POINT = np.dtype(
    [
        ('x', '<f4'),
        ('y', '<f4'),
        ('z', '<f4'),
        ('intensity', '<f4'),
        ('ring', '<u2'),
    ]
)
"""One lidar return: metres in the lidar's frame, intensity 0 to 255, ring from the lowest."""


@dataclass(frozen=True)
class RangeNoise:
    """Noise of a range r: sigma = `floor_m` + `quadratic` * r^2 metres.

    `outliers` and `dropouts` are shares of the returns that are wrong, or missing.
    """

    floor_m: float
    quadratic: float = 0.0
    outliers: float = 0.0
    dropouts: float = 0.0

    def sigma(self, range_m: Array) -> Array:
        """Return the standard deviation in metres at `range_m`."""
        return np.asarray(self.floor_m + self.quadratic * range_m * range_m)

    def applied(self, range_m: Array, random: np.random.Generator) -> Array:
        """Return noisy ranges; NaN where the return dropped out, inf stays inf."""
        known = np.where(np.isfinite(range_m), range_m, 0.0)
        noisy = known + self.sigma(known) * random.standard_normal(range_m.shape)
        noisy = np.where(np.isfinite(range_m), stretched(noisy, self.outliers, random), np.inf)
        noisy[random.random(range_m.shape) < self.dropouts] = np.nan
        return noisy


@dataclass(frozen=True)
class DepthCamera:
    """A depth camera that gives 16-bit millimetres, 0 where it knows nothing.

    Pixels beside a depth edge are lost or fly between both surfaces, half each.
    """

    camera: Camera
    min_m: float
    max_m: float
    noise: RangeNoise
    rate_hz: float

    def measure(self, scene: Scene, pose: Transform, seed: int) -> npt.NDArray[np.uint16]:
        """Return the image (H, W) in millimetres along Z; `pose` is map <- optical frame."""
        random = np.random.default_rng(seed)
        truth = depth_image(view_of(scene, self.camera, pose))
        depth = self.noise.applied(truth, random)
        low, high = _neighbourhood(truth)
        edge = edges(truth)
        lost = edge & (random.random(truth.shape) < 0.5)
        with np.errstate(invalid='ignore'):
            flying = low + (high - low) * random.random(truth.shape)
            depth = np.where(edge & ~lost & np.isfinite(flying), flying, depth)
            known = (depth >= self.min_m) & (depth <= self.max_m) & ~lost
        millimetres = np.where(known, np.rint(depth * 1000.0), 0.0)
        return np.asarray(millimetres, np.uint16)


@dataclass(frozen=True)
class Lidar:
    """A spinning lidar with `rings` beams between two elevations, `columns` per turn."""

    rings: int
    columns: int
    low_rad: float
    high_rad: float
    min_m: float
    max_m: float
    noise: RangeNoise
    rate_hz: float

    def directions(self) -> Array:
        """Return the beams (3, columns * rings) in the lidar's frame, column by column."""
        azimuth = np.linspace(np.pi, -np.pi, self.columns, endpoint=False)
        elevation = np.linspace(self.low_rad, self.high_rad, self.rings)
        turn, lift = (grid.ravel() for grid in np.meshgrid(azimuth, elevation, indexing='ij'))
        flat = np.cos(lift)
        return np.stack([flat * np.cos(turn), flat * np.sin(turn), np.sin(lift)])

    def measure(self, scene: Scene, pose: Transform, seed: int) -> npt.NDArray[np.void]:
        """Return the returns, `LIDAR_POINT` (n,); `pose` is map <- the lidar's frame."""
        random = np.random.default_rng(seed)
        local = self.directions()
        rays = Rays(pose.translation, rotated(pose.rotation, local))
        hits = cast(scene, rays)
        ranges = self.noise.applied(hits.distance_m, random)
        with np.errstate(invalid='ignore'):
            kept = (ranges >= self.min_m) & (ranges <= self.max_m)
        points = np.zeros(int(kept.sum()), LIDAR_POINT)
        points['x'], points['y'], points['z'] = (local * np.where(kept, ranges, 0.0))[:, kept]
        points['intensity'] = np.clip(255.0 * _facing(scene, rays, hits)[kept], 0.0, 255.0)
        points['ring'] = np.tile(np.arange(self.rings), self.columns)[kept]
        return points


@dataclass(frozen=True)
class Scanner:
    """A planar scanner over a full turn, from -pi to pi about its z."""

    beams: int
    min_m: float
    max_m: float
    noise: RangeNoise
    rate_hz: float

    @property
    def step_rad(self) -> float:
        """Return the angle between beams."""
        return 2 * np.pi / self.beams

    def directions(self) -> Array:
        """Return the beams (3, beams) in the scanner's frame; beam i at -pi + i * step."""
        angle = -np.pi + self.step_rad * np.arange(self.beams)
        return np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)])

    def measure(self, scene: Scene, pose: Transform, seed: int) -> npt.NDArray[np.float32]:
        """Return ranges (beams,) in metres by REP 117: NaN lost, +inf nothing, -inf too near."""
        random = np.random.default_rng(seed)
        rays = Rays(pose.translation, rotated(pose.rotation, self.directions()))
        ranges = self.noise.applied(cast(scene, rays).distance_m, random)
        with np.errstate(invalid='ignore'):
            ranges = np.where(ranges > self.max_m, np.inf, ranges)
            ranges = np.where(ranges < self.min_m, -np.inf, ranges)
        return np.asarray(ranges, np.float32)


@dataclass(frozen=True)
class SensorSet:
    """The sensors of one kind of robot, besides its colour camera."""

    depth_camera: DepthCamera
    lidar: Lidar
    scanner: Scanner


def _sensors(far: float) -> SensorSet:
    """Return the sensors with ranges for rooms (`far` 1) or for streets (more)."""
    return SensorSet(
        DepthCamera(
            pinhole(320, 240, 0.68), 0.25, 8.0 * far, RangeNoise(0.002, 0.0015, 0.002, 0.01), 10.0
        ),
        Lidar(
            32,
            900,
            np.radians(-22.0),
            np.radians(10.0),
            0.3,
            25.0 * far,
            RangeNoise(0.015, 0.0, 0.003, 0.01),
            10.0,
        ),
        Scanner(720, 0.1, 12.0 * far, RangeNoise(0.012, 0.0, 0.003, 0.005), 10.0),
    )


SENSORS: dict[str, SensorSet] = {'room': _sensors(1.0), 'road': _sensors(2.5)}


def stretched(range_m: Array, share: float, random: np.random.Generator) -> Array:
    """Turn a `share` of the ranges into outliers."""
    wrong = random.random(range_m.shape) < share
    longer = random.random(range_m.shape) < 2.0 / 3.0
    factor = np.where(
        longer, random.uniform(1.5, 3.0, range_m.shape), random.uniform(0.3, 0.7, range_m.shape)
    )
    return np.where(wrong, range_m * factor, range_m)


def edges(depth_m: FloatImage) -> npt.NDArray[np.bool_]:
    """Mark pixels (H, W) whose 3x3 neighbourhood spans more than 10 % of their depth."""
    low, high = _neighbourhood(depth_m)
    return np.asarray(high > 1.1 * low)


def _neighbourhood(depth_m: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Return the least and the greatest depth (H, W) of each 3x3 neighbourhood."""
    kernel, border = np.ones((3, 3)), cv2.BORDER_REPLICATE
    low = cv2.erode(depth_m, kernel, borderType=border)
    high = cv2.dilate(depth_m, kernel, borderType=border)
    return np.asarray(low), np.asarray(high)


def _facing(scene: Scene, rays: Rays, hits: Hits) -> Array:
    """Return the cosine (n,) between each ray and the surface that it meets."""
    result = np.zeros_like(hits.distance_m)
    for number in np.unique(hits.solid[hits.solid >= 0]):
        chosen = np.flatnonzero(hits.solid == number)
        part = Rays(rays.origin, rays.directions[:, chosen])
        normals = scene.solids[number].shape.normals(part.at(hits.distance_m[chosen]))
        result[chosen] = np.abs(np.einsum('ij,ij->j', normals, part.directions))
    return result
