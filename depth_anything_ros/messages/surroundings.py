"""What is known around the images of one camera: intrinsics, the metric reference, frames."""

from __future__ import annotations

from typing import Any

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer, Transforms
from depth_anything_ros.core.geometry.transforms import Transform, extrinsics_from_text
from depth_anything_ros.core.pairing import Stamped, StampedRing
from depth_anything_ros.core.parameters import ReferenceParameters
from depth_anything_ros.core.types import CameraModel, ReferenceKind
from depth_anything_ros.messages.camera_info import camera_from_info
from depth_anything_ros.messages.references import measurement_from
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.references import Floor, Measurement

__all__ = ['Surroundings']


class Surroundings:
    """Takes messages from one thread and answers another.

    `transforms` may be replaced at any time.
    """

    def __init__(self, transforms: Transforms | None = None) -> None:
        self.transforms: Transforms = transforms or TransformBuffer()
        self._kind: ReferenceKind | None = None
        self._ring: StampedRing[tuple[ReferenceKind | None, Any]] = StampedRing()
        self.camera_info: Any = None
        """The last CameraInfo of the image; None before the first."""
        self.reference_info: Any = None
        """The last CameraInfo beside a depth image as reference; None before the first."""
        self._read: tuple[Any, tuple[int, int, bool], CameraModel] | None = None

    @property
    def kind(self) -> ReferenceKind | None:
        """What the reference is; to change it forgets the messages of the one before."""
        return self._kind

    @kind.setter
    def kind(self, kind: ReferenceKind | None) -> None:
        self._kind = kind
        self._ring.clear()

    def add_reference(self, message: Any) -> None:
        """Keep one message of the reference; the newest ten stay."""
        self._ring.add(ns_from_stamp(message.header.stamp), (self._kind, message))

    def forget(self) -> None:
        """Drop all messages."""
        self._ring.clear()
        self.camera_info = self.reference_info = None

    def camera(self, width: int, height: int, rectified: bool) -> CameraModel:
        """Return the intrinsics of an image; FrameError where there are none."""
        info = self.camera_info
        if info is None:
            raise FrameError(
                'no_camera_info',
                'no camera_info yet: metric depth needs the intrinsics of the camera',
            )
        asked = width, height, rectified
        read = self._read
        # Asked several times a frame; whoever replaces camera_info replaces the whole message.
        if read is not None and read[0] is info and read[1] == asked:
            return read[2]
        camera = camera_from_info(info, width, height, rectified)
        self._read = info, asked, camera
        return camera

    def paired(
        self, stamp_ns: int, tolerance_s: float
    ) -> Stamped[tuple[ReferenceKind | None, Any]] | None:
        """Return kind and message of the reference nearest to a stamp, within tolerance."""
        return self._ring.nearest(stamp_ns, round(tolerance_s * 1e9))

    def unpaired(self, stamp_ns: int, tolerance_s: float) -> str:
        """Say why `paired` gave nothing."""
        any_time = self._ring.nearest(stamp_ns, 2**62)
        if any_time is None:
            return 'nothing received on the reference topic'
        away_s = (any_time.stamp_ns - stamp_ns) * 1e-9
        side = 'newer' if away_s > 0 else 'older'
        return (
            f'the nearest reference is {abs(away_s):.2f} s {side} than the image, more than '
            f'reference.sync_tolerance_s ({tolerance_s:g} s)'
        )

    def measurement(
        self, kind: ReferenceKind, message: Any, frame_id: str, camera: CameraModel
    ) -> Measurement:
        """Read a reference message for an image in `frame_id`; FrameError if it cannot be."""
        return measurement_from(kind, message, self.reference_info, frame_id, camera)

    def floor(self, stamp_ns: int, reference: ReferenceParameters) -> Measurement:
        """Return the floor, which needs no message."""
        floor = Floor(reference.camera_height_m)
        return Measurement(ReferenceKind.GROUND_PLANE, stamp_ns, reference.ground_frame, floor)

    def camera_from(
        self,
        measurement: Measurement,
        frame_id: str,
        stamp_ns: int,
        reference: ReferenceParameters,
    ) -> Transform:
        """Return the camera, at the stamp of its image, from the sensor, at that of its message.

        FrameError where tf does not know.
        """
        given = extrinsics_from_text(reference.extrinsics)
        if given is not None:
            return given
        if not (frame_id and measurement.frame_id):
            which = 'reference' if frame_id else 'image'
            raise FrameError(
                'no_frame_id',
                f'the {which} has an empty frame_id: fix its driver, or set reference.extrinsics',
            )
        return self.transforms.lookup_through(
            frame_id,
            stamp_ns,
            measurement.frame_id,
            measurement.stamp_ns,
            reference.fixed_frame,
        )

    def level_from_camera(self, level_frame: str, frame_id: str, stamp_ns: int) -> Transform:
        """Return a frame with z up from the camera; FrameError where tf does not know."""
        return self.transforms.lookup_through(level_frame, stamp_ns, frame_id, stamp_ns, '')
