"""Point clouds from metric depth, without what no surface stands behind."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.geometry.projection import Points, points_from_depth
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import BgrImage, CameraModel, FloatImage

__all__ = ['Cloud', 'CloudFilter', 'cloud_from_depth', 'compacted', 'depth_edges', 'thinned']

_NEIGHBOURS = np.ones((3, 3), np.uint8)
# Keys of voxels have 21 bits for each coordinate: a million voxels either way.
_KEY_BITS = 21
_KEY_HALF = 1 << (_KEY_BITS - 1)


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points in the optical frame, float32 (h, w, 3) with NaN, or (N, 3) without.

    `bgr` uint8 of the same shape, and `sigma_m` float32 (h, w) or (N,), the standard deviation
    of each depth, are None where nobody asked.
    """

    points: Points
    bgr: BgrImage | None = None
    sigma_m: FloatImage | None = None

    @property
    def is_organised(self) -> bool:
        """True where points still lie as the pixels do."""
        return self.points.ndim == 3


@dataclass(frozen=True)
class CloudFilter:
    """What a cloud leaves out.

    Ranges are along the ray, heights along z of a gravity-aligned frame. `edge_share` is the
    relative step in depth from one pixel to its neighbours beyond which a point flies between
    two surfaces; 0 keeps such. `max_relative_sigma` bounds sigma / depth.
    """

    min_range_m: float = 0.0
    max_range_m: float = float('inf')
    min_height_m: float = float('-inf')
    max_height_m: float = float('inf')
    edge_share: float = 0.08
    max_relative_sigma: float = float('inf')


def cloud_from_depth(
    depth_m: FloatImage,
    camera: CameraModel,
    keep: CloudFilter,
    *,
    stride: int = 1,
    bgr: BgrImage | None = None,
    sigma_m: FloatImage | None = None,
    level_from_camera: Transform | None = None,
) -> Cloud:
    """Give the organised cloud of every `stride`-th pixel; NaN where the filter cuts.

    `depth_m`, `sigma_m` float32 (H, W), metres along Z, and `bgr` (H, W, 3) have the size of
    `camera`. Heights are filtered only where `level_from_camera` gives the frame they are of.
    """
    points = points_from_depth(depth_m, camera, stride)
    cut = _outside(points, keep)
    if keep.edge_share > 0.0:
        cut |= depth_edges(depth_m, keep.edge_share)[::stride, ::stride]
    if sigma_m is not None:
        sigma_m = np.ascontiguousarray(sigma_m[::stride, ::stride])
        with np.errstate(invalid='ignore'):
            cut |= ~(sigma_m <= keep.max_relative_sigma * points[..., 2])
    if level_from_camera is not None:
        up = level_from_camera.rotation[2].astype(np.float32)
        height = points @ up + np.float32(level_from_camera.translation[2])
        cut |= ~((height >= keep.min_height_m) & (height <= keep.max_height_m))
    points[cut] = np.nan
    if bgr is not None:
        bgr = np.ascontiguousarray(bgr[::stride, ::stride])
    return Cloud(points, bgr, sigma_m)


def depth_edges(depth_m: FloatImage, share: float) -> npt.NDArray[np.bool_]:
    """Mark pixels (H, W) where depth changes by more than `share` to a neighbour.

    The network draws an edge as a ramp of a few pixels, and what lies on it is on no surface.
    Unknown neighbours count as infinitely far: towards the sky there is a ramp as well.
    """
    with np.errstate(divide='ignore'):
        nearness = np.nan_to_num(1.0 / depth_m, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    farthest = cv2.erode(nearness, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE)
    nearest = cv2.dilate(nearness, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(nearest > farthest * np.float32(1.0 + share))


def compacted(cloud: Cloud) -> Cloud:
    """Drop the unknown points; gives (N, 3)."""
    known = np.isfinite(cloud.points[..., 2])
    return Cloud(
        cloud.points[known],
        None if cloud.bgr is None else cloud.bgr[known],
        None if cloud.sigma_m is None else cloud.sigma_m[known],
    )


def thinned(cloud: Cloud, voxel_m: float) -> Cloud:
    """Give one point (N, 3) for each cube of `voxel_m`: the mean of those inside.

    Its colour is that of one of them. Its sigma is the mean of theirs: errors of neighbouring
    pixels go together, so that many of them know no more than one.
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


def _outside(points: Points, keep: CloudFilter) -> npt.NDArray[np.bool_]:
    """Mark points (h, w) out of range, and those that are not known."""
    square = np.einsum('ijk,ijk->ij', points, points)
    inside = (square >= keep.min_range_m**2) & (square <= keep.max_range_m**2)
    return np.asarray(~(inside & np.isfinite(square)))
