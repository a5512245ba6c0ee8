"""Samples of measured depth in the image, from each kind of reference.

Each function returns `ReferenceSamples` in pixels of the image that `camera` describes. Extrinsics
are `camera_from_sensor` at the stamps of both; all frames follow REP 103.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.geometry.projection import pixels_from_directions, rays_of
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera, FloatImage, ReferenceSamples

__all__ = ['Gate', 'samples_from_depth', 'samples_from_ground', 'samples_from_points']

_Array = npt.NDArray[Any]
_Chunk = tuple[_Array, _Array | None]
"""Points (n, 3) in the sensor's frame, and the sigma (n,) of each."""

# Arrays of so many points stay in the cache, and below the size at which malloc fetches fresh
# pages for each of them: 300,000 points at once take 25 ms, of which 20 are page faults.
_CHUNK = 8192

# A sample is hidden where another one is nearer by more than this share of its depth: less would
# thin out slanted surfaces, and to keep only the nearest would favour noise towards the camera.
_HIDDEN_SHARE = 0.1


@dataclass(frozen=True)
class Gate:
    """Limits of the samples that are kept.

    Depths along Z lie between `min_depth_m` and `max_depth_m`. A sample is hidden from the
    camera where another one in the same cell of `cell_px` x `cell_px` pixels is nearer.
    """

    min_depth_m: float = 0.1
    max_depth_m: float = 80.0
    cell_px: int = 4


def samples_from_points(
    points: _Array,
    camera_from_sensor: Transform,
    camera: Camera,
    gate: Gate,
    sigma_m: _Array | None = None,
) -> ReferenceSamples:
    """Return the projection of `points` (N, 3), metres in the sensor's frame, finite ones only.

    `sigma_m` (N,), where given, is the standard deviation of each along its ray, in metres.
    """
    chunks = (
        (points[at : at + _CHUNK], None if sigma_m is None else sigma_m[at : at + _CHUNK])
        for at in range(0, len(points), _CHUNK)
    )
    return _projected(chunks, camera_from_sensor, camera, gate)


def samples_from_depth(
    depth_m: FloatImage,
    depth_camera: Camera,
    camera: Camera,
    camera_from_depth: Transform | None,
    gate: Gate,
    stride: int = 1,
) -> ReferenceSamples:
    """Return every `stride`-th pixel of a depth image, float32 (H, W), metres along Z.

    Its points are transformed from its own optical frame to the camera's. Where
    `camera_from_depth` is None, it is registered to the image, in any resolution, and
    `depth_camera` is not used.
    """
    if camera_from_depth is not None:
        chunks = _depth_chunks(depth_m, depth_camera, stride)
        return _projected(chunks, camera_from_depth, camera, gate)
    depth = depth_m[::stride, ::stride]
    rows, columns = np.nonzero((depth >= gate.min_depth_m) & (depth <= gate.max_depth_m))
    scale_x, scale_y = camera.width / depth_m.shape[1], camera.height / depth_m.shape[0]
    # Centres of pixels, as in Camera.scaled.
    u = ((columns * stride + 0.5) * scale_x - 0.5).astype(np.float32)
    v = ((rows * stride + 0.5) * scale_y - 0.5).astype(np.float32)
    return ReferenceSamples(u, v, depth[rows, columns])


def samples_from_ground(
    height_m: float,
    up: _Array,
    camera: Camera,
    gate: Gate,
    stride: int = 16,
    tilt_sigma_rad: float = np.radians(0.5),
    height_sigma_m: float = 0.02,
) -> ReferenceSamples:
    """Return the depth of a plane `height_m` below the camera at every `stride`-th pixel.

    `up` (3,) is the unit normal of the plane in the optical frame: the third column of the
    rotation of `camera_from_ground`. Each sample's sigma follows from those of tilt and height,
    so that far ground has little weight. Where something stands on the ground, depth is less than
    these samples: the alignment has to reject those.
    """
    if not height_m > 0.0:
        return _none()
    half = stride // 2
    x, y = rays_of(camera)[:, half::stride, half::stride]
    fall = -(x * up[0] + y * up[1] + up[2])
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        depth = np.where(fall > 0.0, height_m / fall, np.nan)
    rows, columns = np.nonzero((depth >= gate.min_depth_m) & (depth <= gate.max_depth_m))
    z = depth[rows, columns].astype(np.float32)
    # z = h / fall, and a tilt changes fall by the part of the ray (x, y, 1) along the plane.
    ray = 1.0 + x[rows, columns] ** 2 + y[rows, columns] ** 2
    along = np.sqrt(np.maximum(ray - fall[rows, columns] ** 2, 0.0))
    tilt = z * z * along * (tilt_sigma_rad / height_m)
    sigma = np.hypot(tilt, z * (height_sigma_m / height_m)).astype(np.float32)
    u, v = columns * stride + half, rows * stride + half
    return ReferenceSamples(u.astype(np.float32), v.astype(np.float32), z, sigma)


