"""The nodes on the other side: who subscribes, whether they keep up, and their clock."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection
from typing import Any

from builtin_interfaces.msg import Time
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rosgraph_msgs.msg import Clock

__all__ = ['Peers', 'SimClock']

_log = logging.getLogger(__name__)

_RETRY_S = 0.25
_GREETING_S = 2.0


class SimClock:
    """Publishes /clock at a rate of wall time."""

    def __init__(self, node: Any, hz: float) -> None:
        self._publisher = node.create_publisher(Clock, '/clock', 10) if hz else None
        self._period_s = 1.0 / hz if hz else math.inf
        self._next_s = -math.inf

    def tick(self, bag_ns: int, now: bool = False) -> float:
        """Tell the time if it is due, or `now`; give the seconds to the next tick."""
        if self._publisher is None:
            return math.inf
        now_s = time.monotonic()
        if now or now_s >= self._next_s:
            seconds, nanoseconds = divmod(bag_ns, 10**9)
            self._publisher.publish(Clock(clock=Time(sec=seconds, nanosec=nanoseconds)))
            self._next_s += self._period_s
            if self._next_s < now_s:
                self._next_s = now_s + self._period_s
        return self._next_s - now_s


class Peers:
    """The nodes that subscribe, met one by one through their parameter services."""

    def __init__(self, node: Any, spin_until: Callable[[Callable[[], Any], float], bool]) -> None:
        self._node, self._spin_until = node, spin_until
        self._clients: list[Client] = []

    def greet(self, topics: Collection[str]) -> None:
        """Hear from the subscribers of these topics themselves.

        That this end knows them says nothing of theirs. But discovery tells of publishers in the
        order they were created, so a node that answers a client created now knows them all.
        """

        def names() -> set[str]:
            ends = [x for t in topics for x in self._node.get_subscriptions_info_by_topic(t)]
            return {f'{x.node_namespace.rstrip("/")}/{x.node_name}' for x in ends}

        limit_s = time.monotonic() + _GREETING_S
        self._spin_until(lambda: not any('UNKNOWN' in name for name in names()), limit_s)
        for name in sorted(names()):
            client = self._node.create_client(GetParameters, f'{name}/get_parameters')
            if self._replies(client, _GREETING_S):
                self._clients.append(client)
            else:
                _log.warning('%s has no parameter service: it may miss the first messages', name)
                self._node.destroy_client(client)

    def take_turns(self, turns: int, limit_s: float) -> None:
        """Let the executors take `turns` messages of each topic; one may take `limit_s`."""
        for client in [*self._clients]:
            if not all(self._replies(client, limit_s) for _ in range(turns)):
                self._clients.remove(client)
                _log.warning(
                    '%s no longer answers: what came before an image may be late for it',
                    client.srv_name,
                )

    def _replies(self, client: Client, seconds: float) -> bool:
        """Ask until there is a reply: the first may be lost between ends that just met."""
        limit_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < limit_s:
            retry_s = min(limit_s, now_s + _RETRY_S)
            if not self._spin_until(client.service_is_ready, retry_s):
                continue
            reply = client.call_async(GetParameters.Request())
            if self._spin_until(reply.done, retry_s):
                return True
            client.remove_pending_request(reply)
        return False
