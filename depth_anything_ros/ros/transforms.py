"""The transforms on /tf and /tf_static, through tf2_ros or without it."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer, Transforms
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.timing import time_went_back
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.messages.transforms import put_transforms, transform_from

__all__ = [
    'LiveTransforms',
    'NoTransforms',
    'OwnTransforms',
    'Tf2Transforms',
    'create_transforms',
]

# As tf2_ros subscribes, so that what works there works here.
_MOVING = QoSProfile(depth=100)
_STATIC = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)

# As TransformBuffer does by default.
_MAX_EXTRAPOLATION_NS = 50_000_000

# A publisher of bad transforms may never send the same one twice.
_MAX_TOLD = 10


class LiveTransforms(Transforms, Protocol):
    """Transforms that a node hears of: put on the executor's thread, asked for on any."""

    def clear(self) -> None:
        """Forget the timed transforms; static ones are sent once only, so they stay."""

    def close(self) -> None:
        """Take the subscriptions away; what was heard can still be asked for."""


def create_transforms(node: Node) -> LiveTransforms:
    """Listen with tf2_ros where it is installed, else alone; the node's log says so."""
    try:
        return Tf2Transforms(node)
    except ImportError as err:
        why = f'tf2_ros cannot be used ({err})'
    try:
        transforms = OwnTransforms(node)
    except ImportError as err:
        node.get_logger().warning(f'{why}, nor can tf2_msgs ({err}): /tf is not heard')
        return NoTransforms()
    node.get_logger().info(f'{why}: this node listens to /tf and /tf_static by itself')
    return transforms


class OwnTransforms(TransformBuffer):
    """A TransformBuffer that hears /tf and /tf_static; needs tf2_msgs."""

    def __init__(self, node: Node) -> None:
        """Subscribe; ImportError where tf2_msgs is not installed."""
        from tf2_msgs.msg import TFMessage

        super().__init__()
        self._node = node
        self._told: set[str] = set()
        self._subscriptions = [
            node.create_subscription(TFMessage, '/tf', partial(self._hear, static=False), _MOVING),
            node.create_subscription(
                TFMessage, '/tf_static', partial(self._hear, static=True), _STATIC
            ),
        ]

    def close(self) -> None:
        """Take the subscriptions away."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _hear(self, message: Any, *, static: bool) -> None:
        for error in put_transforms(self, message.transforms, static=static):
            text = str(error)
            if text not in self._told and len(self._told) < _MAX_TOLD:
                self._told.add(text)
                topic = '/tf_static' if static else '/tf'
                self._node.get_logger().warning(f'transform on {topic} refused: {text}')


class Tf2Transforms:
    """What TransformBuffer does, by tf2; needs tf2_ros.

    Beyond the newest transform, the whole chain as it was at its newest common time holds for
    50 ms. Stamps show that time went back, as in TransformBuffer: tf2 alone asks the clock,
    which tells nothing when a bag loops without simulated time.
    """

    def __init__(self, node: Node) -> None:
        """Subscribe; ImportError where tf2_ros is not installed."""
        import tf2_ros

        self._tf2 = tf2_ros
        # Not tf2_ros.Buffer, which adds ways to wait and a clock of its own.
        self._buffer = tf2_ros.BufferCore()
        self._newest_ns: dict[str, int] = {}
        # It puts what it hears through `set_transform` and `set_transform_static`.
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

    def lookup_through(
        self, target: str, target_ns: int, source: str, source_ns: int, fixed_frame: str
    ) -> Transform:
        """Return target at `target_ns` from source at `source_ns`; see TransformBuffer."""
        if not fixed_frame:
            return self._lookup(target, source, source_ns)
        target_from_fixed = self._lookup(target, fixed_frame, target_ns)
        return target_from_fixed @ self._lookup(fixed_frame, source, source_ns)

    def clear(self) -> None:
        """Forget the timed transforms."""
        self._newest_ns.clear()
        self._buffer.clear()

    def close(self) -> None:
        """Take the subscriptions away."""
        self._listener.unregister()

    def _lookup(self, target: str, source: str, stamp_ns: int) -> Transform:
        target, source = target.lstrip('/'), source.lstrip('/')
        if target == source:
            return IDENTITY
        try:
            try:
                return self._at(target, source, stamp_ns)
            except self._tf2.ExtrapolationException:
                newest_ns = self._buffer.get_latest_common_time(target, source).nanoseconds
                late_ns = stamp_ns - newest_ns
                if late_ns > _MAX_EXTRAPOLATION_NS:
                    raise FrameError(
                        'transform_too_old',
                        f"the newest transforms from '{source}' to '{target}' are "
                        f'{late_ns * 1e-9:.3f} s older than the stamp asked for: is their '
                        'publisher running, and on the same clock?',
                    ) from None
                if late_ns < -_MAX_EXTRAPOLATION_NS:
                    raise
                return self._at(target, source, newest_ns)
        except self._tf2.ExtrapolationException as err:
            raise FrameError(
                'transform_too_new',
                f"the oldest transforms from '{source}' to '{target}' are newer than the stamp "
                'asked for: the message waited too long, or the clocks disagree '
                f'(tf2: {_one_line(err)})',
            ) from err
        except self._tf2.TransformException as err:
            raise FrameError(
                'no_transform',
                f"no transforms lead from '{source}' to '{target}': publish the missing ones on "
                f"/tf_static or /tf, or fix the message's frame_id (tf2: {_one_line(err)})",
            ) from err

    def _at(self, target: str, source: str, stamp_ns: int) -> Transform:
        # tf2 takes 0 for "the newest", and has no stamps below.
        time = Time(nanoseconds=max(stamp_ns, 1))
        return transform_from(self._buffer.lookup_transform_core(target, source, time).transform)


class NoTransforms(TransformBuffer):
    """Stands in where the messages of /tf cannot be read: knows only that a frame is itself."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> Transform:
        """Return the identity, or FrameError('no_transform') that says what to install."""
        try:
            return super().lookup(target, source, stamp_ns)
        except FrameError as err:
            raise FrameError(
                err.reason,
                f"no way from '{source}' to '{target}' is known, as /tf cannot be read here: "
                'install ros-$ROS_DISTRO-tf2-ros-py, or set reference.extrinsics',
            ) from err

    def close(self) -> None:
        """Do nothing."""


def _one_line(err: Exception) -> str:
    return ' '.join(str(err).split())
