"""Frames of films, with the times at which they are shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError
from PIL import Image

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.media.pictures import Picture, eight_bits, laid_over_white

__all__ = [
    'RESTARTED_S',
    'START_TICKS',
    'SUFFIXES',
    'Film',
    'Position',
    'film_of',
    'open_film',
    'picture_of',
    'pictures_of',
]

SUFFIXES = {
    *('.264', '.265', '.360', '.divx', '.dv', '.f4v', '.h264', '.h265', '.hevc', '.insv', '.ivf'),
    *('.lrv', '.m2v', '.mjpg', '.mod', '.nut', '.qt', '.rm', '.rmvb'),
    *('.3gp', '.asf', '.avi', '.flv', '.m2ts', '.m4v', '.mjpeg', '.mkv', '.mov', '.mp4', '.mpeg'),
    *('.mpg', '.mts', '.mxf', '.ogv', '.ts', '.vob', '.webm', '.wmv', '.y4m'),
}
"""Endings of the files that are taken for films."""

START_TICKS = 1_000_000
"""A container's start and duration are in microseconds."""

RESTARTED_S = Fraction(1, 2)
"""Times that go back by more begin anew, as where films were joined byte by byte."""

# Key frames whose pictures may still be inside the decoder.
_KEYS_IN_DECODER = 64


@dataclass(frozen=True)
class Position:
    """Behind `frames` frames of a film, the last of them at `newest_ns`.

    `key` is the last key frame among them: its index, time stamp and place in the file.
    `broken` counts what could not be decoded so far, `gap_ns` is the longest time of a frame.
    `shift_ns` is added to times where those of the file began anew.
    """

    frames: int = 0
    newest_ns: int = -1
    gap_ns: int = 0
    broken: int = 0
    key: tuple[int, int, int | None] | None = None
    shift_ns: int = 0

    def followed_by(self, stamp_ns: int, period_ns: int) -> Position:
        """Return the position with the time of its last frame, which may have to move."""
        shift_ns = 0
        if self.newest_ns - stamp_ns > RESTARTED_S * 10**9:
            shift_ns = self.newest_ns + period_ns - stamp_ns
        # A time that does not advance cannot be shown.
        newest_ns = max(stamp_ns + shift_ns, self.newest_ns + 1)
        return replace(
            self,
            newest_ns=newest_ns,
            gap_ns=max(self.gap_ns, newest_ns - self.newest_ns),
            shift_ns=self.shift_ns + shift_ns,
        )


@dataclass
class Film:
    """A film. `length` is the number of frames that it promises, 0 where it does not.

    `url` is what FFmpeg opens, `timeout_s` how long it may take. `after` is where to begin.
    `fault` says, once `frames` has ended, what could not be read; '' while that is nothing.
    """

    url: str
    rate_hz: float
    length: int
    pixel_aspect: Fraction
    timeout_s: float | None = None
    after: Position = field(default_factory=Position)
    fault: str = ''

    def frames(self) -> Iterator[tuple[Position, Any]]:
        """Return each frame behind `after` that can be decoded, with the position behind it.

        Up to the last key frame nothing is decoded.
        """
        try:
            yield from self._frames(self.after)
        except LookupError:
            yield from self._frames(replace(self.after, key=None))

    def _frames(self, after: Position) -> Iterator[tuple[Position, Any]]:
        """Return the frames behind `after`; LookupError where its key frame is not found."""
        skipped, key_ticks, key_place = after.key or (0, None, None)
        period_ns = round(1e9 / self.rate_hz)
        # What is decoded again has been judged.
        at = replace(after, frames=skipped, gap_ns=max(after.gap_ns, period_ns))
        packets = 0
        places: deque[tuple[int, int | None]] = deque(maxlen=_KEYS_IN_DECODER)
        decoding, there = after.key is None, after.key is None
        with av.open(self.url, timeout=self.timeout_s) as container:
            stream = pictures_of(container)
            stream.thread_type = 'AUTO'
            start = Fraction(container.start_time or 0, START_TICKS)
            try:
                for packet in container.demux(stream):
                    packets += packet.size > 0
                    decoding |= packet.pts == key_ticks and packet.pos == key_place
                    if not decoding:
                        continue
                    if packet.is_keyframe and packet.pts is not None:
                        places.append((packet.pts, packet.pos))
                    try:
                        frames = packet.decode()
                    except FFmpegError:
                        if at.frames >= after.frames:
                            at = replace(at, broken=at.broken + 1)
                        continue
                    for frame in frames:
                        # Before a key frame there may be some that need those before it.
                        there |= frame.pts == key_ticks
                        if not there:
                            continue
                        at = replace(at, frames=at.frames + 1)
                        if frame.key_frame and frame.pts in dict(places):
                            key = at.frames - 1, frame.pts, dict(places)[frame.pts]
                            at = replace(at, key=key)
                        if at.frames <= after.frames:
                            continue
                        stamp_ns = at.newest_ns + period_ns if at.newest_ns >= 0 else 0
                        if frame.pts is not None and frame.time_base is not None:
                            stamp_ns = round((frame.pts * frame.time_base - start) * 10**9)
                            stamp_ns += at.shift_ns
                        at = at.followed_by(stamp_ns, period_ns)
                        yield at, frame
            except FFmpegError:
                at = replace(at, broken=at.broken + 1)
            if not there:
                raise LookupError
            if _counts(container, stream):
                cut = packets < stream.frames
            else:
                # How long the last frame is to stay is not always told.
                end_s = Fraction(at.newest_ns + 2 * at.gap_ns, 10**9)
                cut = end_s < _duration(container, stream)
            about = '' if _counts(container, stream) else 'about '
        if at.broken or cut:
            of = f'of {about}{self.length} ' if self.length else ''
            self.fault = f'{at.frames} {of}frames could be read: the file is cut off or damaged'


