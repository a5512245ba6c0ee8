"""Films of depth: pictures with their times, and the sound of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.media.films import START_TICKS

__all__ = ['SUFFIXES', 'FilmWriter']

SUFFIXES = {'.mp4': 'mp4', '.mkv': 'matroska'}
"""Endings of the films that are written, with FFmpeg's name of the format."""

_SOUND = {
    '.mp4': {'aac', 'ac3', 'alac', 'eac3', 'flac', 'mp3', 'opus'},
    '.mkv': {'aac', 'ac3', 'alac', 'eac3', 'flac', 'mp3', 'opus', 'vorbis', 'dts', 'truehd'}
    | {'pcm_s16le', 'pcm_s24le', 'pcm_u8', 'pcm_f32le', 'mp2'},
}
"""What players expect in them."""

_TICKS = {'.mp4': Fraction(1, 90_000), '.mkv': Fraction(1, 1000)}
_MOST_PX = 16_384
"""H.264 of libx264 takes no longer side."""

Value = TypeVar('Value')


class FilmWriter:
    """An .mp4 or .mkv, under its name once it is whole: until then it is OUT.writing.

    Pictures, uint8 (H, W, 3) BGR, become H.264; levels, uint16 (H, W), become lossless FFV1.
    """

    def __init__(
        self,
        out: Path,
        rate_hz: float,
        pixel_aspect: Fraction = Fraction(1),
        sound_of: Path | None = None,
    ) -> None:
        """`rate_hz` is nominal: each picture has a time. `sound_of` is the film to copy from."""
        self._out = out
        # From the root: FFmpeg takes what stands before a colon for a protocol.
        self._partial = out.absolute().with_name(out.name + '.writing')
        self._rate_hz, self._pixel_aspect, self._sound_of = rate_hz, pixel_aspect, sound_of
        self._container: Any = None
        self._discarded = False
        self._stream: Any = None
        self._sound: _Sound | None = None
        self._size = (0, 0)
        self._tick, self._ticks = _TICKS[out.suffix.lower()], -1
        self._pictures = 0
        self.remarks: list[str] = []
        """What the film is not, in whole lines."""

    def write(self, picture: npt.NDArray[Any], stamp_ns: int) -> None:
        """Append one picture, shown from `stamp_ns` on; SettingError where it cannot be.

        What comes after such an error is discarded, too.
        """
        if self._discarded:
            return
        if self._container is None:
            self._attempt(lambda: self._open(picture))
        width, height = self._size
        if picture.shape[:2] != (height, width):
            self._remark(f'pictures of another size are resized to {width} x {height}')
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._attempt(lambda: self._encode(picture, stamp_ns))
        self._pictures += 1

    def close(self) -> None:
        """Finish the film, count its pictures, and give it its name; nothing without pictures."""
        if self._container is None:
            return
        self._attempt(self._finish)
        found = self._attempt(self._count)
        if found != self._pictures:
            self.discard()
            raise SettingError(
                f'{self._out} cannot be written: {found} of its {self._pictures} pictures can be '
                'read back; is the disk full?'
            )
        self._attempt(lambda: self._partial.replace(self._out))

    def discard(self) -> None:
        """Remove what was written."""
        self._discarded = True
        # What closing would say has been said.
        with suppress(OSError):
            self._close()
        self._partial.unlink(missing_ok=True)

    def _open(self, picture: npt.NDArray[Any]) -> None:
        height, width = picture.shape[:2]
        self._size = width, height
        lossless = picture.dtype == np.uint16
        if max(width, height) > _MOST_PX and not lossless:
            raise SettingError(
                f'{self._out} would be {width} x {height} pixels, and H.264 holds {_MOST_PX} on a '
                f'side: add --output-max-side {_MOST_PX // 2}, or name a folder'
            )
        suffix = self._out.suffix.lower()
        # The index at the front: a browser plays while it loads.
        options = {'movflags': '+faststart'} if suffix == '.mp4' else {}
        self._container = av.open(
            str(self._partial), 'w', format=SUFFIXES[suffix], options=options
        )
        rate = max(Fraction(1, 1000), Fraction(self._rate_hz).limit_denominator(1001))
        if lossless:
            stream = self._container.add_stream('ffv1', rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, 'gray16le'
        else:
            # Without B-frames the times of decoding are those of display, and durations exact.
            how = {'preset': 'veryfast', 'crf': '18', 'bf': '0'}
            stream = self._container.add_stream('libx264', rate=rate, options=how)
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = 'yuv420p'
            stream.codec_context.colorspace = 1  # BT.709
            stream.codec_context.color_range = 1  # 16 to 235
            if (stream.width, stream.height) != (width, height):
                self._remark(
                    f'{width} x {height} is padded to {stream.width} x {stream.height}: H.264 as '
                    'players take it has even sides'
                )
        stream.codec_context.time_base = self._tick
        stream.codec_context.sample_aspect_ratio = self._pixel_aspect
        self._stream = stream
        if self._sound_of is not None:
            self._sound = _Sound(self._sound_of, self._container, _SOUND[suffix])
            for remark in self._sound.remarks:
                self._remark(remark)

    def _encode(self, picture: npt.NDArray[Any], stamp_ns: int) -> None:
        if picture.dtype == np.uint16:
            frame = av.VideoFrame.from_ndarray(picture, format='gray16le')
        else:
            padding = 0, picture.shape[0] % 2, 0, picture.shape[1] % 2
            if any(padding):
                picture = cv2.copyMakeBorder(picture, *padding, cv2.BORDER_REPLICATE)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='bgr24')
            frame = frame.reformat(format='yuv420p', dst_colorspace='ITU709')
        self._ticks = max(round(Fraction(stamp_ns, 10**9) / self._tick), self._ticks + 1)
        frame.pts, frame.time_base = self._ticks, self._tick
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = max(1, round(1 / Fraction(self._rate_hz) / self._tick))
            if self._sound is not None and packet.pts is not None:
                self._sound.copy_until(packet.pts * packet.time_base)
            self._container.mux(packet)

    def _finish(self) -> None:
        self._mux(self._stream.encode())
        if self._sound is not None:
            self._sound.copy_until(self._ticks * self._tick + 1 / Fraction(self._rate_hz))
            self._sound.close()
        self._close()

    def _close(self) -> None:
        # Once only: FFmpeg that ends a film on a full disk a second time ends Python.
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _count(self) -> int:
        with av.open(str(self._partial)) as film:
            stream = film.streams.video[0]
            packets = (packet for packet in film.demux(stream) if packet.size)
            first = next(packets, None)
            # Not only an index: the first of them is a picture.
            if first is None or not (first.decode() or first.stream.decode(None)):
                return 0
            return 1 + sum(1 for _ in packets)

    def _attempt(self, step: Callable[[], Value]) -> Value:
        """Return what `step` returns; SettingError with nothing left behind where it fails."""
        try:
            return step()
        except OSError as error:  # FFmpeg's errors are such, too
            self.discard()
            why = error.strerror or str(error)
            raise SettingError(
                f'{self._out} cannot be written: {why}. Free some space, or name another place'
            ) from error
        except BaseException:
            self.discard()
            raise

    def _remark(self, text: str) -> None:
        text = f'{self._out}: {text}'
        if text not in self.remarks:
            self.remarks.append(text)


