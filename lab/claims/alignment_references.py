"""Every kind of metric reference for one synthetic scene, right and wrong, as samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera, FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.samples import Gate, samples_from_ground
from lab.world.camera import depth_image, pixel_directions, project, view_of
from lab.world.degradation import sampled_reference
from lab.world.geometry import Array, moved
from lab.world.sensors import stretched
from lab.world.world import World

__all__ = [
    'CORRUPTIONS',
    'FRAME_S',
    'ON_THE_WAY',
    'REFERENCES',
    'Corruption',
    'ReferenceType',
    'Truth',
    'corrupted',
    'negated',
    'truth',
    'truths',
]

FRAME_S = 0.1
_TIME_S = 1.0
_PITCH_SIGMA_RAD = np.radians(0.5)
_GROUND_STEP_PX = 12
_GROUND_MAX_M = {'room': 8.0, 'road': 30.0}


@dataclass(frozen=True, eq=False)
class Truth:
    """One scene seen by its camera: true depth (H, W) along Z in metres, inf for the sky.

    `objects` (H, W): index of the solid that each pixel shows, -1 for the sky.
    """

    world: World
    depth_m: FloatImage
    objects: npt.NDArray[np.int16]
    time_s: float


@dataclass(frozen=True)
class ReferenceType:
    """A reference: `draw(truth, seed)` returns its samples."""

    name: str
    kind: ReferenceKind
    draw: Callable[[Truth, int], ReferenceSamples]


@dataclass(frozen=True)
class Corruption:
    """What is wrong: a share of outliers, an extrinsic error, the network's gamma.

    `negated`: near is far and far is near, between the same bounds.
    """

    name: str
    outliers: float = 0.0
    clustered: bool = False
    extrinsic_rad: float = 0.0
    gamma: float = 1.0
    negated: bool = False


CORRUPTIONS = (
    Corruption('clean'),
    Corruption('30% scattered', 0.30),
    Corruption('30% clustered', 0.30, True),
    Corruption('45% scattered', 0.45),
    Corruption('45% clustered', 0.45, True),
    Corruption('extrinsic 1 deg', extrinsic_rad=np.radians(1.0)),
    Corruption('range gamma 1.15', gamma=1.15),
    Corruption('negated', negated=True),
)


def truth(family: str, seed: int, size: tuple[int, int]) -> Truth:
    """Cast the rays of one camera, without drawing its picture."""
    world = World(family, seed, size=size)
    return _seen(world, _TIME_S)


def truths(family: str, seed: int, size: tuple[int, int], seconds: float) -> Iterator[Truth]:
    """Return the frames of a drive of so many seconds, `FRAME_S` apart."""
    world = World(family, seed, seconds, size)
    for frame in range(round(seconds / FRAME_S)):
        yield _seen(world, frame * FRAME_S)


def _seen(world: World, time_s: float) -> Truth:
    view = view_of(world.scene.at(time_s), world.camera, world.camera_pose(time_s))
    depth = depth_image(view)
    return Truth(world, depth, view.hits.solid.reshape(depth.shape), time_s)


def corrupted(
    samples: ReferenceSamples, what: Corruption, camera: Camera, seed: int
) -> ReferenceSamples:
    """Return the samples with the extrinsic error and the outliers added."""
    random = np.random.default_rng([seed, 5])
    if what.negated:
        return negated([samples])[0]
    turn = _small_rotation(what.extrinsic_rad, random)
    factor = np.ones(samples.u.size)
    chosen = _chosen(samples, what, random)
    factor[chosen] = stretched(factor[chosen], 1.0, random)
    samples = _scaled(samples, factor)
    return _turned(samples, turn, camera) if what.extrinsic_rad > 0.0 else samples


def negated(samples: list[ReferenceSamples]) -> list[ReferenceSamples]:
    """Return the samples of each frame with near and far exchanged, within common bounds."""
    depths = np.concatenate([each.depth_m for each in samples])
    depths = depths[np.isfinite(depths)]
    if not depths.size:
        return samples
    both = float(depths.min() * depths.max())
    return [_scaled(each, both / np.square(each.depth_m)) for each in samples]


def _chosen(
    samples: ReferenceSamples, what: Corruption, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    count = samples.u.size
    order = random.permutation(count)
    if what.clustered and count:
        middle = order[0]
        order = np.argsort(
            np.hypot(samples.u - samples.u[middle], samples.v - samples.v[middle]), kind='stable'
        )
    return np.asarray(order[: round(what.outliers * count)], np.int64)


def _random_pixels(count: int) -> Callable[[Truth, int], ReferenceSamples]:
    def draw(of: Truth, seed: int) -> ReferenceSamples:
        drawn = sampled_reference(of.depth_m, count, seed)
        return _samples(drawn.u, drawn.v, drawn.depth_m, 0.01 * drawn.depth_m)

    return draw


def _depth_camera(of: Truth, seed: int) -> ReferenceSamples:
    world = of.world
    sensor = world.sensors.depth_camera
    depth = world.depth(of.time_s).ravel() * 1e-3
    known = np.flatnonzero(depth)
    rays = pixel_directions(sensor.camera)[:, known]
    points = rays / rays[2] * depth[known]
    to_camera = world.camera_pose(of.time_s).inverse() @ world.depth_camera_pose(of.time_s)
    u, v, z = project(world.camera, moved(to_camera, points))
    return _visible(u, v, z, sensor.noise.sigma(z), world.camera)


def _lidar(of: Truth, seed: int) -> ReferenceSamples:
    world = of.world
    cloud = world.cloud(of.time_s)
    points = np.stack([cloud['x'], cloud['y'], cloud['z']]).astype(np.float64)
    return _of_body_points(of, points, world.rig.lidar.pose(), world.sensors.lidar.noise.floor_m)


def _scan(of: Truth, seed: int) -> ReferenceSamples:
    world = of.world
    ranges = world.scan(of.time_s).astype(np.float64)
    known = np.isfinite(ranges)
    points = world.sensors.scanner.directions()[:, known] * ranges[known]
    return _of_body_points(of, points, world.rig.scan.pose(), world.sensors.scanner.noise.floor_m)


def _of_body_points(
    of: Truth, points: Array, mount: Transform, sigma_m: float
) -> ReferenceSamples:
    world = of.world
    to_camera = world.camera_pose(of.time_s).inverse() @ world.base(of.time_s) @ mount
    local = moved(to_camera, points)
    local = local[:, local[2] > 0.05]
    u, v, z = project(world.camera, local)
    return _visible(u, v, z, np.full(z.size, sigma_m), world.camera)


def _ground(of: Truth, seed: int) -> ReferenceSamples:
    """Return depth on the plane of the ground, by a height and a pitch that is half a degree off.

    Which pixels show the ground is unknown: objects on it are in front of the plane.
    """
    world = of.world
    camera, pose = world.camera, world.camera_pose(of.time_s)
    pitch = _PITCH_SIGMA_RAD * np.random.default_rng([seed, 6]).standard_normal()
    cos, sin = np.cos(pitch), np.sin(pitch)
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    up = (pose.rotation @ tilt)[2]
    gate = Gate(max_depth_m=_GROUND_MAX_M[world.family])
    height_m = float(pose.translation[2])
    return samples_from_ground(height_m, up, camera, gate, _GROUND_STEP_PX)


REFERENCES = (
    ReferenceType('50 pixels', ReferenceKind.POINT_CLOUD, _random_pixels(50)),
    ReferenceType('500 pixels', ReferenceKind.POINT_CLOUD, _random_pixels(500)),
    ReferenceType('5000 pixels', ReferenceKind.POINT_CLOUD, _random_pixels(5000)),
    ReferenceType('depth camera', ReferenceKind.DEPTH_IMAGE, _depth_camera),
    ReferenceType('lidar', ReferenceKind.POINT_CLOUD, _lidar),
    ReferenceType('laser scan', ReferenceKind.LASER_SCAN, _scan),
    ReferenceType('ground plane', ReferenceKind.GROUND_PLANE, _ground),
)
"""What `alignment.run` reads at one time."""

ON_THE_WAY = tuple(each for each in REFERENCES if not each.name.endswith('pixels'))
"""What `bench_polarity` reads at every frame of a drive."""


def _samples(u: Array, v: Array, z: Array, sigma: Array) -> ReferenceSamples:
    u, v, z, sigma = (np.asarray(each, np.float32) for each in (u, v, z, sigma))
    return ReferenceSamples(u, v, z, sigma)


def _visible(u: Array, v: Array, z: Array, sigma: Array, camera: Camera) -> ReferenceSamples:
    """Keep what lies in the image, so that shares of outliers mean what the camera sees."""
    seen = (u > -0.5) & (u < camera.width - 0.5) & (v > -0.5) & (v < camera.height - 0.5)
    return _samples(u[seen], v[seen], z[seen], sigma[seen])


def _scaled(samples: ReferenceSamples, factor: Array | float) -> ReferenceSamples:
    assert samples.sigma_m is not None
    return _samples(samples.u, samples.v, samples.depth_m * factor, samples.sigma_m)


def _turned(samples: ReferenceSamples, turn: Array, camera: Camera) -> ReferenceSamples:
    """Move the samples as if the extrinsic rotation were wrong by `turn` (3, 3)."""
    assert samples.sigma_m is not None
    z = samples.depth_m.astype(np.float64)
    x = (samples.u - camera.cx) / camera.fx * z
    y = (samples.v - camera.cy) / camera.fy * z
    u, v, moved = project(camera, turn @ np.stack([x, y, z]))
    return _samples(u, v, moved, samples.sigma_m)


def _small_rotation(angle_rad: float, random: np.random.Generator) -> Array:
    axis = random.standard_normal(3)
    axis /= np.linalg.norm(axis)
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # Rodrigues' formula.
    turn = np.eye(3) + np.sin(angle_rad) * cross + (1.0 - np.cos(angle_rad)) * cross @ cross
    return np.asarray(turn)
