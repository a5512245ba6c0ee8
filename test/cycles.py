"""A lifecycle node through its states again and again, and what each time leaves behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rig import FAST

from depth_anything_ros.node import DepthNode

SUCCESS = TransitionCallbackReturn.SUCCESS


@contextmanager
def unspun_node() -> Iterator[DepthNode]:
    """Make a node that nobody spins: transitions are called."""
    context = Context()
    rclpy.init(context=context)
    values = FAST | {'autostart': False}
    node = DepthNode(
        context=context,
        parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
    )
    yield node
    assert node.close()
    context.try_shutdown()


def cycle(node: DepthNode) -> None:
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    assert node.trigger_deactivate() == SUCCESS
    assert node.trigger_cleanup() == SUCCESS


def resident_mb() -> float:
    text = Path('/proc/self/status').read_text()
    return int(text.split('VmRSS:')[1].split()[0]) / 1024


def resources() -> tuple[int, int]:
    """Threads and open descriptors of this process."""
    return len(list(Path('/proc/self/task').iterdir())), len(list(Path('/proc/self/fd').iterdir()))


def after_cycles(connection: Connection, cycles: tuple[int, ...]) -> None:
    """Send threads, descriptors and megabytes after each of so many cycles."""
    with unspun_node() as node:
        for count in cycles:
            for _ in range(count):
                cycle(node)
            node._worker.submit(gc.collect).result(20.0)
            connection.send((*resources(), resident_mb()))
