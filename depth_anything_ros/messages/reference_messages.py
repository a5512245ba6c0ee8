"""Messages of metric references to references of arrays, and the rules for their topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from depth_anything_ros.core.errors import FrameError, SettingError, shown
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera, ReferenceKind
from depth_anything_ros.messages.camera_info import camera_from_info
from depth_anything_ros.messages.compressed_depth import depth_from_message
from depth_anything_ros.messages.laser_scans import scan_from_message
from depth_anything_ros.messages.point_clouds import points_from_cloud, sigma_from_cloud
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.references import DepthImage, Points, Reference, Scan

__all__ = ['REFERENCE_TYPES', 'camera_info_beside', 'kind_of_type', 'reference_from_message']

REFERENCE_TYPES = {
    'sensor_msgs/msg/Image': ReferenceKind.DEPTH_IMAGE,
    'sensor_msgs/msg/CompressedImage': ReferenceKind.DEPTH_IMAGE,
    'sensor_msgs/msg/PointCloud2': ReferenceKind.POINT_CLOUD,
    'sensor_msgs/msg/LaserScan': ReferenceKind.LASER_SCAN,
    'nav_msgs/msg/Odometry': ReferenceKind.ODOMETRY,
}
"""What each type of message is as a reference."""


def kind_of_type(type_name: str, topic: str) -> ReferenceKind:
    """Return what messages of a type are as a reference; SettingError for any other type."""
    kind = REFERENCE_TYPES.get(type_name)
    if kind is not None:
        return kind
    known = ', '.join(REFERENCE_TYPES)
    if type_name == 'sensor_msgs/msg/Range':
        raise SettingError(
            f'{topic} is a sensor_msgs/msg/Range: one range cannot settle scale and shift; set '
            'reference.type to ground_plane with reference.camera_height_m, or use a topic of '
            f'type {known}'
        )
    raise SettingError(f'{topic} is {type_name}: a reference has one of the types {known}')


def camera_info_beside(topic: str) -> str:
    """Return the camera_info topic beside an image topic, where image_transport expects it."""
    base = topic.removesuffix('/compressed').removesuffix('/compressedDepth')
    return base.rpartition('/')[0] + '/camera_info'


def reference_from_message(
    kind: ReferenceKind,
    message: Any,
    info: Any,
    image_frame: str,
    camera: Camera,
    camera_from: Callable[[str, int], Transform],
) -> Reference:
    """Read `message` as a reference for an image in `image_frame`, taken by `camera`.

    `info` is the CameraInfo beside a depth image, or None. `camera_from` returns the camera from
    the frame of a sensor at a stamp in nanoseconds. FrameError says what is wrong with the
    message, that a depth image from elsewhere has no camera_info, or what `camera_from` raises.
    """
    frame_id, stamp_ns = message.header.frame_id, ns_from_stamp(message.header.stamp)
    if kind is ReferenceKind.POINT_CLOUD:
        points, pose = points_from_cloud(message), camera_from(frame_id, stamp_ns)
        sigma_m = sigma_from_cloud(message, points, pose.inverse().translation)
        if sigma_m is not None:
            points[np.isnan(sigma_m)] = np.nan
        return Points(points, pose, sigma_m, stamp_ns)
    if kind is ReferenceKind.LASER_SCAN:
        scan = scan_from_message(message)
        pose = camera_from(frame_id, stamp_ns)
        return Scan(scan.ranges_m, scan.bearing_min_rad, scan.step_rad, pose, stamp_ns)
    depth_m = depth_from_message(message)
    height, width = depth_m.shape
    taken_by = None if info is None else camera_from_info(info, width, height, rectified=True)
    if frame_id and frame_id == image_frame and _registered(taken_by, camera, width, height):
        return DepthImage(depth_m, stamp_ns=stamp_ns)
    if taken_by is None:
        raise FrameError(
            'no_reference_camera_info',
            f'the depth image in {shown(frame_id)} of {width} x {height} pixels is not the view '
            f'of the image in {shown(image_frame)} of {camera.width} x {camera.height}, and there '
            'is no camera_info beside it: publish one, or remap reference/camera_info to it',
        )
    return DepthImage(depth_m, taken_by, camera_from(frame_id, stamp_ns), stamp_ns)


def _registered(taken_by: Camera | None, camera: Camera, width: int, height: int) -> bool:
    """Return whether a depth image in the frame of the image shows the same view."""
    if taken_by is None:
        # The same view has the same shape, to a pixel.
        return abs(width * camera.height - height * camera.width) <= max(
            camera.height, camera.width
        )
    same = camera.scaled(width, height)
    ours = np.array([same.fx, same.fy, same.cx, same.cy])
    theirs = np.array([taken_by.fx, taken_by.fy, taken_by.cx, taken_by.cy])
    return not camera.distortion and bool(np.abs(ours - theirs).max() < 1.0)