def open_film(path: Path) -> Film:
    """Open a film and read its header; SettingError where there is no film in it."""
    # From the root: FFmpeg takes what stands before a colon for a protocol.
    url = str(path.absolute())
    try:
        with av.open(url) as container:
            return film_of(container, url, str(path))
    except FFmpegError as error:
        why = error.strerror or type(error).__name__
        raise SettingError(f'{path} cannot be opened ({why}): is the video whole?') from error


def film_of(container: Any, url: str, shown: str, timeout_s: float | None = None) -> Film:
    """Return the film in an open container; SettingError, which says `shown`, where none is."""
    if not container.streams.video:
        raise SettingError(f'{shown} has no pictures, only sound: name a film')
    stream = pictures_of(container)
    if stream.codec_context is None:
        raise SettingError(f'{shown} is of a codec that FFmpeg does not know here: convert it')
    rate_hz = float(stream.average_rate or stream.guessed_rate or 30)
    length = stream.frames if _counts(container, stream) else 0
    length = length or round(float(_duration(container, stream)) * rate_hz)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return Film(url, rate_hz, length, aspect if aspect > 0 else Fraction(1), timeout_s)


def pictures_of(container: Any) -> Any:
    """Return the stream of pictures of a container, which may have a cover beside it."""
    return container.streams.best('video') or container.streams.video[0]


def picture_of(frame: Any, levels: Levels) -> Picture:
    """Return a frame as it is to be shown: phones turn their films by a note in the file.

    Grey of more than 8 bits is stretched to `levels`.
    """
    changes: list[tuple[str, str]] = []
    if frame.format.name.startswith('gray') and frame.format.components[0].bits > 8:
        grey = eight_bits(frame.to_ndarray(format='gray16le'), levels, changes)
        bgr = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    elif any(each.is_alpha for each in frame.format.components):
        rgba = Image.fromarray(frame.to_ndarray(format='rgba'))
        bgr = cv2.cvtColor(np.asarray(laid_over_white(rgba, changes)), cv2.COLOR_RGBA2BGR)
    else:
        bgr = frame.to_ndarray(format='bgr24')
    turns = round(frame.rotation / 90) % 4
    bgr = np.ascontiguousarray(np.rot90(bgr, turns)) if turns else bgr
    return Picture(np.asarray(bgr, np.uint8), tuple(changes))


def _counts(container: Any, stream: Any) -> bool:
    """Return whether the header counts frames; that of an AVI counts empty ones, too."""
    return 'mp4' in container.format.name and bool(stream.frames)


def _duration(container: Any, stream: Any) -> Fraction:
    """Return the seconds that the header promises for the pictures, 0 where it does not."""
    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get('DURATION', '').partition(':')
    minutes, _, seconds = rest.partition(':')
    # What Matroska calls so is the end, counted from 0.
    start = container.start_time or 0 if 'matroska' in container.format.name else 0
    try:
        end = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except ValueError:
        # That of the container is the longest of its streams.
        if len(container.streams) > 1:
            return Fraction(0)
        end = Fraction(container.duration or 0, START_TICKS)
    return max(end - Fraction(start, START_TICKS), Fraction(0))
