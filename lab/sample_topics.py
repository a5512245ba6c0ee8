"""The topics of a sample bag: type, frame, rate, and how one message comes about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from depth_anything_ros.core.geometry.transforms import Transform
from lab.sample_messages import SampleMessages
from lab.topic_names import TRUTH
from lab.world.rig import BASE_HEIGHT_M, OPTICAL, Mount
from lab.world.world import World

__all__ = ['START_NS', 'Group', 'Topic', 'groups', 'moments']

START_NS = 1_700_000_000 * 10**9
"""Stamp of a bag's first instant; a fixed one, so that equal arguments give equal messages."""

_TF_HZ = 50.0


@dataclass(frozen=True)
class Topic:
    """One topic; a latched one offers its last message to late subscribers."""

    name: str
    kind: str
    latched: bool = False


@dataclass(frozen=True)
class Group:
    """Topics that share their stamps.

    `measure` takes the time in seconds and the stamp in nanoseconds, and returns one message per
    topic. The first is at `phase_s`; `rate_hz` 0 means only once.
    """

    topics: tuple[Topic, ...]
    rate_hz: float
    phase_s: float
    measure: Callable[[float, int], tuple[Any, ...]]

    def times_ns(self, seconds: float) -> list[int]:
        """Return the stamps, in nanoseconds from the start, of a bag of `seconds`."""
        if self.rate_hz == 0.0:
            return [0]
        count = max(1, int(seconds * self.rate_hz + 1e-6))
        return [round((self.phase_s + index / self.rate_hz) * 1e9) for index in range(count)]


def moments(sensors: list[Group], seconds: float) -> Iterator[tuple[int, Group]]:
    """Return (nanoseconds from the start, group) in the order of time."""
    pairs = [
        (time_ns, order)
        for order, group in enumerate(sensors)
        for time_ns in group.times_ns(seconds)
    ]
    for time_ns, order in sorted(pairs):
        yield time_ns, sensors[order]


def groups(world: World, rate_hz: float, make: SampleMessages) -> list[Group]:
    """Return every topic of the bag; `rate_hz` is that of both cameras."""
    sensors, lens = world.sensors, 'camera_optical_frame'
    depth_lens = 'depth_camera_optical_frame'

    def static(_: float, stamp: int) -> tuple[Any, ...]:
        return (make.transforms(stamp, _static_edges(world)),)

    def moving(time_s: float, stamp: int) -> tuple[Any, ...]:
        start = world.base(0.0)
        driven = start.inverse() @ world.base(time_s)
        edges = [('map', 'odom', start), ('odom', 'base_footprint', driven)]
        return (make.transforms(stamp, edges),)

    def picture(time_s: float, stamp: int) -> tuple[Any, ...]:
        image, truth = world.picture(time_s)
        info = make.camera_info(stamp, lens, world.camera)
        return (
            make.color(stamp, lens, image),
            make.jpeg(stamp, lens, image),
            info,
            make.metres(stamp, lens, truth),
            info,
        )

    def depth(time_s: float, stamp: int) -> tuple[Any, ...]:
        return (
            make.millimetres(stamp, depth_lens, world.depth(time_s)),
            make.camera_info(stamp, depth_lens, sensors.depth_camera.camera),
        )

    def cloud(time_s: float, stamp: int) -> tuple[Any, ...]:
        return (make.cloud(stamp, 'lidar_link', world.cloud(time_s)),)

    def scan(time_s: float, stamp: int) -> tuple[Any, ...]:
        return (make.scan(stamp, 'laser_link', sensors.scanner, world.scan(time_s)),)

    image_type, info_type = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
    color_topics = (
        Topic('/camera/image_raw', image_type),
        Topic('/camera/image_raw/compressed', 'sensor_msgs/msg/CompressedImage'),
        Topic('/camera/camera_info', info_type),
        Topic(TRUTH, image_type),
        Topic('/ground_truth/depth/camera_info', info_type),
    )
    depth_topics = (
        Topic('/depth_camera/depth/image_raw', image_type),
        Topic('/depth_camera/depth/camera_info', info_type),
    )
    # The phases keep the sensors' stamps apart, as those of real ones are; transforms begin
    # before the first of them.
    return [
        Group((Topic('/tf_static', 'tf2_msgs/msg/TFMessage', latched=True),), 0.0, 0.0, static),
        Group((Topic('/tf', 'tf2_msgs/msg/TFMessage'),), _TF_HZ, 0.0, moving),
        Group(color_topics, rate_hz, 0.015, picture),
        Group(depth_topics, rate_hz, 0.008, depth),
        Group(
            (Topic('/lidar/points', 'sensor_msgs/msg/PointCloud2'),),
            sensors.lidar.rate_hz,
            0.003,
            cloud,
        ),
        Group(
            (Topic('/scan', 'sensor_msgs/msg/LaserScan'),), sensors.scanner.rate_hz, 0.006, scan
        ),
    ]


def _static_edges(world: World) -> list[tuple[str, str, Transform]]:
    """Return the frames fixed to the base, each as (parent, child, parent <- child)."""
    lift = np.array([0.0, 0.0, BASE_HEIGHT_M])
    lens = Transform(OPTICAL, np.zeros(3))
    rig = world.rig

    def mounted(mount: Mount) -> Transform:
        pose = mount.pose()
        return Transform(pose.rotation, pose.translation - lift)

    return [
        ('base_footprint', 'base_link', Transform(np.eye(3), lift)),
        ('base_link', 'camera_link', mounted(rig.camera)),
        ('camera_link', 'camera_optical_frame', lens),
        ('base_link', 'depth_camera_link', mounted(rig.depth_camera)),
        ('depth_camera_link', 'depth_camera_optical_frame', lens),
        ('base_link', 'lidar_link', mounted(rig.lidar)),
        ('base_link', 'laser_link', mounted(rig.scan)),
    ]
