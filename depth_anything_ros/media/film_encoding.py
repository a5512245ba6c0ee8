"""One file of pictures: H.264 that browsers play, or lossless levels."""

from __future__ import annotations

import gc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import SettingError

__all__ = ['FORMATS', 'TICKS', 'Encoder', 'packet_duration']

FORMATS = {'.mp4': 'mp4', '.mkv': 'matroska'}
"""FFmpeg's name of the format of each ending."""

TICKS = {'.mp4': Fraction(1, 90_000), '.mkv': Fraction(1, 1000)}
"""Seconds of a tick, in which the times of pictures are counted."""

_MOST_PX = 16_384
"""H.264 of libx264 takes no longer side."""


class Encoder:
    """Pictures, uint8 (H, W, 3) BGR, become H.264; levels, uint16 (H, W), become FFV1."""

    def __init__(
        self,
        path: Path,
        out: Path,
        like: npt.NDArray[Any],
        rate_hz: float,
        pixel_aspect: Fraction,
        remark: Callable[[str], None],
    ) -> None:
        """Write to `path` pictures like `like`; `out` is the film whose name is said."""
        height, width = like.shape[:2]
        lossless = like.dtype == np.uint16
        if max(width, height) > _MOST_PX and not lossless:
            raise SettingError(
                f'{out} would be {width} x {height} pixels, and H.264 holds {_MOST_PX} on a '
                f'side: add --output-max-side {_MOST_PX // 2}, or name a folder'
            )
        suffix = out.suffix.lower()
        self.tick = TICKS[suffix]
        self._rate_hz = rate_hz
        self._container: Any = av.open(str(path), 'w', format=FORMATS[suffix])
        rate = max(Fraction(1, 1000), Fraction(rate_hz).limit_denominator(1001))
        if lossless:
            stream = self._container.add_stream('ffv1', rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, 'gray16le'
        else:
            # Without B-frames the times of decoding are those of display, and durations exact. In
            # one thread a picture is encoded alike whatever else runs, and on every machine.
            how = {'preset': 'veryfast', 'crf': '18', 'bf': '0', 'threads': '1'}
            stream = self._container.add_stream('libx264', rate=rate, options=how)
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = 'yuv420p'
            stream.codec_context.colorspace = 1  # BT.709
            stream.codec_context.color_range = 1  # 16 to 235
            if (stream.width, stream.height) != (width, height):
                remark(
                    f'{width} x {height} is padded to {stream.width} x {stream.height}: H.264 as '
                    'players take it has even sides'
                )
        stream.codec_context.time_base = self.tick
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        self._stream: Any = stream

    def write(self, picture: npt.NDArray[Any], ticks: int) -> None:
        """Append one picture, shown from `ticks` on."""
        if picture.dtype == np.uint16:
            frame = av.VideoFrame.from_ndarray(picture, format='gray16le')
        else:
            padding = 0, picture.shape[0] % 2, 0, picture.shape[1] % 2
            if any(padding):
                picture = cv2.copyMakeBorder(picture, *padding, cv2.BORDER_REPLICATE)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='bgr24')
            frame = frame.reformat(format='yuv420p', dst_colorspace='ITU709')
        frame.pts, frame.time_base = ticks, self.tick
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what is left, and close."""
        try:
            self._mux(self._stream.encode())
        finally:
            self.close()

    def close(self) -> None:
        """Close as it is."""
        # Once only: FFmpeg that ends a film on a full disk a second time ends Python.
        container, self._container = self._container, None
        if container is not None:
            container.close()
            # Container and stream hold each other, and the encoder's buffers with them.
            self._stream = container = None
            gc.collect()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = packet_duration(self._rate_hz, self.tick)
            self._container.mux(packet)


def packet_duration(rate_hz: float, tick: Fraction) -> int:
    """Return the ticks for which a picture is shown where nothing follows."""
    return max(1, round(1 / Fraction(rate_hz) / tick))
