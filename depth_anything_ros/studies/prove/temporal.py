"""How depth changes from frame to frame: flicker, scale jitter, temporal alignment error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from depth_anything_ros.bag.replay import ReplayedImage
from depth_anything_ros.core.flicker import Look, flicker, look_of
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.temporal_alignment import temporal_alignment_error
from depth_anything_ros.core.types import Camera, FloatImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.metric.references import Odometry
from depth_anything_ros.studies.prove.beside import Beside

__all__ = ['Temporal']

# TAE at a quarter of the pixels either way says the same, in a sixteenth of the time.
_STRIDE = 4


class _Posed(NamedTuple):
    depth_m: FloatImage
    camera: Camera
    odom_from_camera: Transform


class Temporal:
    """Compares each frame with the one before. `motion`: the odometry, None where there is none.

    Poses are interpolated, so that the one of a frame is asked for once the next one is there;
    `tae_before` belongs to that earlier pair.
    """

    def __init__(self, motion: Beside | None) -> None:
        self.flicker = self.tae_before = float('nan')
        self.flickers: list[float] = []
        self.tae: list[float] = []
        self._motion = motion
        self._look: Look | None = None
        self._waiting: ReplayedImage | None = None
        self._posed: _Posed | None = None

    def add(self, image: ReplayedImage) -> None:
        """Take the next image of the replay."""
        before, self._look = self._look, None
        self.flicker = float('nan')
        if image.frame is not None:
            self._look = look_of(image.frame.image, image.frame.inverse_depth)
            if before is not None:
                self.flicker = flicker(before, self._look)
                if np.isfinite(self.flicker):
                    self.flickers.append(self.flicker)
        self.finish()
        self._waiting = image

    def finish(self) -> None:
        """Compare the last image with the one before it."""
        earlier, self._posed = self._posed, self._pose_of(self._waiting)
        self._waiting = None
        self.tae_before = float('nan')
        now = self._posed
        if earlier is None or now is None or earlier.depth_m.shape != now.depth_m.shape:
            return
        move = now.odom_from_camera.inverse() @ earlier.odom_from_camera
        error = temporal_alignment_error(earlier.depth_m, now.depth_m, move, now.camera)
        if np.isfinite(error):
            self.tae_before = error
            self.tae.append(error)

    def _pose_of(self, image: ReplayedImage | None) -> _Posed | None:
        if self._motion is None or image is None or image.frame is None:
            return None
        frame: Frame = image.frame
        if frame.depth_m is None:
            return None
        pose = self._motion.at(image)
        if not isinstance(pose, Odometry):
            return None
        depth_m = frame.depth_m[_STRIDE // 2 :: _STRIDE, _STRIDE // 2 :: _STRIDE]
        camera = frame.camera().scaled(depth_m.shape[1], depth_m.shape[0])
        return _Posed(depth_m, camera, pose.transform)
