"""The subscription to the metric reference, whatever its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2

from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import ReferenceParameters
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.messages.reference_messages import (
    REFERENCE_TYPES,
    camera_info_beside,
    kind_of_type,
)
from depth_anything_ros.messages.scene_messages import SceneMessages
from depth_anything_ros.ros.qos import (
    REFERENCE,
    SENSOR,
    create_filter,
    input_problem,
    is_remapped,
    no_publisher,
    type_name,
)

__all__ = ['ReferenceInput']

_MESSAGES = {
    ReferenceKind.DEPTH_IMAGE: Image,
    ReferenceKind.POINT_CLOUD: PointCloud2,
    ReferenceKind.LASER_SCAN: LaserScan,
    ReferenceKind.ODOMETRY: Odometry,
}
# An image may be anything.
_UNMISTAKABLE = tuple(type_name(each) for each in (PointCloud2, LaserScan, Odometry))
# image_transport's name for a depth image that is a CompressedImage.
_COMPRESSED_DEPTH = '/compressedDepth'
_DISCOVERY_PERIOD_S = 0.5
_NO_ODOMETRY = (
    'reference.type is odometry: set reference.fixed_frame to the odometry frame in tf, or '
    'publish nav_msgs/msg/Odometry on '
)


class ReferenceInput:
    """Feeds the reference to `messages`; with 'auto' as soon as somebody publishes it."""

    def __init__(
        self,
        node: Node,
        prefix: str,
        messages: SceneMessages,
        need_transforms: Callable[[], None],
    ) -> None:
        """`prefix` goes before every topic, '' or that of a camera as in 'front/'.

        `need_transforms` is called before the first message that needs them.
        """
        self._node = node
        self._name = f'{prefix}reference'
        self._messages = messages
        self._need_transforms = need_transforms
        self.subscriptions: list[Subscription] = []
        """Those that are open."""
        self._timer: Any = None
        self._fixed_frame = ''
        self._unusable: ReferenceKind | None = None
        self._trouble = ''

    def open(self, parameters: ReferenceParameters) -> None:
        """Subscribe by the parameters reference.type and, for odometry, fixed_frame."""
        kind, self._fixed_frame = parameters.type, parameters.fixed_frame
        if kind == 'none':
            return
        if kind == 'auto':
            # Steady time: a paused bag must not keep a reference from being found.
            self._timer = self._node.create_timer(
                _DISCOVERY_PERIOD_S, self._discover, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )
            self._discover()
        else:
            self._take(ReferenceKind(kind))

    def close(self) -> None:
        """Unsubscribe and forget."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        self._drop()

    @property
    def topic(self) -> str:
        """The full name of the reference topic."""
        return self._node.resolve_topic_name(self._name)

    def problem(self, needed: bool) -> str:
        """Return what keeps the reference from arriving; '' if nothing does.

        That there is none at all is a problem only where it is `needed`.
        """
        kind = self._messages.kind
        if kind is None:
            if self._timer is None:
                return 'reference.type is none' if needed else ''
            return self._trouble or self._undecided(needed)
        if kind is ReferenceKind.GROUND_PLANE:
            return ''
        if kind is ReferenceKind.ODOMETRY:
            return self._odometry_problem()
        first, *infos = self.subscriptions
        # A camera_info that nobody publishes may not be needed.
        there = [each for each in infos if self._node.count_publishers(each.topic_name)]
        problems = (input_problem(self._node, each) for each in (first, *there))
        return next(filter(None, problems), '')

    def _discover(self) -> None:
        """Follow the type of what is published; a type that is gone stays until another comes."""
        types = [
            endpoint.topic_type for endpoint in self._node.get_publishers_info_by_topic(self.topic)
        ]
        kinds = [REFERENCE_TYPES[each] for each in types if each in REFERENCE_TYPES]
        if not kinds or self._messages.kind in kinds or kinds[0] is self._unusable:
            return
        self._drop()
        try:
            self._take(kinds[0])
        except DepthAnythingError as error:
            # Of a timer, that would end the executor.
            self._drop()
            self._unusable, self._trouble = kinds[0], str(error)
            self._node.get_logger().error(self._trouble)

    def _take(self, kind: ReferenceKind) -> None:
        self._need_transforms()
        self._messages.kind = kind
        by_tf = kind is ReferenceKind.ODOMETRY and self._fixed_frame
        if kind in _MESSAGES and not by_tf:
            packed = kind is ReferenceKind.DEPTH_IMAGE and self.topic.endswith(_COMPRESSED_DEPTH)
            message_type = CompressedImage if packed else _MESSAGES[kind]
            self._subscribe(message_type, self._name, self._messages.add_reference)
        if kind is ReferenceKind.DEPTH_IMAGE:
            self._subscribe(CameraInfo, self._info_topic(), self._receive_info)

    def _odometry_problem(self) -> str:
        """Return why no pose of the camera can arrive; '' where tf has it, or something can."""
        if not self.subscriptions:
            return ''
        problem = input_problem(self._node, self.subscriptions[0])
        if problem and not self._node.count_publishers(self.topic):
            return _NO_ODOMETRY + self.topic
        return problem

    def _drop(self) -> None:
        self._messages.kind = None
        subscriptions, self.subscriptions = self.subscriptions, []
        for subscription in subscriptions:
            self._node.destroy_subscription(subscription)

    def _subscribe(self, message_type: type, topic: str, callback: Callable[[Any], None]) -> None:
        profile = SENSOR if message_type is CameraInfo else REFERENCE
        self.subscriptions.append(
            create_filter(self._node, message_type, topic, profile, callback)
        )

    def _receive_info(self, message: CameraInfo) -> None:
        self._messages.reference_info = message

    def _info_topic(self) -> str:
        """Return the camera_info beside the depth image, unless one is remapped to."""
        own = f'{self._name}/camera_info'
        return own if is_remapped(self._node, own) else camera_info_beside(self.topic)

    def _undecided(self, needed: bool) -> str:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            return no_publisher(self._node, self.topic, *_UNMISTAKABLE) if needed else ''
        try:
            kind_of_type(publishers[0].topic_type, self.topic)
        except SettingError as error:
            return str(error)
        return ''
