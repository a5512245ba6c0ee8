"""What is made of metric depth for robots: a point cloud and a virtual laser scan."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.planar_scan import PlanarScan
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import CloudParameters, ScanParameters
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage
from depth_anything_ros.metric.cloud import Cloud, cloud_from_depth, thinned
from depth_anything_ros.metric.virtual_scan import scan_from_depth

__all__ = ['make_cloud', 'make_scan']


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


def make_scan(
    depth_m: FloatImage,
    sigma_m: FloatImage | None,
    camera: Camera,
    level_from_camera: Transform,
    settings: ScanParameters,
) -> PlanarScan:
    """Return the nearest obstacle for each bearing in the frame with z up.

    `sigma_m` is needed where `settings.max_relative_sigma` is not 0. FrameError('no_bearings')
    where no bearing is known.
    """
    scan = scan_from_depth(depth_m, camera, level_from_camera, settings, sigma_m)
    if np.isnan(scan.ranges_m).all():
        raise FrameError(
            'no_bearings',
            'no bearing is known: neither obstacles nor ground up to scan.max_range_m are seen, '
            'or scan.max_relative_sigma takes them away',
        )
    return scan
