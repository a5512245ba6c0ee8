"""What the header of a compressed image promises, read before anything is decoded."""

from __future__ import annotations

from struct import unpack_from
from typing import NamedTuple

__all__ = ['Header', 'read_header']

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
# SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC): ITU-T T.81, table B.1.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD8)))
# A camera writes some ten segments; a thousand fill bytes are an attack or rubbish.
_MOST_SEGMENTS = 1000


class Header(NamedTuple):
    """Declared size in pixels, and whether the data reach their end marker."""

    width: int
    height: int
    complete: bool


def read_header(data: bytes) -> Header | None:
    """Read the header of a JPEG, PNG, GIF, BMP or WebP; None for others and for damaged ones.

    Whether the last three are complete is not looked at: OpenCV refuses them where they are not.
    """
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = (int.from_bytes(data[at : at + 4], 'big') for at in (16, 20))
        return Header(width, height, complete=b'IEND' in data[24:])
    if data.startswith(_JPEG):
        return _read_jpeg(data)
    # A GIF of 900 bytes can promise 32,000 x 32,000 pixels, and OpenCV fills 7 GB in 16 s.
    size = _little_endian_size(data)
    return None if size is None else Header(*size, complete=True)


def _little_endian_size(data: bytes) -> tuple[int, int] | None:
    """Read the size that a GIF, BMP or WebP (RFC 9649, section 2.5 to 2.7) declares."""
    if len(data) < 30:
        return None
    if data.startswith((b'GIF87a', b'GIF89a')):
        return unpack_from('<HH', data, 6)
    if data.startswith(b'BM'):
        old = data[14:18] == b'\x0c\0\0\0'
        width, height = unpack_from('<HH' if old else '<ii', data, 18)
        return abs(width), abs(height)
    if data[8:15] == b'WEBPVP8':
        if data[15:16] == b'X':
            return _uint24(data, 24) + 1, _uint24(data, 27) + 1
        if data[15:16] == b'L':
            bits = int.from_bytes(data[21:25], 'little')
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        width, height = unpack_from('<HH', data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _uint24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], 'little')


def _read_jpeg(data: bytes) -> Header | None:
    """Walk the segments of ITU-T T.81, B.1.1 up to the frame header."""
    at = len(_JPEG)
    for _ in range(_MOST_SEGMENTS):
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            height, width = (int.from_bytes(data[at + n : at + n + 2], 'big') for n in (5, 7))
            # A preview inside the EXIF segment has an end marker too, before this place.
            return Header(width, height, complete=data.rfind(_JPEG_END, at) >= 0)
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return None
