"""The transforms on /tf and /tf_static, through tf2_ros."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from depth_anything_ros.core.errors import FrameError, shown
from depth_anything_ros.core.geometry.transform_buffer import (
    MAX_EXTRAPOLATION_NS,
    TransformBuffer,
    Transforms,
)
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.timing import time_went_back
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.messages.tf import transform_from

__all__ = ['LiveTransforms', 'NoTransforms', 'Tf2Transforms', 'create_transforms']


class LiveTransforms(Transforms):
    """Transforms that a node receives: stored on the executor's thread, looked up on any."""

    @abstractmethod
    def close(self) -> None:
        """Unsubscribe; what was received can still be looked up."""


def create_transforms(node: Node) -> LiveTransforms:
    """Listen to /tf and /tf_static with tf2_ros; without it, asking for a transform says so."""
    try:
        return Tf2Transforms(node)
    except ImportError:
        return NoTransforms()


class Tf2Transforms(LiveTransforms):
    """What TransformBuffer does, by tf2; needs tf2_ros.

    Beyond the newest transform, the whole chain as it was at its newest common time holds for
    50 ms. Stamps show that time went back, as in TransformBuffer: tf2 alone asks the clock,
    which shows nothing when a bag loops without simulated time.
    """

    def __init__(self, node: Node) -> None:
        """Subscribe; ImportError where tf2_ros is not installed."""
        import tf2_ros

        self._tf2 = tf2_ros
        # Not tf2_ros.Buffer, which adds ways to wait and a clock of its own.
        self._buffer = tf2_ros.BufferCore()
        self._newest_ns: dict[str, int] = {}
        # It stores what it receives through `set_transform` and `set_transform_static`.
        self._listener = tf2_ros.TransformListener(self, node)

    def set_transform(self, item: Any, authority: str) -> None:
        """Store a geometry_msgs/TransformStamped from /tf."""
        stamp_ns, child = ns_from_stamp(item.header.stamp), item.child_frame_id
        newest_ns = self._newest_ns.get(child, stamp_ns)
        if time_went_back(newest_ns, stamp_ns):
            self.clear()
            newest_ns = stamp_ns
        self._newest_ns[child] = max(newest_ns, stamp_ns)
        self._buffer.set_transform(item, authority)

    def set_transform_static(self, item: Any, authority: str) -> None:
        """Store a geometry_msgs/TransformStamped from /tf_static."""
        self._buffer.set_transform_static(item, authority)

    def clear(self) -> None:
        """Forget the timed transforms; static ones are sent once only, so they stay."""
        self._newest_ns.clear()
        self._buffer.clear()

    def close(self) -> None:
        """Unsubscribe."""
        self._listener.unregister()

    def lookup(
        self, target: str, source: str, stamp_ns: int, *, extrapolate: bool = True
    ) -> Transform:
        """Return target_from_source at `stamp_ns`; see Transforms."""
        limit_ns = MAX_EXTRAPOLATION_NS if extrapolate else 0
        target, source = target.lstrip('/'), source.lstrip('/')
        if target == source:
            return IDENTITY
        try:
            try:
                return self._at(target, source, stamp_ns)
            except self._tf2.ExtrapolationException:
                newest_ns = self._buffer.get_latest_common_time(target, source).nanoseconds
                late_ns = stamp_ns - newest_ns
                if late_ns > limit_ns:
                    raise FrameError(
                        'transform_too_old',
                        f'the newest transforms from {shown(source)} to {shown(target)} are '
                        f'{late_ns * 1e-9:.3f} s older than the stamp asked for: is their '
                        'publisher running, and on the same clock?',
                    ) from None
                if late_ns < -limit_ns:
                    raise
                return self._at(target, source, newest_ns)
        except self._tf2.ExtrapolationException as err:
            raise FrameError(
                'transform_too_new',
                f'the oldest transforms from {shown(source)} to {shown(target)} are newer than '
                'the stamp asked for: the message waited too long, or the clocks disagree '
                f'(tf2: {_one_line(err)})',
            ) from err
        except self._tf2.TransformException as err:
            raise FrameError(
                'no_transform',
                f'no transforms lead from {shown(source)} to {shown(target)}: publish the missing '
                "ones on /tf_static or /tf, or fix the message's frame_id "
                f'(tf2: {_one_line(err)})',
            ) from err

    def _at(self, target: str, source: str, stamp_ns: int) -> Transform:
        # tf2 takes 0 for "the newest", and has no stamps below.
        time = Time(nanoseconds=max(stamp_ns, 1))
        return transform_from(self._buffer.lookup_transform_core(target, source, time).transform)


class NoTransforms(TransformBuffer, LiveTransforms):
    """Without tf2_ros no transform is known, but that a frame is itself."""

    def lookup(
        self, target: str, source: str, stamp_ns: int, *, extrapolate: bool = True
    ) -> Transform:
        """Return the identity, or FrameError('no_transform') that says what to install."""
        try:
            return super().lookup(target, source, stamp_ns, extrapolate=extrapolate)
        except FrameError as err:
            raise FrameError(
                err.reason,
                f'no transform from {shown(source)} to {shown(target)} is known, as tf2_ros is '
                'not installed: install ros-$ROS_DISTRO-tf2-ros-py, or for a reference set '
                'reference.extrinsics',
            ) from err

    def close(self) -> None:
        """Do nothing."""


def _one_line(err: Exception) -> str:
    return shown(' '.join(str(err).split()))
