"""QoS profiles, and what keeps two ends of a topic from talking to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from depth_anything_ros.core.errors import SettingError

try:
    from message_filters import Subscriber
except ImportError:  # the PyPI wheels of ROS 2 do not carry it
    Subscriber = None

__all__ = [
    'LATCHED',
    'OTHERS',
    'OUTPUT',
    'RECENT',
    'REFERENCE',
    'SENSOR',
    'create_filter',
    'create_managed_publisher',
    'create_publisher',
    'create_subscription',
    'input_problem',
    'is_remapped',
    'name_problem',
    'no_publisher',
    'output_problem',
    'pair_problem',
    'type_name',
]

SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Inputs: reaches best-effort and reliable publishers, never queues (REP 2003)."""

REFERENCE = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
"""The metric reference: each is wanted, the one nearest to the image most."""

OUTPUT = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""Outputs: reaches best-effort and reliable subscribers."""

LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Status: whoever comes late still gets the last one."""

RECENT = QoSProfile(depth=10)
"""Diagnostics: as every node publishes them."""


OTHERS = '; what could be it: '
"""Begins the names of other topics, which come and go while the trouble is the same."""

_LISTED = 5


def create_publisher(node: Node, message_type: type, topic: str, profile: QoSProfile) -> Publisher:
    """Advertise `topic`, whatever state a lifecycle node is in.

    Raises SettingError for a qos_overrides parameter that means nothing.
    """
    with _overridable(node, topic):
        return node.create_publisher(message_type, topic, **_options(profile))


def create_managed_publisher(
    node: LifecycleNode, message_type: type, topic: str, profile: QoSProfile
) -> LifecyclePublisher:
    """Advertise `topic`, silent unless the node is active; raises as `create_publisher`."""
    with _overridable(node, topic):
        publisher: LifecyclePublisher = node.create_lifecycle_publisher(
            message_type, topic, **_options(profile, PublisherEventCallbacks)
        )
    return publisher


def create_subscription(
    node: Node,
    message_type: type,
    topic: str,
    profile: QoSProfile,
    callback: Callable[..., None],
) -> Subscription:
    """Subscribe to `topic`; `callback` takes the message, and its info if it has two arguments.

    Raises SettingError for a qos_overrides parameter that means nothing.
    """
    with _overridable(node, topic):
        options = _options(profile, SubscriptionEventCallbacks)
        return node.create_subscription(message_type, topic, callback, **options)


def create_filter(
    node: Node,
    message_type: type,
    topic: str,
    profile: QoSProfile,
    callback: Callable[[Any], None],
) -> Subscription:
    """Subscribe through message_filters where it is installed; raises as `create_subscription`.

    `callback` must not raise: message_filters calls it with a lock held.
    """
    if Subscriber is None:
        return create_subscription(node, message_type, topic, profile, callback)
    with _overridable(node, topic):
        options = _options(profile, SubscriptionEventCallbacks)
        subscriber = Subscriber(node, message_type, topic, **options)
    subscriber.registerCallback(callback)
    subscription: Subscription = subscriber.sub
    return subscription


def type_name(message_type: Any) -> str:
    """Return the name of a message's class in the graph: 'sensor_msgs/msg/Image'."""
    package = message_type.__module__.split('.')[0]
    return f'{package}/msg/{message_type.__name__}'


def is_remapped(node: Node, topic: str) -> bool:
    """Whether `topic` itself was given another name."""
    resolved = node.resolve_topic_name(topic)
    return bool(resolved != node.resolve_topic_name(topic, only_expand=True))


def input_problem(node: Node, subscription: Subscription, image: str = '') -> str:
    """Return why nothing can arrive on a subscription of `node`; '' if something can.

    `image` is the name to remap where images are subscribed to, by image_transport.
    """
    topic, own_type = subscription.topic_name, type_name(subscription.msg_type)
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        return no_publisher(node, topic, own_type)
    own = _own(node, node.get_subscriptions_info_by_topic(topic))
    if own is None:
        return ''
    problems = []
    for publisher in publishers:
        if publisher.topic_type != own_type:
            problems.append(
                f'{_name(publisher)} publishes {publisher.topic_type} on {topic}, this node '
                f'subscribes to {own_type}: {_fix_of_type(publisher.topic_type, topic, image)}'
            )
        elif why := _mismatch(publisher, own):
            problems.append(
                f'publisher {_name(publisher)} on {topic} does not meet the QoS of this '
                f'subscription ({why}): change qos_overrides.{topic}.subscription'
            )
        else:
            return ''
    return problems[0]


