"""Messages of metric references to measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import CameraModel, ReferenceKind
from depth_anything_ros.messages.camera_info import camera_from_info
from depth_anything_ros.messages.depth_images import depth_from_image
from depth_anything_ros.messages.point_clouds import points_from_cloud
from depth_anything_ros.messages.scans import scan_from_message
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.references import DepthMap, Measurement

__all__ = ['REFERENCE_TYPES', 'measurement_from']

REFERENCE_TYPES = {
    'sensor_msgs/msg/Image': ReferenceKind.DEPTH_IMAGE,
    'sensor_msgs/msg/PointCloud2': ReferenceKind.POINT_CLOUD,
    'sensor_msgs/msg/LaserScan': ReferenceKind.LASER_SCAN,
}
"""What each type of message is as a reference."""

_READERS: dict[ReferenceKind, Callable[[Any], Any]] = {
    ReferenceKind.POINT_CLOUD: points_from_cloud,
    ReferenceKind.LASER_SCAN: scan_from_message,
}


def measurement_from(
    kind: ReferenceKind, message: Any, info: Any, image_frame: str, camera: CameraModel
) -> Measurement:
    """Read `message` as a reference for an image in `image_frame`, taken by `camera`.

    `info` is the CameraInfo beside a depth image, or None. FrameError says what is wrong with
    the message, or that a depth image from elsewhere has no camera_info.
    """
    frame_id, stamp_ns = message.header.frame_id, ns_from_stamp(message.header.stamp)
    if kind is ReferenceKind.DEPTH_IMAGE:
        depth_m = depth_from_image(message)
        height, width = depth_m.shape
        taken_by = None if info is None else camera_from_info(info, width, height, rectified=True)
        if frame_id and frame_id == image_frame and _registered(taken_by, camera, width, height):
            taken_by = None
        elif taken_by is None:
            raise FrameError(
                'no_reference_camera_info',
                f"the depth image in '{frame_id}' of {width} x {height} pixels is not the view of "
                f"the image in '{image_frame}' of {camera.width} x {camera.height}, and there is "
                'no camera_info beside it: publish one, or remap reference/camera_info to it',
            )
        return Measurement(kind, stamp_ns, frame_id, DepthMap(depth_m, taken_by))
    return Measurement(kind, stamp_ns, frame_id, _READERS[kind](message))


def _registered(
    taken_by: CameraModel | None, camera: CameraModel, width: int, height: int
) -> bool:
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
