"""`Subscriber` of message_filters where it can be used, a same-named one where it cannot."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node

__all__ = ['OwnSubscriber', 'Subscriber', 'numbered']


class OwnSubscriber:
    """A subscription whose messages go to every registered callback, in order."""

    def __init__(self, node: Node, msg_type: Any, topic: str, **options: Any) -> None:
        """Subscribe; `options` are those of Node.create_subscription."""
        self._callbacks: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.topic = topic
        self.sub = node.create_subscription(
            msg_type, topic, self.callback, options.pop('qos_profile', 10), **options
        )

    def registerCallback(self, callback: Callable[..., None], *args: Any) -> int:  # noqa: N802
        """Call `callback(message, *args)` for every message."""
        self._callbacks.append((callback, args))
        return len(self._callbacks) - 1

    def callback(self, message: Any) -> None:
        """Hand one message on."""
        for callback, args in self._callbacks:
            callback(message, *args)


def _available() -> type:
    """Choose the class; 4.11.10 of message_filters takes no options, so no QoS overrides."""
    try:
        from message_filters import Subscriber as Installed
    except ImportError:  # the PyPI wheels of ROS 2 do not carry it
        return OwnSubscriber
    parameters = inspect.signature(Installed.__init__).parameters
    takes_options = 'qos_overriding_options' in parameters or any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
    )
    return Installed if takes_options else OwnSubscriber


class _Numbered:
    """Keeps the number that the publisher gave the message which is being handed on."""

    number: int | None = None
    """None where the middleware does not tell."""

    def callback(self, message: Any, info: Mapping[str, Any]) -> None:
        """Hand one message on; rclpy looks at this signature to know that `info` is wanted."""
        self.number = info['publication_sequence_number']
        super().callback(message)  # type: ignore[misc]


def numbered(subscriber: type) -> type:
    """Return the class that also knows the `number` of the message it hands on."""
    return type('Subscriber', (_Numbered, subscriber), {})


Subscriber: Any = numbered(_available())
