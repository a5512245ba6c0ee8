"""Pictures of the simulated worlds as messages, ready to be sent."""

from __future__ import annotations

from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo, Image

from depth_anything_ros.core.types import Camera
from depth_anything_ros.messages.depth_images import fill_depth_image
from depth_anything_ros.messages.images import fill_image
from lab.world.world import World

__all__ = ['CameraMessages', 'camera_info', 'views']

_FRAME = 'camera_optical_frame'


@dataclass(frozen=True)
class CameraMessages:
    """One picture as the camera sends it, and its true depth as a registered depth camera would.

    Messages are sent again and again, with new stamps.
    """

    image: Image
    depth: Image
    info: CameraInfo


def views(count: int, size: tuple[int, int]) -> list[CameraMessages]:
    """Take `count` pictures of `size` (width, height) along the way through two worlds."""
    worlds = [World(family, size=size) for family in ('room', 'road')]
    taken = []
    for index in range(count):
        world = worlds[index % 2]
        bgr, depth_m = world.picture(world.seconds * index / count)
        view = CameraMessages(Image(), Image(), camera_info(world.camera))
        fill_image(view.image, bgr, 'bgr8')
        fill_depth_image(view.depth, depth_m)
        for message in (view.image, view.depth, view.info):
            message.header.frame_id = _FRAME
        taken.append(view)
    return taken


def camera_info(camera: Camera) -> CameraInfo:
    """Return the message of a camera without distortion; the header is the caller's."""
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    return CameraInfo(
        width=camera.width,
        height=camera.height,
        distortion_model='plumb_bob',
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
