"""Frames of films, with the times at which they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.types import BgrImage

__all__ = ['START_TICKS', 'SUFFIXES', 'Film', 'open_film']

SUFFIXES = {
    *('.3gp', '.asf', '.avi', '.flv', '.m2ts', '.m4v', '.mjpeg', '.mkv', '.mov', '.mp4', '.mpeg'),
    *('.mpg', '.mts', '.mxf', '.ogv', '.ts', '.vob', '.webm', '.wmv', '.y4m'),
}
"""Endings of the files that are taken for films."""

START_TICKS = 1_000_000
"""A container's start and duration are in microseconds."""


@dataclass
class Film:
    """A film file. `length` is the number of frames that it promises, 0 where it does not.

    `fault` says, once `frames` has ended, what could not be read; '' while that is nothing.
    """

    path: Path
    rate_hz: float
    length: int
    pixel_aspect: Fraction
    fault: str = ''

    def frames(self) -> Iterator[tuple[int, BgrImage]]:
        """Return each frame that can be decoded, with its time in nanoseconds."""
        decoded = packets = broken = 0
        period_ns = round(1e9 / self.rate_hz)
        newest_ns, gap_ns = -1, period_ns
        with av.open(str(self.path.absolute())) as container:
            stream = container.streams.video[0]
            stream.thread_type = 'AUTO'
            start = Fraction(container.start_time or 0, START_TICKS)
            try:
                for packet in container.demux(stream):
                    packets += packet.size > 0
                    try:
                        frames = packet.decode()
                    except FFmpegError:
                        broken += 1
                        continue
                    for frame in frames:
                        stamp_ns = newest_ns + period_ns
                        if frame.pts is not None and frame.time_base is not None:
                            stamp_ns = round((frame.pts * frame.time_base - start) * 10**9)
                        # A time that does not advance cannot be shown.
                        stamp_ns = max(stamp_ns, newest_ns + 1)
                        gap_ns = max(gap_ns, stamp_ns - newest_ns)
                        newest_ns = stamp_ns
                        decoded += 1
                        yield newest_ns, _bgr(frame)
            except FFmpegError:
                broken += 1
            if _counts(container):
                cut = packets < stream.frames
            else:
                # How long the last frame is to stay is not always told.
                cut = Fraction(newest_ns + 2 * gap_ns, 10**9) < _duration(container, stream)
            about = '' if _counts(container) else 'about '
        if broken or cut:
            of = f'of {about}{self.length} ' if self.length else ''
            self.fault = f'{decoded} {of}frames could be read: the file is cut off or damaged'


def open_film(path: Path) -> Film:
    """Open a film and read its header; SettingError where there is no film in it."""
    try:
        with av.open(str(path.absolute())) as container:
            if not container.streams.video:
                raise SettingError(f'{path} has no pictures, only sound: name a film')
            stream = container.streams.video[0]
            rate_hz = float(stream.average_rate or stream.guessed_rate or 30)
            length = stream.frames if _counts(container) else 0
            length = length or round(float(_duration(container, stream)) * rate_hz)
            aspect = stream.sample_aspect_ratio or Fraction(1)
            return Film(path, rate_hz, length, aspect if aspect > 0 else Fraction(1))
    except FFmpegError as error:
        why = error.strerror or type(error).__name__
        raise SettingError(f'{path} cannot be opened ({why}): is the video whole?') from error


def _counts(container: Any) -> bool:
    """Return whether the header counts frames; that of an AVI counts empty ones, too."""
    return 'mp4' in container.format.name and bool(container.streams.video[0].frames)


def _duration(container: Any, stream: Any) -> Fraction:
    """Return the seconds that the header promises for the pictures, 0 where it does not."""
    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get('DURATION', '').partition(':')
    minutes, _, seconds = rest.partition(':')
    try:
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except ValueError:
        pass
    # That of the container is the longest of its streams.
    alone = len(container.streams) == 1
    return Fraction(container.duration or 0, START_TICKS) if alone else Fraction(0)


def _bgr(frame: Any) -> BgrImage:
    """Return a frame as it is to be shown: phones turn their films by a note in the file."""
    bgr = frame.to_ndarray(format='bgr24')
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(bgr, turns)) if turns else bgr