class _Sound:
    """The sound of a film, copied unchanged into another."""

    def __init__(self, source: Path, into: Any, codecs: set[str]) -> None:
        self.remarks: list[str] = []
        self._into = into
        self._film: Any = av.open(str(source.absolute()))
        self._start = Fraction(self._film.start_time or 0, START_TICKS)
        self._copies: dict[int, Any] = {}
        for stream in self._film.streams.audio:
            codec = stream.codec_context.codec.canonical_name
            if codec in codecs:
                self._copies[stream.index] = into.add_stream_from_template(stream)
            else:
                self.remarks.append(f'the sound ({codec}) is not copied: name an .mkv file')
        self._packets: Iterator[Any] = iter(())
        if self._copies:
            self._packets = self._film.demux([self._film.streams[each] for each in self._copies])
        self._waiting: Any = self._next()

    def copy_until(self, end_s: Fraction) -> None:
        """Copy what is heard before `end_s`."""
        while self._waiting is not None:
            packet = self._waiting
            if packet.pts * packet.time_base - self._start >= end_s:
                return
            shift = round(self._start / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts
            packet.stream = self._copies[packet.stream_index]
            self._into.mux(packet)
            self._waiting = self._next()

    def _next(self) -> Any:
        """Return the next packet with a time, None at the end or where the rest is damaged."""
        try:
            for packet in self._packets:
                if packet.size and packet.pts is not None:
                    return packet
        except FFmpegError:
            self._packets = iter(())
        return None

    def close(self) -> None:
        """Close the film that the sound is from."""
        self._film.close()