def no_publisher(node: Node, topic: str, *types: str) -> str:
    """Return that nobody publishes `topic`, and which topics of these types others publish."""
    own = node.get_fully_qualified_name()
    found = [
        name
        for name, kinds in node.get_topic_names_and_types()
        if {*types}.intersection(kinds)
        and {_name(each) for each in node.get_publishers_info_by_topic(name)} - {own}
    ]
    there = f'{OTHERS}{", ".join(sorted(found)[:_LISTED])}' if found else ''
    return f'no publisher on {topic}{there}'


def output_problem(node: Node, topic: str) -> str:
    """Return which subscriber of `topic` cannot get what this node publishes; '' if none."""
    own = _own(node, node.get_publishers_info_by_topic(topic))
    if own is None:
        return ''
    for subscriber in node.get_subscriptions_info_by_topic(topic):
        if subscriber.topic_type != own.topic_type:
            return (
                f'subscriber {_name(subscriber)} of {topic} asks for {subscriber.topic_type}, and '
                f'it is {own.topic_type}: change its type or its topic'
            )
        if why := _mismatch(own, subscriber):
            return (
                f'subscriber {_name(subscriber)} of {topic} asks for more than is offered '
                f'({why}): change qos_overrides.{topic}.publisher'
            )
    return ''


def pair_problem(node: Node, topic: str) -> str:
    """Return which subscriber of `topic` gets nothing of a publisher, any node's; '' if none."""
    for publisher in node.get_publishers_info_by_topic(topic):
        for subscriber in node.get_subscriptions_info_by_topic(topic):
            if why := _mismatch(publisher, subscriber):
                return (
                    f'subscriber {_name(subscriber)} gets nothing of publisher '
                    f'{_name(publisher)} on {topic} ({why})'
                )
    return ''


def name_problem(node: Node) -> str:
    """Return that another node has the same full name, which answers every request too; or ''."""
    own = node.get_name(), node.get_namespace()
    count = node.get_node_names_and_namespaces().count(own)
    if count < 2:
        return ''
    return (
        f'{count} nodes are called {node.get_fully_qualified_name()}: end the others, or give '
        'each a name of its own (__node:=NAME)'
    )


def _fix_of_type(published: str, topic: str, image: str) -> str:
    if not image:
        return 'remap to another topic, or of a reference set reference.type'
    if published == 'sensor_msgs/msg/Image':
        return f'set image_transport to raw, and remap {image} to {topic}'
    if published == 'sensor_msgs/msg/CompressedImage':
        base = topic.removesuffix('/compressed')
        name = image if base != topic else f'{image}/compressed'
        return f'set image_transport to compressed, and remap {name} to {base}'
    return f'remap {image} to another topic'


@contextmanager
def _overridable(node: Node, topic: str) -> Iterator[None]:
    try:
        yield
    # What rclpy raises names neither the topic nor the parameter.
    except RuntimeError as err:
        name = node.resolve_topic_name(topic)
        raise SettingError(
            f'qos_overrides.{name} cannot be used: {err}; fix it and start the node again'
        ) from err


def _options(profile: QoSProfile, callbacks: type | None = None) -> dict[str, Any]:
    """Return a copy, because rclpy writes the overrides of one topic into what it is given.

    With `callbacks`, without rclpy's own of events: they log what `input_problem` and
    `output_problem` tell, and cost the executor more than the images.
    """
    options = {
        'qos_profile': copy(profile),
        'qos_overriding_options': QoSOverridingOptions.with_default_policies(),
    }
    if callbacks is not None:
        options['event_callbacks'] = callbacks(use_default_callbacks=False)
    return options


def _own(node: Node, endpoints: list[TopicEndpointInfo]) -> TopicEndpointInfo | None:
    """Return this node's endpoint from the graph; what rclpy holds has values left open."""
    name = node.get_fully_qualified_name()
    return next((endpoint for endpoint in endpoints if _name(endpoint) == name), None)


def _mismatch(publisher: TopicEndpointInfo, subscriber: TopicEndpointInfo) -> str:
    compatibility, why = qos_check_compatible(publisher.qos_profile, subscriber.qos_profile)
    if compatibility != QoSCompatibility.ERROR:
        return ''
    return ' '.join(why.replace('ERROR: ', '').split()).rstrip(';')


def _name(endpoint: TopicEndpointInfo) -> str:
    return f'{endpoint.node_namespace.rstrip("/")}/{endpoint.node_name}'
