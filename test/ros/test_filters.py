"""Our `Subscriber` and that of message_filters behave alike."""

from __future__ import annotations

from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import String

from depth_anything_ros.ros import filters

try:
    import message_filters

    INSTALLED = message_filters.Subscriber
except ImportError:
    INSTALLED = None

KINDS = [
    pytest.param(filters.numbered(filters.OwnSubscriber), id='own'),
    pytest.param(
        INSTALLED and filters.numbered(INSTALLED),
        id='message_filters',
        marks=pytest.mark.skipif(INSTALLED is None, reason='message_filters is not installed'),
    ),
]


@pytest.mark.parametrize('kind', KINDS)
def test_messages_reach_every_callback_under_remaps_and_overrides(kind: Any) -> None:
    context = Context()
    rclpy.init(context=context)
    arguments = [
        '--ros-args',
        '-r',
        'words:=/speech',
        '-p',
        'qos_overrides./speech.subscription.reliability:=reliable',
    ]
    node = Node('listener', context=context, cli_args=arguments)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        subscriber = kind(
            node,
            String,
            'words',
            qos_profile=QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        assert subscriber.sub.topic_name == '/speech'
        assert subscriber.sub.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        plain: list[str] = []
        tagged: list[tuple[str, int]] = []
        subscriber.registerCallback(lambda message: plain.append(message.data))
        subscriber.registerCallback(lambda message, tag: tagged.append((message.data, tag)), 7)
        publisher = node.create_publisher(String, '/speech', 1)
        for _ in range(500):
            publisher.publish(String(data='depth'))
            executor.spin_once(timeout_sec=0.02)
            if tagged:
                break
        assert plain[0] == 'depth'
        assert tagged[0] == ('depth', 7)
        # The publisher counts from 1; how many went by before the two ends met is its own affair.
        assert subscriber.number >= 1
        before = subscriber.number
        rounds = iter(range(500))
        publisher.publish(String(data='next'))
        while subscriber.number == before and next(rounds) is not None:
            executor.spin_once(timeout_sec=0.02)
        assert subscriber.number == before + 1
        node.destroy_subscription(subscriber.sub)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def test_message_filters_is_used_where_it_can_be() -> None:
    assert issubclass(filters.Subscriber, INSTALLED or filters.OwnSubscriber)