def _none() -> ReferenceSamples:
    nothing = np.zeros(0, np.float32)
    return ReferenceSamples(nothing, nothing, nothing)


def _depth_chunks(depth_m: FloatImage, camera: Camera, stride: int) -> Iterator[_Chunk]:
    """Return the points of every `stride`-th pixel, some rows at a time."""
    rays = rays_of(camera, stride)
    depth = depth_m[::stride, ::stride]
    if depth.shape != rays.shape[1:]:
        raise ValueError(
            f'depth has shape {depth_m.shape}, its camera {(camera.height, camera.width)}'
        )
    rows = max(1, _CHUNK // depth.shape[1])
    for at in range(0, depth.shape[0], rows):
        band = depth[at : at + rows]
        columns = np.empty((3, *band.shape), np.float32)
        with np.errstate(invalid='ignore'):
            np.multiply(rays[:, at : at + rows], band, out=columns[:2])
        columns[2] = band
        yield columns.reshape(3, -1).T, None


def _projected(
    chunks: Iterable[_Chunk], camera_from_sensor: Transform, camera: Camera, gate: Gate
) -> ReferenceSamples:
    """Return the points in pixels of the image, without those that another one hides."""
    across = -(-camera.width // gate.cell_px)
    down = -(-camera.height // gate.cell_px)
    nearest = np.full(across * down, np.inf, np.float32)
    parts = [_shown(chunk, camera_from_sensor, camera, gate) for chunk in chunks]
    if not parts:
        return _none()
    cells = [_cells(part, gate.cell_px, across) for part in parts]
    for part, cell in zip(parts, cells, strict=True):
        np.minimum.at(nearest, cell, part.depth_m)
    nearest *= np.float32(1.0 + _HIDDEN_SHARE)
    seen = [
        part.chosen(np.flatnonzero(part.depth_m <= nearest[cell]))
        for part, cell in zip(parts, cells, strict=True)
    ]
    u = np.concatenate([part.u for part in seen])
    v = np.concatenate([part.v for part in seen])
    depth = np.concatenate([part.depth_m for part in seen])
    sigmas = [part.sigma_m for part in seen if part.sigma_m is not None]
    return ReferenceSamples(u, v, depth, np.concatenate(sigmas) if sigmas else None)


def _shown(
    chunk: _Chunk, camera_from_sensor: Transform, camera: Camera, gate: Gate
) -> ReferenceSamples:
    """Return the points of one chunk that lie in the image and within the limits of depth."""
    points, sigma = chunk
    x, y, z = camera_from_sensor.apply(points).T
    kept = np.flatnonzero((z >= gate.min_depth_m) & (z <= gate.max_depth_m))
    z = z[kept]
    # What overflows float32 is far outside the view.
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        inverse = 1.0 / z
        u, v = pixels_from_directions(x[kept] * inverse, y[kept] * inverse, camera)
        inside = (u >= -0.5) & (u < camera.width - 0.5)
        inside &= (v >= -0.5) & (v < camera.height - 0.5)
    sigma = None if sigma is None else sigma[kept].astype(np.float32)
    return ReferenceSamples(u, v, z, sigma).chosen(np.flatnonzero(inside))


def _cells(samples: ReferenceSamples, cell_px: int, across: int) -> npt.NDArray[np.int32]:
    """Return the number of each sample's cell, with `across` cells in a row."""
    rows = (samples.v + 0.5).astype(np.int32) // cell_px
    return rows * across + (samples.u + 0.5).astype(np.int32) // cell_px
