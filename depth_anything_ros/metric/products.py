"""What is made of a frame that has metres: depth, its sigma, a cloud, a scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import cv2
import numpy as np

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.cloud import Cloud, CloudFilter, cloud_from_depth, thinned
from depth_anything_ros.core.geometry.scans import PlanarScan
from depth_anything_ros.core.geometry.virtual_scan import VirtualScanConfig, scan_from_depth
from depth_anything_ros.core.parameters import CloudParameters, ScanParameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.estimator.frame import Wanted
from depth_anything_ros.estimator.metric_scale import View
from depth_anything_ros.metric.alignment import Alignment

__all__ = ['Products', 'metric_products']

Product = TypeVar('Product')


@dataclass(eq=False)
class Products:
    """See DepthFrame for each; None where not wanted, and `missing` why not possible."""

    depth_m: FloatImage | None = None
    sigma_m: FloatImage | None = None
    cloud: Cloud | None = None
    scan: PlanarScan | None = None
    missing: dict[str, str] = field(default_factory=dict)


def metric_products(
    inverse_depth: FloatImage,
    alignment: Alignment | None,
    view: View,
    bgr: BgrImage,
    wanted: Wanted,
    times: StageTimes,
) -> Products:
    """Make what is wanted; `bgr` colours the cloud and may have another size."""
    made = Products()
    if alignment is None or not wanted & Wanted.METRIC:
        return made
    with times.stage('postprocess'):
        depth_m = alignment.metric_depth(inverse_depth)
        if wanted & Wanted.DEPTH:
            made.depth_m = depth_m
        if wanted & (Wanted.SIGMA | Wanted.POINTS):
            sigma_m = alignment.sigma_of(depth_m)
            if wanted & Wanted.SIGMA:
                made.sigma_m = sigma_m

    def attempt(name: str, make: Callable[[], Product]) -> Product | None:
        try:
            return make()
        except FrameError as error:
            made.missing[name] = str(error)
            return None

    with times.stage('cloud'):
        if wanted & Wanted.POINTS:
            made.cloud = attempt('points', lambda: _cloud(depth_m, sigma_m, view, bgr))
        if wanted & Wanted.SCAN:
            made.scan = attempt('scan', lambda: _scan(depth_m, view))
    return made


def _cloud(depth_m: FloatImage, sigma_m: FloatImage, view: View, bgr: BgrImage) -> Cloud:
    settings = view.parameters.cloud
    height, width = depth_m.shape
    if not settings.color:
        color = None
    elif bgr.shape[:2] == depth_m.shape:
        color = bgr
    else:
        color = np.asarray(
            cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    frame = settings.height_frame
    cloud = cloud_from_depth(
        depth_m,
        view.camera(depth_m.shape),
        _cloud_filter(settings),
        stride=settings.stride,
        bgr=color,
        sigma_m=sigma_m,
        level_from_camera=view.level_from_camera(frame) if frame else None,
    )
    # To Nav2 an empty cloud is news as good as any: silence is what tells that nothing is known.
    if not np.isfinite(cloud.points[..., 2]).any():
        raise FrameError('no_points', 'no point is left: every one is cut by the cloud.* limits')
    return thinned(cloud, settings.voxel_m) if settings.voxel_m else cloud


def _scan(depth_m: FloatImage, view: View) -> PlanarScan:
    settings = view.parameters.scan
    level_from_camera = view.level_from_camera(settings.frame)
    camera = view.camera(depth_m.shape)
    scan = scan_from_depth(depth_m, camera, level_from_camera, _scan_config(settings))
    if np.isnan(scan.ranges_m).all():
        raise FrameError(
            'no_bearings',
            'no bearing is known: neither obstacles nor floor up to scan.max_range_m are seen',
        )
    return scan


def _cloud_filter(settings: CloudParameters) -> CloudFilter:
    return CloudFilter(
        settings.min_range_m,
        settings.max_range_m,
        settings.min_height_m,
        settings.max_height_m,
        settings.edge_filter,
        settings.max_relative_sigma,
    )


def _scan_config(settings: ScanParameters) -> VirtualScanConfig:
    return VirtualScanConfig(
        settings.min_height_m,
        settings.max_height_m,
        settings.floor_slope_rad,
        settings.min_range_m,
        settings.max_range_m,
        settings.step_rad,
    )
