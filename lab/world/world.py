"""A robot with its sensors driving through a scene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage
from lab.world.camera import depth_image, render, view_of
from lab.world.rig import RIGS, Rig, base_pose, optical, pinhole
from lab.world.scene import Scene
from lab.world.scenes import make_scene
from lab.world.sensors import SENSORS, SensorSet

__all__ = ['World']

_CAMERA, _DEPTH, _LIDAR, _SCAN = range(4)


@dataclass(frozen=True)
class World:
    """Everything that the sensors of one robot measure at a time in seconds.

    `size` is the width and height of the colour camera, `distortion` its plumb-bob
    coefficients. The same values give the same measurements.
    """

    family: str
    seed: int = 0
    seconds: float = 6.0
    size: tuple[int, int] = (640, 480)
    distortion: tuple[float, ...] = ()

    @cached_property
    def scene(self) -> Scene:
        """Return the scene at time 0."""
        return make_scene(self.family, self.seed, self.seconds)

    @property
    def rig(self) -> Rig:
        """Return the places of the sensors."""
        return RIGS[self.family]

    @property
    def sensors(self) -> SensorSet:
        """Return the sensors besides the colour camera."""
        return SENSORS[self.family]

    @cached_property
    def camera(self) -> Camera:
        """Return the intrinsics of the colour camera."""
        return pinhole(*self.size, focal=self.rig.camera_focal, distortion=self.distortion)

    def base(self, time_s: float) -> Transform:
        """Return map <- base_footprint."""
        return base_pose(*self.scene.path.pose(time_s))

    def camera_pose(self, time_s: float) -> Transform:
        """Return map <- optical frame of the colour camera."""
        return self.base(time_s) @ optical(self.rig.camera.pose())

    def depth_camera_pose(self, time_s: float) -> Transform:
        """Return map <- optical frame of the depth camera."""
        return self.base(time_s) @ optical(self.rig.depth_camera.pose())

    def picture(self, time_s: float) -> tuple[BgrImage, FloatImage]:
        """Return the picture (H, W, 3) and the true depth along Z in metres, inf for the sky."""
        scene = self.scene.at(time_s)
        view = view_of(scene, self.camera, self.camera_pose(time_s))
        return render(scene, view, self._draw(_CAMERA, time_s)), depth_image(view)

    def depth(self, time_s: float) -> npt.NDArray[np.uint16]:
        """Return the depth camera's image (H, W) in millimetres, 0 where unknown."""
        pose = self.depth_camera_pose(time_s)
        draw = self._draw(_DEPTH, time_s)
        return self.sensors.depth_camera.measure(self.scene.at(time_s), pose, draw)

    def cloud(self, time_s: float) -> npt.NDArray[np.void]:
        """Return the lidar's returns, `LIDAR_POINT` (n,), in its own frame."""
        pose = self.base(time_s) @ self.rig.lidar.pose()
        draw = self._draw(_LIDAR, time_s)
        return self.sensors.lidar.measure(self.scene.at(time_s), pose, draw)

    def scan(self, time_s: float) -> npt.NDArray[np.float32]:
        """Return the scanner's ranges (beams,) in metres."""
        pose = self.base(time_s) @ self.rig.scan.pose()
        draw = self._draw(_SCAN, time_s)
        return self.sensors.scanner.measure(self.scene.at(time_s), pose, draw)

    def _draw(self, sensor: int, time_s: float) -> int:
        """Return a seed of its own to each measurement."""
        words = np.random.SeedSequence([self.seed, sensor, round(time_s * 1e6)])
        return int(words.generate_state(1, np.uint64)[0])
