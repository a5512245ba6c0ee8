"""Subscriptions under remaps and QoS overrides, with and without message_filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Empty, String

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.ros import qos
from depth_anything_ros.ros.listening import listening

ARGUMENTS = ['-r', 'words:=/speech']
RELIABLE = ['-p', 'qos_overrides./speech.subscription.reliability:=reliable']

try:
    import message_filters
except ImportError:
    message_filters = None

installed = pytest.mark.skipif(message_filters is None, reason='message_filters is not installed')


@contextmanager
def speech(*arguments: str) -> Iterator[tuple[Node, Callable[[Callable[[], Any]], None]]]:
    """A node, and how to publish on /speech until a condition holds."""
    context = Context()
    rclpy.init(context=context)
    node = Node('node', context=context, cli_args=['--ros-args', *ARGUMENTS, *arguments])
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    publisher = node.create_publisher(String, '/speech', 1)

    def publish_until(condition: Callable[[], Any]) -> None:
        for _ in range(500):
            publisher.publish(String(data='depth'))
            executor.spin_once(timeout_sec=0.02)
            if condition():
                return
        raise AssertionError('nothing received')

    try:
        yield node, publish_until
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


@pytest.mark.parametrize(
    'filtered', [pytest.param(True, marks=installed, id='message_filters'), False]
)
def test_filters_follow_remaps_and_overrides(
    filtered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not filtered:
        monkeypatch.setattr(qos, 'Subscriber', None)
    received: list[str] = []
    with speech(*RELIABLE) as (node, publish_until):
        subscription = qos.create_filter(
            node, String, 'words', qos.SENSOR, lambda message: received.append(message.data)
        )
        assert subscription.topic_name == '/speech'
        assert subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        publish_until(lambda: received)
        node.destroy_subscription(subscription)
    assert received[0] == 'depth'


def test_a_callback_with_two_arguments_gets_the_publishers_numbers() -> None:
    numbers: list[int] = []

    def receive(message: String, info: Mapping[str, Any]) -> None:
        numbers.append(info['publication_sequence_number'])

    with speech() as (node, publish_until):
        subscription = qos.create_subscription(node, String, 'words', qos.SENSOR, receive)
        assert subscription.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
        publish_until(lambda: len(numbers) > 1)
    # The publisher counts from 1; how many went by before the two ends met is its own affair.
    assert numbers[0] >= 1
    assert numbers[1] == numbers[0] + 1


def test_topics_that_others_publish_are_named_and_not_its_own() -> None:
    with speech() as (node, _):
        qos.create_publisher(node, Empty, 'own', qos.OUTPUT)
        assert qos.no_publisher(node, '/x', 'std_msgs/msg/Empty') == 'no publisher on /x'
        other = Node('other', context=node.context)
        other.create_publisher(Empty, 'there', 1)
        said = qos.no_publisher(node, '/x', 'std_msgs/msg/Empty')
        other.destroy_node()
    assert said == 'no publisher on /x; what could be it: /there'


@pytest.mark.parametrize(
    ('kind', 'published', 'image', 'fix'),
    [
        (
            Image,
            CompressedImage,
            'image',
            'set image_transport to compressed, and remap image to /c',
        ),
        (CompressedImage, Image, 'image', 'set image_transport to raw, and remap image to /c/'),
        (Image, CompressedImage, '', 'of a reference set reference.type'),
        (Image, String, 'front/image', 'remap front/image to another topic'),
    ],
)
def test_a_publisher_of_another_type_is_named_with_the_fix(
    kind: type, published: type, image: str, fix: str
) -> None:
    with speech() as (node, publish_until), listening('camera') as (other, _):
        subscription = qos.create_subscription(node, kind, '/c/compressed', qos.SENSOR, print)
        publisher = other.create_publisher(published, '/c/compressed', 1)
        publish_until(lambda: '/camera publishes' in qos.input_problem(node, subscription, image))
        problem = qos.input_problem(node, subscription, image)
        other.destroy_publisher(publisher)
    assert problem.startswith('/camera publishes ')
    assert fix in problem


def names(node: Node) -> list[str]:
    return [each.node_name for each in node.get_subscriptions_info_by_topic('/told')]


@pytest.mark.parametrize(
    ('kind', 'profile', 'told'),
    [
        (String, qos.LATCHED, 'asks for more than is offered'),
        (Empty, qos.OUTPUT, 'asks for std_msgs/msg/Empty, and it is std_msgs/msg/String'),
        (String, qos.OUTPUT, ''),
    ],
)
def test_a_subscriber_that_gets_nothing_is_named(
    kind: type, profile: QoSProfile, told: str
) -> None:
    # One participant has one type a topic.
    with speech() as (node, publish_until), listening('listener') as (other, _):
        qos.create_publisher(node, String, 'told', qos.OUTPUT)
        other.create_subscription(kind, 'told', lambda message: None, profile)
        publish_until(lambda: 'listener' in names(node))
        problem = qos.output_problem(node, '/told')
        assert problem.startswith('subscriber /listener of /told') == bool(told)
        assert told in problem


def test_topics_cost_an_executor_nothing_while_nothing_arrives() -> None:
    # Each event of rclpy's own is one more thing to wait for, at every message.
    with speech() as (node, _):
        waitables = len([*node.waitables])
        qos.create_subscription(node, String, 'words', qos.SENSOR, lambda message: None)
        qos.create_filter(node, String, 'words', qos.SENSOR, lambda message: None)
        assert len([*node.waitables]) == waitables


@pytest.mark.parametrize('create', [qos.create_filter, qos.create_subscription])
def test_an_override_that_means_nothing_is_named(create: Callable[..., Any]) -> None:
    wrong = 'qos_overrides./speech.subscription.reliability:=surely'
    with (
        speech('-p', wrong) as (node, _),
        pytest.raises(SettingError, match=r'qos_overrides\./speech cannot be used'),
    ):
        create(node, String, 'words', qos.SENSOR, lambda message: None)
