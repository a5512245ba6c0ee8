"""A node that hears transforms, and what it is told: for the tests of /tf."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.context import Context
from rclpy.node import Node

S = 1_000_000_000


def item(
    parent: str, child: str, x: float, stamp_ns: int = 0, *, y: float = 0.0, yaw: float = 0.0
) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, S)
    message.transform.translation.x, message.transform.translation.y = x, y
    turn = message.transform.rotation
    turn.z, turn.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return message


class Logger:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.info = self.warning = self.lines.append


@contextmanager
def listener() -> Iterator[Node]:
    """A listener that keeps what it logs in `node.lines`."""
    context = Context()
    rclpy.init(context=context)
    node = Node('listener', context=context)
    logger = Logger()
    node.lines = logger.lines
    node.get_logger = lambda: logger
    try:
        yield node
    finally:
        node.destroy_node()
        context.try_shutdown()
