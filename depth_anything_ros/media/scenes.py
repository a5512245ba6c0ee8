"""What is known around the images of a run: intrinsics, and what measures metres."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.types import Camera, ReferenceKind
from depth_anything_ros.estimator.scene import ArrayScene
from depth_anything_ros.media.intrinsics import Intrinsics
from depth_anything_ros.media.pictures import Picture
from depth_anything_ros.media.references import ReferenceFiles
from depth_anything_ros.metric.references import DepthImage, Ground, Points, Reference

__all__ = ['FileScenes', 'ground_below']


@dataclass
class FileScenes:
    """Makes the scene of each image. `clouds` says that points will be asked for."""

    intrinsics: Intrinsics
    files: ReferenceFiles | None = None
    ground: Ground | None = None
    clouds: bool = False
    _kind: ReferenceKind | None = field(default=None, init=False)

    @property
    def measured(self) -> bool:
        """Whether something is to give metres beside the network."""
        return self.files is not None or self.ground is not None

    def remarks(self) -> list[str]:
        """Return what the metres of a run rest on, in whole lines."""
        if self.intrinsics.source and (self.measured or self.clouds):
            return [f'intrinsics by {self.intrinsics.source}']
        return []

    def __call__(self, name: str, picture: Picture) -> ArrayScene:
        """Return what is known around the image `name`."""
        camera: Camera | FrameError
        given: Reference | FrameError | None = self.ground
        if self.files is not None:
            try:
                given = self._file(name, picture)
            except FrameError as error:
                given = error
                self._kind = self._kind or self.files.kind
        if given is not None and not isinstance(given, FrameError):
            self._kind = given.kind
        try:
            camera = self.intrinsics.camera(picture)
        except FrameError as error:
            camera = error
            if self._kind is ReferenceKind.DEPTH_IMAGE and not self.clouds:
                # Its pixels are those of the image: nothing but the size counts, or is known.
                height, width = picture.bgr.shape[:2]
                nan = math.nan
                camera = Camera(width, height, nan, nan, nan, nan)
        return ArrayScene(camera, given, None, self._kind)

    def _file(self, name: str, picture: Picture) -> DepthImage | Points:
        assert self.files is not None
        found = self.files.of(name)
        if isinstance(found, DepthImage):
            height, width = picture.bgr.shape[:2]
            found.check_registered(width, height)
        return found


def ground_below(height_m: float, pitch_deg: float) -> Ground:
    """Return the ground `height_m` below a camera that looks down by `pitch_deg`, without roll."""
    if not -90.0 < pitch_deg <= 90.0:
        raise SettingError(f'--camera-pitch is {pitch_deg:g}: give degrees above -90, up to 90')
    pitch = math.radians(pitch_deg)
    return Ground(height_m, (0.0, -math.cos(pitch), -math.sin(pitch)))
