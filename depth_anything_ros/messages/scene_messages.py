"""The messages around the images of one camera, read only where a frame needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer, Transforms
from depth_anything_ros.core.geometry.transforms import Transform, extrinsics_from_text
from depth_anything_ros.core.pairing import Stamped, StampedRing
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import Camera, Floats, ReferenceKind
from depth_anything_ros.messages.camera_info import camera_from_info
from depth_anything_ros.messages.odometry import odometry_at
from depth_anything_ros.messages.reference_messages import reference_from_message
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.references import Ground, Odometry, Reference

__all__ = ['MessageScene', 'SceneMessages']

# Odometry is interpolated, and comes up to some hundred times in a second.
_KEPT, _KEPT_ODOMETRY = 10, 1000
_ANY_S, _CLOCKS_S = 1e10, 60.0
"""Longer than any time between two stamps, and than a sensor is late."""


class SceneMessages:
    """Takes messages on one thread; scenes read them on another.

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
        self.metres_wanted: Callable[[], bool] = lambda: True
        """Whether somebody wants metres: where nobody does, odometry is not followed."""
        self._read: tuple[Any, tuple[int, int, bool], Camera] | None = None

    @property
    def kind(self) -> ReferenceKind | None:
        """What the reference is; a change drops the messages of the one before."""
        return self._kind

    @kind.setter
    def kind(self, kind: ReferenceKind | None) -> None:
        self._kind = kind
        self._ring = StampedRing(_KEPT_ODOMETRY if kind is ReferenceKind.ODOMETRY else _KEPT)

    def add_reference(self, message: Any) -> None:
        """Keep one message of the reference; the newest ten stay, of odometry 1000."""
        self._ring.add(ns_from_stamp(message.header.stamp), (self._kind, message))

    def clear(self) -> None:
        """Drop all messages."""
        self._ring.clear()
        self.camera_info = self.reference_info = None

    def camera(self, width: int, height: int, rectified: bool) -> Camera:
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

    def nearest(
        self, stamp_ns: int, tolerance_s: float
    ) -> Stamped[tuple[ReferenceKind | None, Any]] | None:
        """Return kind and message of the reference nearest to a stamp, within tolerance."""
        return self._ring.nearest(stamp_ns, round(tolerance_s * 1e9))

    def around(self, stamp_ns: int) -> tuple[Any, Any]:
        """Return the messages of the reference up to a stamp and from it on, None without one."""
        before, after = self._ring.around(stamp_ns)
        return before and before.value[1], after and after.value[1]


