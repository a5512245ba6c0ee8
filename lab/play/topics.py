"""Which topics of a bag can be published here, and how."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import QosDurability, QosHistory, QosReliability

from depth_anything_ros.bag.reading import BagReader, BagTopic
from depth_anything_ros.core.errors import DepthAnythingError
from lab.play.timeline import PlayOptions

__all__ = ['message_class', 'playable', 'profile_of']

_log = logging.getLogger(__name__)

_LATCHED = ('tf_static', 'robot_description', 'map')
"""Names whose last message counts for ever, where the bag does not say so."""


def playable(bag: BagReader, options: PlayOptions) -> dict[str, type]:
    """Return the message classes of the topics to play; warn of those that have none here."""
    for name in (*options.topics, *options.remap):
        bag.require(name)
    classes: dict[str, type] = {}
    missing: dict[str, list[str]] = {}
    for topic in bag.topics.values():
        replaced = topic.name == '/clock' and options.clock_hz
        if replaced or (options.topics and topic.name not in options.topics):
            continue
        found = message_class(topic.kind) if topic.serialization == 'cdr' else None
        if found is None:
            missing.setdefault(_obstacle(topic), []).append(topic.name)
        else:
            classes[topic.name] = found
    for obstacle, names in missing.items():
        _log.warning('not played: %s, because %s', ', '.join(names), obstacle)
    if not classes:
        there = ', '.join(bag.topics) or 'none'
        raise DepthAnythingError(f'{bag.path} has no topic to play: it has {there}')
    return classes


def _obstacle(topic: BagTopic) -> str:
    package, is_message, _ = topic.kind.partition('/msg/')
    if topic.serialization != 'cdr' or not is_message:
        return f'{topic.kind} in {topic.serialization} is no ROS 2 message: play it by rosbag2'
    return (
        f'{package} is not installed for this Python: install '
        f'ros-$ROS_DISTRO-{package.replace("_", "-")} or source the workspace that has it'
    )


def message_class(kind: str) -> Any:
    """Return the class of a message type; None where it is not installed."""
    package, _, name = kind.partition('/msg/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name, None)
    except ImportError:
        return None


def profile_of(topic: BagTopic, lockstep: bool) -> QoSProfile:
    """Offer what meets every subscriber that one of the recorded publishers would have met.

    In lockstep everything is offered reliably: that meets best-effort subscribers as well.
    """
    latched = any(x.durability is QosDurability.TRANSIENT_LOCAL for x in topic.qos)
    if not topic.qos:
        latched = topic.name.rpartition('/')[2] in _LATCHED
    best_effort = topic.qos and all(x.reliability is QosReliability.BEST_EFFORT for x in topic.qos)
    depth = max((x.depth for x in topic.qos), default=1)
    if latched and topic.kind == 'tf2_msgs/msg/TFMessage':
        # Each sender latches its own message, and one publisher stands for all of them.
        depth = max(depth, min(topic.count, 1000))
    elif any(x.history is QosHistory.KEEP_ALL for x in topic.qos):
        depth = max(depth, 1000)
    elif not latched:
        depth = max(depth, 10)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=max(depth, 1),
        reliability=ReliabilityPolicy.BEST_EFFORT
        if best_effort and not lockstep
        else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )
