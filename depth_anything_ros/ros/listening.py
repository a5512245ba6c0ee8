"""A node of a command, in a context of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

__all__ = ['listening']


@contextmanager
def listening(name: str, *arguments: str) -> Iterator[tuple[Node, Callable[[float], None]]]:
    """Yield a node with these ROS arguments, and what spins it for so many seconds."""
    context = Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)
    try:
        node = Node(
            name,
            context=context,
            cli_args=['--ros-args', *arguments],
            start_parameter_services=False,
        )
        executor.add_node(node)

        def spin(seconds: float) -> None:
            end_s = time.monotonic() + seconds
            while (left_s := end_s - time.monotonic()) > 0:
                executor.spin_once(timeout_sec=left_s)

        yield node, spin
        node.destroy_node()
    finally:
        executor.shutdown()
        context.try_shutdown()
