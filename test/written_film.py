"""Films that tests make, and what they read of films."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def write_film(
    path: Path,
    pictures: Sequence[np.ndarray],
    times_ms: Sequence[int] | None = None,
    *,
    codec: str = 'libx264',
    sound: str = '',
    options: dict[str, str] | None = None,
    pixel_aspect: Fraction = Fraction(1),
    pixel_format: str = '',
) -> Path:
    """Write pictures, BGR, BGRA or grey uint16, at 10 Hz or at their times, with sound as long."""
    times = list(times_ms or range(0, 100 * len(pictures), 100))
    # An AVI has a place for a frame at each tick.
    ticks_ms = 1 if times_ms else 100
    with av.open(str(path), 'w', options=options or {}) as film:
        stream = film.add_stream(codec, rate=10)
        stream.height, stream.width = pictures[0].shape[:2]
        even = stream.height % 2 == stream.width % 2 == 0
        stream.pix_fmt = pixel_format or ('yuv420p' if even else 'yuv444p')
        stream.codec_context.time_base = Fraction(ticks_ms, 1000)
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        if codec == 'libx264':
            stream.options = {'bf': '0', 'crf': '12'}
        tone = film.add_stream(sound, rate=48000) if sound else None
        for picture, time_ms in zip(pictures, times, strict=True):
            layout = {(): 'gray16le', (3,): 'bgr24', (4,): 'bgra'}[picture.shape[2:]]
            frame = av.VideoFrame.from_ndarray(picture, format=layout)
            frame.pts, frame.time_base = time_ms // ticks_ms, Fraction(ticks_ms, 1000)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
        if tone is not None:
            count = 48 * (times[-1] + 100)
            wave = (8000 * np.sin(np.arange(count) * 0.05)).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(wave, format='s16', layout='mono')
            frame.sample_rate, frame.pts = 48000, 0
            film.mux(tone.encode(frame))
            film.mux(tone.encode())
    return path


def frames_of(path: Path) -> list[tuple[float, np.ndarray]]:
    """Return seconds and BGR picture of each frame."""
    with av.open(str(path)) as film:
        return [
            (float(frame.time or 0), frame.to_ndarray(format='bgr24'))
            for frame in film.decode(video=0)
        ]


def streams_of(path: Path) -> dict[str, Any]:
    """Return the codecs of a film, and its seconds of pictures and of sound."""
    with av.open(str(path)) as film:
        picture = film.streams.video[0]
        found: dict[str, Any] = {
            'picture': picture.codec_context.name,
            'pixels': picture.codec_context.pix_fmt,
            'seconds': float(picture.duration * picture.time_base) if picture.duration else None,
        }
        for sound in film.streams.audio:
            found['sound'] = sound.codec_context.name
            found['sound_seconds'] = sum(
                float(packet.duration * packet.time_base)
                for packet in film.demux(sound)
                if packet.size
            )
        return found
