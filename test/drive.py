"""A simulated drive as the messages that a robot publishes, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

from depth_anything_ros.core.geometry.transforms import IDENTITY
from depth_anything_ros.messages.images import bgr_from_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from lab.degraded_truth import DegradedTruthBackend
from lab.sample_messages import SampleMessages
from lab.sample_topics import START_NS, groups, moments
from lab.topic_names import TRUTH
from lab.world.rig import extrinsics_text, optical
from lab.world.world import World

IMAGE, INFO = '/camera/image_raw', '/camera/camera_info'
DEPTH, DEPTH_INFO = '/depth_camera/depth/image_raw', '/depth_camera/depth/camera_info'
LIDAR, SCAN, ODOM = '/lidar/points', '/scan', '/odom'

TF, TF_STATIC = '/tf', '/tf_static'

_CLASSES: dict[str, Any] = {
    IMAGE: Image,
    INFO: CameraInfo,
    DEPTH: Image,
    DEPTH_INFO: CameraInfo,
    LIDAR: PointCloud2,
    SCAN: LaserScan,
    ODOM: Odometry,
}
try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # not among the wheels of ROS on PyPI
    pass
else:
    _CLASSES |= {TF: TFMessage, TF_STATIC: TFMessage}


@dataclass(frozen=True)
class Drive:
    """What one robot sees; messages are rosbags', `live` gives rclpy's."""

    world: World
    rate_hz: float

    @cached_property
    def _make(self) -> SampleMessages:
        return SampleMessages()

    @cached_property
    def messages(self) -> list[tuple[str, str, Any]]:
        """Every message as (topic, type, message); the camera_info before its image."""
        made = []
        sensors = groups(self.world, self.rate_hz, self._make)
        for time_ns, group in moments(sensors, self.world.seconds):
            values = group.measure(time_ns * 1e-9, START_NS + time_ns)
            items = [
                (topic.name, topic.kind, value)
                for topic, value in zip(group.topics, values, strict=True)
            ]
            made += sorted(items, key=lambda item: item[0] == IMAGE)
        return made

    @cached_property
    def odometry(self) -> list[tuple[str, str, Any]]:
        """Wheel odometry without error at 50 Hz, up to half a second after the last image."""
        start = self.world.base(0.0)
        return [
            (
                ODOM,
                'nav_msgs/msg/Odometry',
                self._make.odometry(
                    START_NS + time_ns,
                    'odom',
                    'base_footprint',
                    start.inverse() @ self.world.base(min(time_ns * 1e-9, self.world.seconds)),
                ),
            )
            for time_ns in range(0, round((self.world.seconds + 0.5) * 1e9), 20_000_000)
        ]

    @cached_property
    def truth(self) -> dict[int, np.ndarray]:
        """True depth of each image, by stamp."""
        return {
            ns_from_stamp(m.header.stamp): np.frombuffer(m.data, np.float32).reshape(
                m.height, m.width
            )
            for topic, _, m in self.messages
            if topic == TRUTH
        }

    def backend(self) -> DegradedTruthBackend:
        """A network that errs about the pictures of this drive."""
        pictures = [m for topic, _, m in self.messages if topic == IMAGE]
        return DegradedTruthBackend(
            (bgr_from_image(m).copy(), self.truth[ns_from_stamp(m.header.stamp)]) for m in pictures
        )

    def live(self, topic: str, kind: str, message: Any) -> Any:
        """The same as a message of rclpy."""
        raw = bytes(self._make.store.serialize_cdr(message, kind))
        return deserialize_message(raw, _CLASSES[topic])

    def extrinsics(self, topic: str) -> str:
        """The pose of a sensor in the colour camera's frame, as reference.extrinsics takes it."""
        rig = self.world.rig
        bodies = {
            DEPTH: optical(rig.depth_camera.pose()),
            LIDAR: rig.lidar.pose(),
            SCAN: rig.scan.pose(),
            'floor': IDENTITY,
            ODOM: IDENTITY,
        }
        return extrinsics_text(optical(rig.camera.pose()).inverse() @ bodies[topic])


@lru_cache(maxsize=4)
def drive(
    family: str,
    seconds: float = 2.0,
    rate_hz: float = 10.0,
    seed: int = 3,
    size: tuple[int, int] = (160, 120),
) -> Drive:
    """A drive with small pictures; the same one for every test that asks for it."""
    return Drive(World(family, seed, seconds, size=size), rate_hz)
