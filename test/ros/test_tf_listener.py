"""What is published on /tf and /tf_static can be looked up through tf2_ros."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
from listener import S, item, listener
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import IDENTITY
from depth_anything_ros.ros.tf_listener import Tf2Transforms, create_transforms

pytest.importorskip('tf2_msgs', reason='tf2_msgs is not installed')
pytest.importorskip('tf2_ros', reason='tf2_ros is not installed')


@pytest.fixture
def node() -> Iterator[Node]:
    with listener() as heard:
        yield heard


class Robot:
    """Publishes transforms to a listener of one kind, each time until it has heard them."""

    def __init__(self, transforms: Any, node: Node, context: Context) -> None:
        from tf2_msgs.msg import TFMessage

        self.transforms = transforms
        self._message = TFMessage
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self.peer = Node('robot', context=context)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.moving = self.peer.create_publisher(TFMessage, '/tf', 100)
        self._static = self.peer.create_publisher(TFMessage, '/tf_static', latched)
        self._marks = 0
        # Discovery is one-sided: the first messages may be lost.
        self._mark(self.moving, again=True)

    def tell(self, *items: TransformStamped, static: bool = False) -> None:
        publisher = self._static if static else self.moving
        publisher.publish(self._message(transforms=items))
        self._mark(publisher, again=False)

    def until(self, condition: Any) -> None:
        for _ in range(1000):
            if condition():
                return
            self._executor.spin_once(timeout_sec=0.02)
        raise AssertionError('not within 20 s')

    def close(self) -> None:
        self.transforms.close()
        self._executor.shutdown()
        self.peer.destroy_node()

    def _mark(self, publisher: Any, again: bool) -> None:
        """Wait for a transform that comes behind all others on its topic."""
        self._marks += 1
        mark = item('marks', f'mark_{self._marks}', 1.0, S)

        def heard() -> bool:
            if again:
                publisher.publish(self._message(transforms=[mark]))
            try:
                self.transforms.lookup_through('marks', S, mark.child_frame_id, S, '')
            except FrameError:
                return False
            return True

        if not again:
            publisher.publish(self._message(transforms=[mark]))
        self.until(heard)


@contextmanager
def heard_by(node: Node) -> Iterator[Robot]:
    # Two contexts are two DDS participants, as two processes would be.
    context = Context()
    rclpy.init(context=context)
    robot = Robot(Tf2Transforms(node), node, context)
    try:
        yield robot
    finally:
        robot.close()
        context.try_shutdown()


def tell_a_drive(robot: Robot) -> None:
    """A base that drives along x at 1 m/s from 100 s to 102 s, with a camera and a lidar."""
    for tenth in range(21):
        robot.moving.publish(
            robot._message(
                transforms=[item('odom', 'base', tenth / 10, 100 * S + tenth * S // 10)]
            )
        )
    robot.tell()
    robot.tell(item('base', 'camera', 0.5), item('base', 'lidar', -0.2, y=0.3), static=True)


def at(robot: Robot, target: str, source: str, stamp_ns: int) -> list[float]:
    found = robot.transforms.lookup_through(target, stamp_ns, source, stamp_ns, '')
    return found.translation.round(9).tolist()


def refusal(robot: Robot, target: str, source: str, stamp_ns: int) -> FrameError:
    with pytest.raises(FrameError) as caught:
        at(robot, target, source, stamp_ns)
    assert '\n' not in str(caught.value)
    return caught.value


def test_static_transforms_chain_at_every_stamp(node: Node) -> None:
    with heard_by(node) as robot:
        robot.tell(
            item('base', 'mast', 1.0, yaw=math.pi / 2), item('mast', 'lidar', 2.0), static=True
        )
        for stamp_ns in (0, 7, 10**18):
            # The mast looks left, so what is 2 m ahead of it is 2 m to the left of the base.
            assert at(robot, 'base', 'lidar', stamp_ns) == [1, 2, 0]
            assert at(robot, 'lidar', '/base', stamp_ns) == [-2, 1, 0]
        found = robot.transforms.lookup_through('base', 0, 'lidar', 0, '')
        assert np.allclose(found.rotation, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
        assert robot.transforms.lookup_through('/cap', 0, 'cap', 5, '') is IDENTITY


def test_moving_frames_are_interpolated(node: Node) -> None:
    with heard_by(node) as robot:
        tell_a_drive(robot)
        assert at(robot, 'odom', 'base', 100_250_000_000) == [0.25, 0, 0]
        assert at(robot, 'odom', 'camera', 101_330_000_000) == [1.83, 0, 0]
        assert at(robot, 'camera', 'lidar', 999 * S) == [-0.7, 0.3, 0]


def test_no_pose_is_guessed_where_none_may_be(node: Node) -> None:
    with heard_by(node) as robot:
        tell_a_drive(robot)
        lookup = robot.transforms.lookup
        found = lookup('odom', 'camera', 101_330_000_000, extrapolate=False)
        assert found.translation == pytest.approx([1.83, 0, 0])
        assert lookup('odom', 'camera', 102_040_000_000).translation[0] == pytest.approx(2.5)
        with pytest.raises(FrameError) as caught:
            lookup('odom', 'camera', 102_040_000_000, extrapolate=False)
        assert caught.value.reason == 'transform_too_old'


def test_a_fixed_frame_makes_up_for_motion(node: Node) -> None:
    with heard_by(node) as robot:
        tell_a_drive(robot)
        # The lidar measured 0.4 s, that is 0.4 m, before the camera.
        stamps = ('camera', 101_400_000_000, 'lidar', 101 * S)
        moved = robot.transforms.lookup_through(*stamps, '/odom').translation
        assert moved == pytest.approx([-1.1, 0.3, 0])
        rigid = robot.transforms.lookup_through(*stamps, '').translation
        assert rigid == pytest.approx([-0.7, 0.3, 0])
        # The camera's image may be a little newer than the odometry, the lidar's scan not.
        stamps = ('camera', 102_040_000_000, 'lidar', 101 * S)
        moved = robot.transforms.lookup_through(*stamps, 'odom').translation
        assert moved == pytest.approx([-1.7, 0.3, 0])


def test_unknown_and_unconnected_frames_are_named(node: Node) -> None:
    with heard_by(node) as robot:
        tell_a_drive(robot)
        robot.tell(item('island', 'palm', 1.0), item('pier', 'boat', 1.0), static=True)
        for target, source in (('camera', 'sonar'), ('sonar', 'base'), ('', 'base')):
            error = refusal(robot, target, source, 101 * S)
            assert error.reason == 'no_transform'
            assert "'sonar'" in str(error) or not target
        for stamp_ns in (101 * S, 5 * S):
            error = refusal(robot, 'camera', 'palm', stamp_ns)
            assert error.reason == 'no_transform'
            assert "'camera'" in str(error)
            assert "'palm'" in str(error)
        with pytest.raises(FrameError) as caught:
            robot.transforms.lookup_through('camera', 101 * S, 'lidar', 101 * S, 'map')
        assert caught.value.reason == 'no_transform'
        assert "'map'" in str(caught.value)


def test_beyond_the_newest_it_holds_for_the_bound_only(node: Node) -> None:
    with heard_by(node) as robot:
        tell_a_drive(robot)
        assert at(robot, 'odom', 'camera', 102 * S + 50_000_000) == [2.5, 0, 0]
        error = refusal(robot, 'odom', 'camera', 102 * S + 50_000_001)
        assert error.reason == 'transform_too_old'
        assert '0.050 s older' in str(error)


def test_before_the_oldest_is_refused(node: Node) -> None:
    with heard_by(node) as robot:
        tell_a_drive(robot)
        # A stamp of zero is no wish for the newest.
        for stamp_ns in (99 * S, 0, -S):
            assert refusal(robot, 'odom', 'camera', stamp_ns).reason == 'transform_too_new'


def test_malformed_transforms_do_not_cost_the_good_ones(node: Node) -> None:
    with heard_by(node) as robot:
        bad = item('base', 'bad', 1.0, 100 * S)
        # All zeros, as in a struct that nobody filled; tf2 scales any other length to 1.
        bad.transform.rotation.w = 0.0
        for _ in range(3):
            robot.tell(
                item('base', 'left', 1.0, 100 * S), bad, item('base', 'right', 2.0, 100 * S)
            )
        assert at(robot, 'left', 'right', 100 * S) == [1, 0, 0]
        assert refusal(robot, 'base', 'bad', 100 * S).reason == 'no_transform'


def test_when_time_goes_back_static_transforms_stay(node: Node) -> None:
    with heard_by(node) as robot:
        tell_a_drive(robot)
        # A bag of two seconds that starts again: tf2 alone would mix both passes.
        robot.tell(item('odom', 'base', 0.0, 100 * S), item('odom', 'base', 7.0, 100 * S + S // 5))
        assert at(robot, 'odom', 'base', 100_100_000_000) == [3.5, 0, 0]
        assert refusal(robot, 'odom', 'base', 102 * S).reason == 'transform_too_old'
        # A simulation that starts again: further back than tf2 keeps.
        robot.tell(item('odom', 'base', 3.0, 5 * S))
        assert at(robot, 'odom', 'base', 5 * S) == [3, 0, 0]
        assert refusal(robot, 'odom', 'base', 100 * S).reason == 'transform_too_old'
        assert at(robot, 'camera', 'lidar', 0) == [-0.7, 0.3, 0]
        robot.transforms.clear()
        assert refusal(robot, 'odom', 'base', 5 * S).reason == 'no_transform'
        assert at(robot, 'camera', 'lidar', 0) == [-0.7, 0.3, 0]


def test_after_close_no_subscription_is_left(node: Node) -> None:
    with heard_by(node) as robot:
        tell_a_drive(robot)
        assert tf_topics(node) == ['/tf', '/tf_static']
        robot.transforms.close()
        assert tf_topics(node) == []
        robot.until(lambda: not robot.moving.get_subscription_count())
        # What was heard can still be asked for by a worker that is not done.
        assert at(robot, 'odom', 'base', 101 * S) == [1, 0, 0]
        robot.transforms.close()


def tf_topics(node: Node) -> list[str]:
    names = (subscription.topic_name for subscription in node.subscriptions)
    return sorted(name for name in names if name.startswith('/tf'))


def test_tf2_is_used_where_it_is(node: Node) -> None:
    transforms = create_transforms(node)
    assert isinstance(transforms, Tf2Transforms)
    assert not node.lines
    transforms.close()
