"""Play a bag over DDS, for those without rosbag2.

In lockstep each colour image waits for the answer with its stamp to the one before, and with it
everything recorded after that one, and bag time. So nothing is dropped, and no answer knows
what came later. What was recorded before an image is handed over before it: reliable
subscribers have acknowledged it; and the nodes that subscribe to the image have answered their
parameter service as often as the longest queue could be long. An executor of one thread, rclpy's
or rclcpp's, has then run every callback, because each turn takes one message of each topic and
comes to services last. Not certain is it of callback groups of other threads, of nodes without
parameter services, and of best-effort messages that the network between two machines loses.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import SettingError
from lab.isolation import share_directory
from lab.play.player import OnProgress, Player
from lab.play.timeline import PlayOptions, PlaySummary, span_of
from lab.play.topics import playable

__all__ = ['PlayOptions', 'PlaySummary', 'play']

_log = logging.getLogger(__name__)


def play(
    path: Path | str, options: PlayOptions | None = None, on_progress: OnProgress | None = None
) -> PlaySummary:
    """Publish the messages of a bag, as they were serialised, at the pace of their receipt.

    `on_progress` hears how many of how many seconds of the bag are played. Ctrl-C ends it in
    good order. DepthAnythingError where nobody subscribes or answers within the time allowed.
    """
    options = options or PlayOptions()
    # The publisher's side decides how much shared memory there is.
    profile = share_directory() / 'config' / 'fastdds.xml'
    os.environ.setdefault('FASTRTPS_DEFAULT_PROFILES_FILE', str(profile))
    with _one_interrupt(), BagReader(path) as bag:
        if bag.truncated:
            _log.warning('%s: %s', bag.path, bag.truncated)
        span = span_of(bag.start_ns, bag.end_ns, options.start_offset_s, options.duration_s)
        if options.loop and span.first_ns == span.last_ns:
            raise SettingError(f'{bag.path} has 0 s to loop: play more of it, or without loop')
        topics = playable(bag, options)
        context = Context()
        rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
        try:
            player = Player(context, bag, topics, span, options, on_progress)
            try:
                return player.play()
            finally:
                player.close()
        finally:
            context.try_shutdown()


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Let only the first Ctrl-C interrupt: a launch repeats that of its terminal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