class MessageScene:
    """What the messages say about one image; see Scene."""

    def __init__(
        self,
        messages: SceneMessages,
        frame_id: str,
        stamp_ns: int,
        size: tuple[int, int],
        parameters: Parameters,
    ) -> None:
        """`size` is the width and height of the image, taken in `frame_id`.

        The reference is looked for at once, and again when it is asked for: the ring holds less
        than a slow network takes.
        """
        self._messages, self._parameters = messages, parameters
        self._frame_id, self._stamp_ns, self._size = frame_id, stamp_ns, size
        # Another thread may change it while the network runs.
        self.kind = messages.kind
        """What the reference is; None where there is none."""
        self._early = messages.nearest(stamp_ns, parameters.reference.sync_tolerance_s)

    def camera(self) -> Camera:
        """Return the intrinsics of the image; FrameError where they are not known."""
        return self._messages.camera(*self._size, self._parameters.rectified)

    def reference(self, used_ns: int | None) -> Reference | None:
        """Return the reference of this image, None where it is the one stamped `used_ns` again.

        FrameError where there is none, or where it cannot be read.
        """
        if self.kind is ReferenceKind.GROUND_PLANE:
            return self._ground()
        if self.kind is ReferenceKind.ODOMETRY:
            return None if self._stamp_ns == used_ns else self._odometry()
        tolerance_s = self._parameters.reference.sync_tolerance_s
        late = self._messages.nearest(self._stamp_ns, tolerance_s)
        pairs = [pair for pair in (self._early, late) if pair is not None]
        if not pairs:
            raise FrameError('no_reference', self._why_unpaired(tolerance_s))
        pair = min(pairs, key=lambda each: abs(each.stamp_ns - self._stamp_ns))
        if pair.stamp_ns == used_ns:
            return None
        kind, message = pair.value
        if kind is None or kind is not self.kind:
            raise FrameError('no_reference', 'the reference type changed during this frame')
        info = self._messages.reference_info
        return reference_from_message(
            kind, message, info, self._frame_id, self.camera(), self._camera_from
        )

    def up(self) -> Floats:
        """Return the unit vector away from the ground; FrameError where the tilt is unknown."""
        return self._camera_from_ground().rotation[:, 2]

    def level_from_camera(self, frame: str) -> Transform:
        """Return the frame called `frame`, with z up, from the camera; FrameError if unknown."""
        return self._messages.transforms.lookup_through(
            frame, self._stamp_ns, self._frame_id, self._stamp_ns, ''
        )

    def _ground(self) -> Ground:
        camera_from_ground = self._camera_from_ground()
        height_m = self._parameters.reference.camera_height_m
        if not height_m:
            height_m = float(camera_from_ground.inverse().translation[2])
        return Ground(height_m, camera_from_ground.rotation[:, 2], self._stamp_ns)

    def _camera_from_ground(self) -> Transform:
        return self._camera_from(self._parameters.reference.ground_frame, self._stamp_ns)

    def _odometry(self) -> Odometry:
        """Return the pose of the camera by tf, or by the messages around the image."""
        if not self._messages.metres_wanted():
            raise FrameError(
                'no_subscriber', 'odometry is followed while an output in metres has a subscriber'
            )
        settings = self._parameters.reference
        if settings.fixed_frame:
            self._require_frames(settings.fixed_frame)
            odom_from_camera = self._messages.transforms.lookup(
                settings.fixed_frame, self._frame_id, self._stamp_ns, extrapolate=False
            )
            return Odometry(odom_from_camera, self._stamp_ns)
        if self._messages.nearest(self._stamp_ns, settings.sync_tolerance_s) is None:
            raise FrameError('no_reference', self._why_unpaired(settings.sync_tolerance_s))
        before, after = self._messages.around(self._stamp_ns)
        odom_from_child = odometry_at(before, after, self._stamp_ns)
        child_from_camera = self._camera_from(before.child_frame_id, self._stamp_ns).inverse()
        return Odometry(odom_from_child @ child_from_camera, self._stamp_ns)

    def _camera_from(self, sensor_frame: str, sensor_ns: int) -> Transform:
        """Return the camera at the stamp of its image from a sensor at that of its message."""
        settings = self._parameters.reference
        given = extrinsics_from_text(settings.extrinsics)
        if given is not None:
            return given
        self._require_frames(sensor_frame)
        return self._messages.transforms.lookup_through(
            self._frame_id, self._stamp_ns, sensor_frame, sensor_ns, settings.fixed_frame
        )

    def _require_frames(self, sensor_frame: str) -> None:
        if not (self._frame_id and sensor_frame):
            which = 'reference' if self._frame_id else 'image'
            raise FrameError(
                'no_frame_id',
                f'the {which} has an empty frame_id: fix its driver, or set reference.extrinsics',
            )

    def _why_unpaired(self, tolerance_s: float) -> str:
        any_time = self._messages.nearest(self._stamp_ns, _ANY_S)
        if any_time is None:
            return 'nothing received on the reference topic'
        if any_time.stamp_ns == 0:
            return (
                'the reference has the stamp 0, so no image can be paired with it: fix its driver'
            )
        away_s = (any_time.stamp_ns - self._stamp_ns) * 1e-9
        side = 'newer' if away_s > 0 else 'older'
        why = (
            f'the nearest reference is {abs(away_s):.2f} s {side} than the image, more than '
            f'reference.sync_tolerance_s ({tolerance_s:g} s)'
        )
        if abs(away_s) < _CLOCKS_S:
            return why
        stopped = 'start it again if it has stopped, else ' if away_s < 0 else ''
        return f'{why}: {stopped}stamp both by the same clock'
