"""Films and live streams by URL (rtsp, http, udp and what else FFmpeg opens), and webcams."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import av
from av.error import FFmpegError

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.media.films import Film, film_of, pictures_of

__all__ = ['LiveStream', 'is_url', 'open_url', 'open_webcam', 'without_secrets']

_TIMEOUT_S = 10.0
_OPTIONS = {'rtsp_flags': 'prefer_tcp'}
# Live, but made of pieces that come in bursts and wait to be fetched.
_IN_PIECES = {'dash', 'hls'}


def is_url(text: str) -> bool:
    """Return whether `text` names a stream and not a file."""
    return re.match(r'[a-z][a-z0-9+.-]*://', text, re.IGNORECASE) is not None


def without_secrets(text: str) -> str:
    """Return `text` without what a URL may hold of passwords: user information and query."""
    return re.sub(r'\?.*', '?...', re.sub(r'//[^/]*@', '//', text)) if is_url(text) else text


def open_url(url: str) -> Film | LiveStream:
    """Return the film at a URL, or the live stream where it has no end.

    SettingError where nothing answers within ten seconds, or it has no pictures.
    """
    shown = without_secrets(url)
    try:
        container = av.open(url, timeout=_TIMEOUT_S, options=_OPTIONS)
        film = film_of(container, url, shown, _TIMEOUT_S)
    except (FFmpegError, ValueError) as error:
        raise SettingError(
            f'{shown} cannot be opened ({_why(error)}): check the address, and whether a player '
            'on this machine shows it'
        ) from None  # the text of the cause has the whole URL
    if container.duration or container.size > 0 or container.format.name in _IN_PIECES:
        container.close()
        return film
    return LiveStream(container, film.rate_hz)


def open_webcam(device: str) -> LiveStream:
    """Return the stream of a camera, '/dev/videoN'; SettingError where there is none."""
    try:
        container = av.open(device, format='v4l2')
    except FFmpegError as error:
        raise SettingError(
            f'{device} cannot be opened ({_why(error)}): see which cameras `ls /dev/video*` '
            'shows, and close other programs that use it'
        ) from error
    return LiveStream(container, film_of(container, device, device).rate_hz)


class LiveStream:
    """The newest image of a stream.

    Those that came meanwhile are counted in `dropped`, what could not be decoded in `broken`.
    """

    def __init__(self, container: Any, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.dropped = self.broken = 0
        self.fault = ''
        self._container = container
        self._newest: tuple[int, Any] | None = None
        self._ended = self._stopped = False
        self._changed = threading.Condition()

    def frames(self) -> Iterator[tuple[int, Any]]:
        """Return nanoseconds since the first image, and the newest image, until the stream ends.

        The time is that of its arrival: clocks of streams jump.
        """
        threading.Thread(target=self._receive, daemon=True).start()
        start_ns = None
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._newest is not None or self._ended)
                    taken, self._newest = self._newest, None
                if taken is None:
                    return
                start_ns = taken[0] if start_ns is None else start_ns
                yield taken[0] - start_ns, taken[1]
        finally:
            self._stopped = True

    def _receive(self) -> None:
        received = 0
        try:
            with self._container as container:
                for packet in container.demux(pictures_of(container)):
                    try:
                        frames = packet.decode()
                    except FFmpegError:
                        self.broken += 1
                        continue
                    for frame in frames:
                        received += 1
                        with self._changed:
                            self.dropped += self._newest is not None
                            self._newest = time.monotonic_ns(), frame
                            self._changed.notify()
                    if self._stopped:
                        return
        except FFmpegError as error:
            self.fault = f'the stream stopped after {received} images ({_why(error)})'
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()


def _why(error: Exception) -> str:
    # How FFmpeg says that it was interrupted by the timeout.
    if isinstance(error, av.error.ExitError):
        return f'nothing came for {_TIMEOUT_S:g} s'
    return getattr(error, 'strerror', None) or type(error).__name__
