"""ROS 2 Jazzy messages, as `rosbags` types, of what the simulated sensors measure."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_typestore

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage
from lab.world.geometry import Array
from lab.world.sensors import LIDAR_POINT, Scanner

__all__ = ['SampleMessages']

_JPEG_QUALITY = 90
_FIELD_TYPES = {'<f4': 7, '<u2': 4}
"""sensor_msgs/PointField: FLOAT32 and UINT16."""


class SampleMessages:
    """Builds messages; each method takes the stamp in nanoseconds and the frame."""

    def __init__(self) -> None:
        self.store = get_typestore(Stores.ROS2_JAZZY)

    def _make(self, name: str, *values: Any) -> Any:
        return self.store.types[name](*values)

    def header(self, stamp_ns: int, frame: str) -> Any:
        """Build a std_msgs/Header."""
        stamp = self._make('builtin_interfaces/msg/Time', *divmod(stamp_ns, 10**9))
        return self._make('std_msgs/msg/Header', stamp, frame)

    def image(self, stamp_ns: int, frame: str, encoding: str, pixels: Array) -> Any:
        """Build a sensor_msgs/Image from a C-contiguous little-endian array."""
        height, width = pixels.shape[:2]
        data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
        header = self.header(stamp_ns, frame)
        step = data.size // height
        return self._make('sensor_msgs/msg/Image', header, height, width, encoding, 0, step, data)

    def color(self, stamp_ns: int, frame: str, picture: BgrImage) -> Any:
        """Build a bgr8 image."""
        return self.image(stamp_ns, frame, 'bgr8', picture)

    def metres(self, stamp_ns: int, frame: str, depth_m: FloatImage) -> Any:
        """Build a 32FC1 depth image (REP 118)."""
        return self.image(stamp_ns, frame, '32FC1', depth_m)

    def millimetres(self, stamp_ns: int, frame: str, depth_mm: npt.NDArray[np.uint16]) -> Any:
        """Build a 16UC1 depth image (REP 118)."""
        return self.image(stamp_ns, frame, '16UC1', depth_mm)

    def jpeg(self, stamp_ns: int, frame: str, picture: BgrImage) -> Any:
        """Build a CompressedImage, its format worded as image_transport does."""
        _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        header = self.header(stamp_ns, frame)
        name, wording = 'sensor_msgs/msg/CompressedImage', 'bgr8; jpeg compressed bgr8'
        return self._make(name, header, wording, data.reshape(-1))

    def camera_info(self, stamp_ns: int, frame: str, camera: Camera) -> Any:
        """Build a CameraInfo; P shares K's values, as a monocular driver sends them."""
        k = np.array([camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1.0])
        p = np.hstack([k.reshape(3, 3), np.zeros((3, 1))]).reshape(-1)
        distortion = np.zeros(5)
        distortion[: len(camera.distortion)] = camera.distortion
        return self._make(
            'sensor_msgs/msg/CameraInfo',
            self.header(stamp_ns, frame),
            camera.height,
            camera.width,
            'plumb_bob',
            distortion,
            k,
            np.eye(3).reshape(-1),
            p,
            0,
            0,
            self._make('sensor_msgs/msg/RegionOfInterest', 0, 0, 0, 0, False),
        )

    def cloud(self, stamp_ns: int, frame: str, points: npt.NDArray[np.void]) -> Any:
        """Build an unorganised PointCloud2 with x, y, z, intensity and ring."""
        layout = LIDAR_POINT.fields
        assert layout is not None
        fields = [
            self._make('sensor_msgs/msg/PointField', name, at[1], _FIELD_TYPES[at[0].str], 1)
            for name, at in layout.items()
        ]
        data = points.view(np.uint8).reshape(-1)
        step = LIDAR_POINT.itemsize
        header = self.header(stamp_ns, frame)
        size = 1, len(points)
        rest = False, step, data.size, data, True
        return self._make('sensor_msgs/msg/PointCloud2', header, *size, fields, *rest)

    def scan(
        self, stamp_ns: int, frame: str, scanner: Scanner, ranges: npt.NDArray[np.float32]
    ) -> Any:
        """Build a LaserScan of one full turn."""
        return self._make(
            'sensor_msgs/msg/LaserScan',
            self.header(stamp_ns, frame),
            -np.pi,
            -np.pi + scanner.step_rad * (scanner.beams - 1),
            scanner.step_rad,
            0.0,
            1.0 / scanner.rate_hz,
            scanner.min_m,
            scanner.max_m,
            ranges,
            np.zeros(0, np.float32),
        )

    def odometry(self, stamp_ns: int, frame: str, child: str, pose: Transform) -> Any:
        """Build a nav_msgs/Odometry of `child` in `frame`, without covariance and speed."""
        place = self._make('geometry_msgs/msg/Point', *map(float, pose.translation))
        turn = self._make('geometry_msgs/msg/Quaternion', *pose.quaternion)
        still = self._make('geometry_msgs/msg/Vector3', 0.0, 0.0, 0.0)
        return self._make(
            'nav_msgs/msg/Odometry',
            self.header(stamp_ns, frame),
            child,
            self._make(
                'geometry_msgs/msg/PoseWithCovariance',
                self._make('geometry_msgs/msg/Pose', place, turn),
                np.zeros(36),
            ),
            self._make(
                'geometry_msgs/msg/TwistWithCovariance',
                self._make('geometry_msgs/msg/Twist', still, still),
                np.zeros(36),
            ),
        )

    def transforms(self, stamp_ns: int, edges: list[tuple[str, str, Transform]]) -> Any:
        """Build a TFMessage from (parent, child, parent <- child)."""
        return self._make(
            'tf2_msgs/msg/TFMessage',
            [
                self._make(
                    'geometry_msgs/msg/TransformStamped',
                    self.header(stamp_ns, parent),
                    child,
                    self._make(
                        'geometry_msgs/msg/Transform',
                        self._make('geometry_msgs/msg/Vector3', *map(float, pose.translation)),
                        self._make('geometry_msgs/msg/Quaternion', *pose.quaternion),
                    ),
                )
                for parent, child, pose in edges
            ],
        )
