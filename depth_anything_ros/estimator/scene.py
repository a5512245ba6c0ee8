"""What is known around one image: its camera, the metric reference, where is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera, Floats, ReferenceKind
from depth_anything_ros.metric.references import Reference

__all__ = ['NO_SCENE', 'ArrayScene', 'Scene']


class Scene(Protocol):
    """Asked only for what a frame needs, so that a message is read only where it counts."""

    @property
    def kind(self) -> ReferenceKind | None:
        """What the reference is; None where there is none."""
        ...

    def camera(self) -> Camera:
        """Return the intrinsics of the image; FrameError where they are not known."""
        ...

    def reference(self, used_ns: int | None) -> Reference | None:
        """Return the reference of this image, None where it is the one stamped `used_ns` again.

        FrameError where there is none, or where it cannot be read.
        """
        ...

    def up(self) -> Floats:
        """Return the unit vector (3,) away from the ground in the optical frame.

        FrameError where the tilt of the camera is not known.
        """
        ...

    def level_from_camera(self, frame: str) -> Transform:
        """Return the frame called `frame`, with z up, from the camera; FrameError if unknown."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayScene:
    """A scene of arrays; None, or the error that says why, stands for what is not known."""

    intrinsics: Camera | FrameError | None = None
    given: Reference | FrameError | None = None
    level: Transform | None = None
    kind: ReferenceKind | None = None
    """What the reference is, or was before where this image has none."""

    def camera(self) -> Camera:
        """Return the intrinsics; FrameError where they were not given."""
        if isinstance(self.intrinsics, FrameError):
            raise self.intrinsics
        if self.intrinsics is None:
            raise FrameError(
                'no_camera_info',
                'the intrinsics are not known: give a da.Camera to model.stream()',
            )
        return self.intrinsics

    def reference(self, used_ns: int | None) -> Reference | None:
        """Return the reference; FrameError where none was given."""
        if isinstance(self.given, FrameError):
            raise self.given
        if self.given is None:
            raise FrameError('no_reference', 'no metric reference')
        if used_ns is not None and self.given.stamp_ns == used_ns:
            return None
        return self.given

    def up(self) -> Floats:
        """Return the direction of z of the level frame; FrameError without one."""
        up: Floats = self.level_from_camera('').rotation[2]
        return up

    def level_from_camera(self, frame: str) -> Transform:
        """Return the pose that was given for every frame with z up; FrameError without one."""
        if self.level is None:
            raise FrameError(
                'no_transform', 'level_from_camera is not known: give it to model.stream()'
            )
        return self.level


NO_SCENE = ArrayScene()
"""Nothing is known."""
