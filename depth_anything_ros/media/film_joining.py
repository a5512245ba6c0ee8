"""Parts of a film joined into one file without encoding, with the sound of the input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from depth_anything_ros.media.film_encoding import FORMATS, packet_duration
from depth_anything_ros.media.films import RESTARTED_S, START_TICKS

__all__ = ['count_pictures', 'join']

_SOUND = {
    '.mp4': {'aac', 'ac3', 'alac', 'eac3', 'flac', 'mp3', 'opus'},
    '.mkv': {'aac', 'ac3', 'alac', 'eac3', 'flac', 'mp3', 'opus', 'vorbis', 'dts', 'truehd'}
    | {'pcm_s16le', 'pcm_s24le', 'pcm_u8', 'pcm_f32le', 'mp2'},
}
"""What players expect in them."""


def join(
    parts: Sequence[tuple[Path, Fraction]],
    path: Path,
    suffix: str,
    rate_hz: float,
    sound_of: str | None,
    comment: str = '',
) -> list[str]:
    """Write `parts`, each with the second at which it begins, to `path`; return remarks.

    `sound_of` is the film whose sound is copied. `comment` says what the film holds.
    """
    # The index at the front: a browser plays while it loads.
    options = {'movflags': '+faststart'} if suffix == '.mp4' else {}
    into = av.open(str(path), 'w', format=FORMATS[suffix], options=options)
    if comment:
        into.metadata['comment'] = comment
    sound: _Sound | None = None
    try:
        stream: Any = None
        end_s = Fraction(0)
        for part, start_s in parts:
            with av.open(str(part)) as film:
                if stream is None:
                    stream = into.add_stream_from_template(film.streams.video[0])
                    sound = _Sound(sound_of, into, _SOUND[suffix]) if sound_of else None
                for packet in film.demux(film.streams.video[0]):
                    if packet.pts is None:
                        continue
                    tick = packet.time_base
                    packet.pts += round(start_s / tick)
                    packet.dts, packet.stream = packet.pts, stream
                    packet.duration = packet_duration(rate_hz, tick)
                    end_s = (packet.pts + packet.duration) * tick
                    if sound is not None:
                        sound.copy_until(packet.pts * tick)
                    into.mux(packet)
        if sound is not None:
            sound.copy_until(end_s)
    finally:
        if sound is not None:
            sound.close()
        # Once only: FFmpeg that ends a film on a full disk a second time ends Python.
        into.close()
    return sound.remarks if sound is not None else []


def count_pictures(path: Path) -> int:
    """Return how many pictures are in a film; 0 where the first cannot be decoded."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        packets = (packet for packet in film.demux(stream) if packet.size)
        first = next(packets, None)
        # Not only an index: the first of them is a picture.
        if first is None or not (first.decode() or first.stream.decode(None)):
            return 0
        return 1 + sum(1 for _ in packets)


class _Sound:
    """The sound of a film, copied unchanged into another."""

    def __init__(self, source: str, into: Any, codecs: set[str]) -> None:
        self.remarks: list[str] = []
        self._into = into
        self._film: Any = av.open(source)
        self._start = Fraction(self._film.start_time or 0, START_TICKS)
        self._copies: dict[int, Any] = {}
        # Of each stream the least time of the next packet, the one it is due at, and its shift.
        self._behind: dict[int, tuple[int, int, int]] = {}
        for stream in self._film.streams.audio:
            context: Any = stream.codec_context
            if context is None:
                self.remarks.append('sound of a codec that FFmpeg does not know is not copied')
                continue
            codec = context.codec.canonical_name
            if codec in codecs:
                self._copies[stream.index] = into.add_stream_from_template(stream)
            else:
                fix = ': name an .mkv file' if codec in _SOUND['.mkv'] else ''
                self.remarks.append(f'the sound ({codec}) is not copied{fix}')
        self._packets: Iterator[Any] = iter(())
        if self._copies:
            self._packets = self._film.demux([self._film.streams[each] for each in self._copies])
        self._waiting: Any = self._next()

    def copy_until(self, end_s: Fraction) -> None:
        """Copy what is heard before `end_s`."""
        while self._waiting is not None:
            packet = self._waiting
            if packet.pts * packet.time_base >= end_s:
                return
            packet.dts = packet.pts
            packet.stream = self._copies[packet.stream_index]
            self._into.mux(packet)
            self._waiting = self._next()

    def _next(self) -> Any:
        """Return the next packet with a time, None at the end or where the rest is damaged."""
        try:
            for packet in self._packets:
                if packet.size and packet.pts is not None:
                    self._place(packet)
                    return packet
        except FFmpegError:
            self._packets = iter(())
        return None

    def _place(self, packet: Any) -> None:
        """Move a packet to its time in the film of depth, behind the one before."""
        tick, index = packet.time_base, packet.stream_index
        shift = -round(self._start / tick)
        first = packet.pts + shift
        least, due, shift = self._behind.get(index, (first, first, shift))
        if (due - packet.pts - shift) * tick > RESTARTED_S:
            shift = due - packet.pts
        packet.pts = max(packet.pts + shift, least)
        # Packets shorter than a tick share one.
        self._behind[index] = packet.pts, packet.pts + (packet.duration or 1), shift

    def close(self) -> None:
        """Close the film that the sound is from."""
        self._film.close()
