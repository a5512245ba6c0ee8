"""Point clouds from metric depth, without the points between two surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.projection import Points, lengths_of, points_along, rays_of
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import CloudParameters
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage

__all__ = ['Cloud', 'cloud_from_depth', 'compacted', 'depth_edges', 'make_cloud', 'thinned']

_NEIGHBOURS = np.ones((3, 3), np.uint8)
# Keys of voxels have 21 bits for each coordinate: a million voxels either way.
_KEY_BITS = 21
_KEY_HALF = 1 << (_KEY_BITS - 1)


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points in the optical frame, float32 (h, w, 3) with NaN, or (N, 3) without.

    `bgr` uint8 of the same shape, and `sigma_m` float32 (h, w) or (N,), the standard deviation
    of each depth, are None where they were not asked for.
    """

    points: Points
    bgr: BgrImage | None = None
    sigma_m: FloatImage | None = None

    @property
    def is_organised(self) -> bool:
        """True where points still lie as the pixels do."""
        return self.points.ndim == 3


def make_cloud(
    depth_m: FloatImage,
    sigma_m: FloatImage,
    bgr: BgrImage,
    camera: Camera,
    level_from_camera: Transform | None,
    settings: CloudParameters,
) -> Cloud:
    """Return the points of a depth image (H, W), seen by `camera` of that size.

    `bgr` colours them and may have another size. `level_from_camera` leads to a frame with z up,
    None where heights are not limited. FrameError('no_points') where every point is cut away.
    """
    color = bgr if settings.color else None
    if color is not None and color.shape[:2] != depth_m.shape:
        size = depth_m.shape[::-1]
        color = np.asarray(cv2.resize(color, size, interpolation=cv2.INTER_AREA), np.uint8)
    cloud = cloud_from_depth(
        depth_m, camera, settings, bgr=color, sigma_m=sigma_m, level_from_camera=level_from_camera
    )
    # Nav2 takes an empty cloud for data: only silence says that nothing is known.
    if not np.isfinite(cloud.points[..., 2]).any():
        raise FrameError('no_points', 'no point is left: every one is cut by the cloud.* limits')
    return thinned(cloud, settings.voxel_m) if settings.voxel_m else cloud


def cloud_from_depth(
    depth_m: FloatImage,
    camera: Camera,
    settings: CloudParameters,
    *,
    bgr: BgrImage | None = None,
    sigma_m: FloatImage | None = None,
    level_from_camera: Transform | None = None,
) -> Cloud:
    """Return the organised cloud of every `settings.stride`-th pixel; NaN outside its limits.

    `depth_m`, `sigma_m` float32 (H, W), metres along Z, and `bgr` (H, W, 3) have the size of
    `camera`. Ranges are along the ray, heights along z of the gravity-aligned frame that
    `level_from_camera` leads to, and not limited without it.
    """
    stride = settings.stride
    if depth_m.shape != (camera.height, camera.width):
        raise ValueError(
            f'depth has shape {depth_m.shape}, its camera {(camera.height, camera.width)}'
        )
    depth = np.array(depth_m[::stride, ::stride])
    rays = rays_of(camera, stride)
    # A comparison with NaN is false.
    with np.errstate(invalid='ignore', over='ignore'):
        distance = depth * lengths_of(camera, stride)
        kept = (distance >= settings.min_range_m) & (distance <= settings.max_range_m)
        if sigma_m is not None:
            sigma_m = np.ascontiguousarray(sigma_m[::stride, ::stride])
            if settings.max_relative_sigma > 0.0:
                kept &= sigma_m <= np.float32(settings.max_relative_sigma) * depth
        if level_from_camera is not None:
            x, y, z = level_from_camera.rotation[2].astype(np.float32)
            height = (rays[0] * x + rays[1] * y + z) * depth
            height += np.float32(level_from_camera.translation[2])
            kept &= (height >= settings.min_height_m) & (height <= settings.max_height_m)
    if settings.edge_filter > 0.0:
        kept &= ~depth_edges(depth_m, settings.edge_filter, stride)
    # Cut before projecting: one plane is masked in place of three interleaved ones.
    depth[~kept] = np.nan
    return Cloud(points_along(rays, depth), None if bgr is None else _every(bgr, stride), sigma_m)


def depth_edges(depth_m: FloatImage, share: float, stride: int = 1) -> npt.NDArray[np.bool_]:
    """Return for every `stride`-th pixel whether depth changes by more than `share` beside it.

    The network draws an edge as a ramp of a few pixels, and what lies on it is on no surface.
    Unknown neighbours count as infinitely far: towards the sky there is a ramp as well.
    """
    with np.errstate(divide='ignore'):
        nearness = np.reciprocal(depth_m)
    nearness[~(depth_m > 0.0)] = 0.0
    farthest = cv2.erode(nearness, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE)
    nearest = cv2.dilate(nearness, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE)
    limit = farthest[::stride, ::stride] * np.float32(1.0 + share)
    return np.asarray(nearest[::stride, ::stride] > limit)


def compacted(cloud: Cloud) -> Cloud:
    """Return the known points (N, 3) of a cloud."""
    known = np.isfinite(cloud.points[..., 2])
    return Cloud(
        cloud.points[known],
        None if cloud.bgr is None else cloud.bgr[known],
        None if cloud.sigma_m is None else cloud.sigma_m[known],
    )


def thinned(cloud: Cloud, voxel_m: float) -> Cloud:
    """Return one point (N, 3) for each cube of `voxel_m`: the mean of those inside.

    Its colour is that of one of them. Its sigma is the mean of theirs: errors of neighbouring
    pixels correlate, so that the mean of many is no more certain than one.
    """
    dense = compacted(cloud)
    grid = np.floor(dense.points / np.float32(voxel_m)).astype(np.int64)
    np.clip(grid, -_KEY_HALF, _KEY_HALF - 1, out=grid)
    keys = grid + _KEY_HALF
    key = (keys[:, 0] << 2 * _KEY_BITS) | (keys[:, 1] << _KEY_BITS) | keys[:, 2]
    _, first, member, count = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )

    def mean(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(np.bincount(member, values, count.size) / count, np.float32)

    return Cloud(
        np.stack([mean(dense.points[:, axis]) for axis in range(3)], axis=1),
        None if dense.bgr is None else dense.bgr[first],
        None if dense.sigma_m is None else mean(dense.sigma_m),
    )


def _every(bgr: BgrImage, stride: int) -> BgrImage:
    """Return a copy of every `stride`-th pixel."""
    rows = np.ascontiguousarray(bgr[::stride])
    # As items of three bytes: twice as fast as byte by byte.
    pixels = np.ascontiguousarray(rows.view('V3')[:, ::stride])
    return np.asarray(pixels.view(np.uint8))
