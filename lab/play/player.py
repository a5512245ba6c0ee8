"""Publishes the messages of a bag at their times, or in lockstep with the answers."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.exceptions import NameValidationException
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from depth_anything_ros.bag.reading import COMPRESSED_IMAGE, IMAGE, BagMessage, BagReader, is_color
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.messages.stamps import ns_from_cdr
from lab.play.peers import Peers, SimClock
from lab.play.timeline import PlayOptions, PlaySummary, Span, Timeline
from lab.play.topics import message_class, profile_of

__all__ = ['OnProgress', 'Player']

_log = logging.getLogger(__name__)

OnProgress = Callable[[float, float], None]
"""Takes how many of how many seconds of the bag are played."""

_POLL_S = 0.05
_DRAIN_S = 2.0
_PATIENCE_S = 2.0

_ROS = {'/clock', '/rosout', '/parameter_events'}

_UNREAD = 5
"""In lockstep nobody has more messages of one topic to read: queues of 10 are usual."""


class Player:
    """Publishers for the topics of a bag, and the time they are played by."""

    def __init__(
        self,
        context: Context,
        bag: BagReader,
        topics: Mapping[str, type],
        span: Span,
        options: PlayOptions,
        on_progress: OnProgress | None,
    ) -> None:
        self._bag, self._span, self._options = bag, span, options
        self._on_progress = on_progress
        self._node = rclpy.create_node(
            'bag_player',
            context=context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._clock = SimClock(self._node, options.clock_hz)
        self._timeline = Timeline(options.rate)
        self._time_ns = span.first_ns
        self._profiles = {x: profile_of(bag.topics[x], bool(options.lockstep)) for x in topics}
        self._publishers = {x: self._publisher(x, kind) for x, kind in topics.items()}
        self._images: list[str] = []
        self._peers = Peers(self._node, self._spin_until)
        self._unread: Counter[str] = Counter()
        self._answered_ns: int | None = None
        self._answers = 0
        self._unanswered: list[int] = []
        self._messages = 0

    def play(self) -> PlaySummary:
        """Play all rounds."""
        rounds, start_s, interrupted = 0, time.monotonic(), False
        try:
            self._meet()
            start_s = time.monotonic()
            self._latch()
            while rounds == 0 or self._options.loop:
                self._round()
                rounds += 1
                if not self._messages:
                    raise DepthAnythingError(
                        f'{self._bag.path} has no messages of {", ".join(self._publishers)} in '
                        'the part to play: choose other topics or another start offset'
                    )
            self._drain()
        except KeyboardInterrupt:
            interrupted = True
        seconds = time.monotonic() - start_s
        return PlaySummary(self._messages, rounds, seconds, tuple(self._unanswered), interrupted)

    def close(self) -> None:
        """Take the node out of the graph."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _publisher(self, topic: str, kind: type) -> Publisher:
        name = self._options.remap.get(topic, topic)
        try:
            return self._node.create_publisher(kind, name, self._profiles[topic])
        except (RuntimeError, NameValidationException) as err:
            reason = ' '.join(str(err).split()).rstrip('.:')
            raise SettingError(
                f'{topic} cannot be published as {name!r}: {reason}; remap it to another name'
            ) from err

    def _latch(self) -> None:
        """Publish what was latched before the start: whoever listens counts on it."""
        latched = [
            name
            for name, profile in self._profiles.items()
            if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        ]
        for message in self._bag.messages(latched, stop_ns=self._span.first_ns):
            self._publish(message)

    def _round(self) -> None:
        first_ns, last_ns = self._span
        self._timeline.start(first_ns, time.monotonic())
        self._clock.tick(first_ns, now=True)
        for message in self._bag.messages(self._publishers, first_ns, last_ns + 1):
            self._sleep_until(message.receive_ns)
            if message.topic in self._images:
                self._ask(message)
            else:
                self._publish(message)
            if self._on_progress is not None:
                done_ns = message.receive_ns - first_ns
                self._on_progress(done_ns * 1e-9, (last_ns - first_ns) * 1e-9)
        self._sleep_until(last_ns)

    def _sleep_until(self, bag_ns: int) -> None:
        while (left_s := self._timeline.due_s(bag_ns) - time.monotonic()) > 0:
            # A busy machine may have slept past it, and the clock is not to jump back.
            tick_s = self._clock.tick(min(bag_ns, self._timeline.bag_ns(time.monotonic())))
            time.sleep(max(0.0, min(left_s, tick_s)))
        self._time_ns = bag_ns
        self._clock.tick(bag_ns)

    def _publish(self, message: BagMessage) -> None:
        self._publishers[message.topic].publish(bytes(message.raw))
        self._messages += 1
        if self._images:
            self._unread[message.topic] += 1
            if self._unread[message.topic] >= _UNREAD:
                self._settle()

    def _ask(self, message: BagMessage) -> None:
        """Publish an image once all before it has arrived, and wait for its answer."""
        start_s = time.monotonic()
        self._clock.tick(message.receive_ns, now=True)
        self._settle()
        asked_ns = ns_from_cdr(message.raw)
        self._answered_ns = None
        self._publishers[message.topic].publish(bytes(message.raw))
        self._messages += 1
        limit_s = time.monotonic() + self._options.timeout_s
        if not self._spin_until(lambda: self._answered_ns == asked_ns, limit_s):
            self._give_up(message.topic, asked_ns)
        self._timeline.hold(time.monotonic() - start_s)

    def _give_up(self, topic: str, asked_ns: int) -> None:
        answers, waited_s = self._options.lockstep, self._options.timeout_s
        seconds, nanoseconds = divmod(asked_ns, 10**9)
        said = (
            f'no answer on {answers} within {waited_s:g} s to the image of {topic} stamped '
            f'{seconds}.{nanoseconds:09d}'
        )
        self._unanswered.append(asked_ns)
        if not self._answers:
            raise DepthAnythingError(
                f'{said}, the first one: choose by topics the images that are answered there, '
                'or allow more time'
            )
        _log.warning('%s', said)

    def _settle(self) -> None:
        """Wait until what was published has arrived, and the nodes asked have taken it in."""
        read = [x for x in self._unread if self._publishers[x].get_subscription_count()]
        for name in read:
            self._publishers[name].wait_for_all_acked(Duration(seconds=1))
        turns = max((self._unread[name] for name in read), default=0)
        self._unread.clear()
        self._peers.take_turns(turns, self._options.timeout_s)

    def _meet(self) -> None:
        """Wait for the subscribers asked for, until both ends know each other."""
        published = {x.topic_name: x for x in self._publishers.values()}
        for name in self._options.wait_for:
            if name not in published:
                names = ', '.join(published)
                raise SettingError(f'{name} is not played: wait for one of {names}')
            self._await(published[name].get_subscription_count, f'nobody subscribes to {name}')
        met = set(self._options.wait_for)
        if self._options.lockstep:
            self._listen(self._options.lockstep)
            self._images = self._color_images()
            met |= {self._publishers[x].topic_name for x in self._images}
        if met:
            self._peers.greet(met)

    def _listen(self, topic: str) -> None:
        """Subscribe to the answers, whatever their type."""

        def senders() -> list[Any]:
            found: list[Any] = self._node.get_publishers_info_by_topic(topic)
            return found

        self._await(senders, f'nobody publishes {topic}', self._published)
        kind = senders()[0].topic_type
        answer = message_class(kind)
        fields = [*answer.get_fields_and_field_types().items()] if answer else [('', '')]
        if fields[0] != ('header', 'std_msgs/Header'):
            raise SettingError(f'{topic} is of type {kind}: name answers that begin with a header')
        reliable = all(x.qos_profile.reliability == ReliabilityPolicy.RELIABLE for x in senders())
        profile = QoSProfile(
            depth=100,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        self._node.create_subscription(answer, topic, self._on_answer, profile, raw=True)

    def _on_answer(self, raw: bytes) -> None:
        self._answered_ns = ns_from_cdr(raw)
        self._answers += 1

    def _color_images(self) -> list[str]:
        """Name the pictures that somebody subscribes to, each by one of its transports."""
        images = [
            name
            for name in self._bag.of_type(IMAGE, COMPRESSED_IMAGE)
            if name in self._publishers and is_color(next(self._bag.messages([name])))
        ]
        if not images:
            raise DepthAnythingError(f'{self._bag.path} has no colour images to play in lockstep')

        def read() -> list[str]:
            return [x for x in images if self._publishers[x].get_subscription_count()]

        self._await(read, f'nobody subscribes to {" or ".join(images)}')
        found = read()
        return [x for x in found if x.removesuffix('/compressed') not in {*found} - {x}]

    def _published(self) -> str:
        """Say what others publish: the topic that was meant may be among it."""
        own = {x.topic_name for x in self._publishers.values()} | _ROS
        names = [name for name, _ in self._node.get_topic_names_and_types()]
        found = [x for x in names if x not in own and self._node.count_publishers(x)]
        return f' (others publish {", ".join(found) or "nothing"})'

    def _await(
        self, there: Callable[[], Any], missing: str, hint: Callable[[], str] = str
    ) -> None:
        """Wait for a peer, and tell soon what for; `hint` adds what may be wrong."""
        wait_s, start_s = self._options.wait_s, time.monotonic()
        if self._spin_until(there, start_s + min(wait_s, _PATIENCE_S)):
            return
        if wait_s > _PATIENCE_S:
            _log.warning('%s yet%s: waiting for up to %g s', missing, hint(), wait_s)
        if not self._spin_until(there, start_s + wait_s):
            raise DepthAnythingError(
                f'{missing} after {wait_s:g} s{hint()}: start the node that does, in the same '
                'ROS_DOMAIN_ID, or wait longer'
            )

    def _spin_until(self, done: Callable[[], Any], limit_s: float) -> bool:
        """Hold bag time, and tell it, until `done` or the moment `limit_s`."""
        while not done():
            left_s = limit_s - time.monotonic()
            if left_s <= 0:
                return False
            tick_s = self._clock.tick(self._time_ns)
            self._executor.spin_once(timeout_sec=max(0.0, min(left_s, tick_s, _POLL_S)))
        return True

    def _drain(self) -> None:
        """Let the last messages arrive before the publishers go."""
        limit_s = time.monotonic() + _DRAIN_S
        for publisher in self._publishers.values():
            left_s = max(0.0, limit_s - time.monotonic())
            publisher.wait_for_all_acked(Duration(seconds=left_s))
