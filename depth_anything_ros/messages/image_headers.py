"""What the header of a compressed image promises, read before anything is decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from struct import unpack_from
from typing import NamedTuple

from depth_anything_ros.core.errors import FrameError

__all__ = ['FORMATS', 'MAX_SCANS', 'Header', 'check_scans', 'read_header']

FORMATS = 'JPEG, PNG, TIFF, WebP, BMP or GIF'
"""The formats whose headers are read here."""

MAX_SCANS = 100
"""Most scans of a progressive JPEG: encoders write some ten, each as costly as a whole image."""

_JPEG_END = b'\xff\xd9'
# SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC): ITU-T T.81, table B.1.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD8)))
# Behind the frame header: any marker but those that stand inside of scans.
_JPEG_MARKER = re.compile(rb'\xff+[^\x00\xff\xd0-\xd7]')
# A camera writes some ten segments or tags; thousands are an attack or rubbish.
_MOST_PARTS = 1000

_TIFF_WIDTHS = frozenset((256, 322))
_TIFF_HEIGHTS = frozenset((257, 323))
_TIFF_KINDS = {3: 'H', 4: 'I'}


class Header(NamedTuple):
    """Declared size in pixels, whether the data reach their end marker, and scans of a JPEG.

    No more scans than MAX_SCANS + 1 are counted.
    """

    width: int
    height: int
    complete: bool = True
    scans: int = 1


def read_header(data: bytes) -> Header | None:
    """Read the header of one of `FORMATS`; None for others and for damaged ones.

    Whether anything but a JPEG or PNG is complete is not looked at: OpenCV refuses it where it
    is not.
    """
    for signature, read in _READERS.items():
        if data.startswith(signature):
            try:
                return read(data)
            except struct.error:  # they end in the header
                return None
    return None


def check_scans(header: Header, image: str) -> None:
    """Raise FrameError for a JPEG of so many scans that it would take minutes to decode."""
    if header.scans > MAX_SCANS:
        raise FrameError(
            'too_many_scans',
            f'{image} is a progressive JPEG of more than {MAX_SCANS} scans, the limit: save it '
            'as an ordinary JPEG',
        )


def _read_png(data: bytes) -> Header:
    width, height = unpack_from('>II', data, 16)
    return Header(width, height, complete=b'IEND' in data[24:])


def _read_gif(data: bytes) -> Header:
    # One of 900 bytes can promise 32,000 x 32,000 pixels, and OpenCV fills 7 GB in 16 s.
    return Header(*unpack_from('<HH', data, 6))


def _read_bmp(data: bytes) -> Header:
    (header_bytes,) = unpack_from('<I', data, 14)
    width, height = unpack_from('<HH' if header_bytes == 12 else '<ii', data, 18)
    return Header(abs(width), abs(height))


def _read_webp(data: bytes) -> Header | None:
    """Read RFC 9649, section 2.5 to 2.7."""
    kind = data[8:16]
    if kind == b'WEBPVP8X':
        low_w, high_w, low_h, high_h = unpack_from('<HBHB', data, 24)
        return Header((high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1)
    if kind == b'WEBPVP8L':
        (bits,) = unpack_from('<I', data, 21)
        return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b'WEBPVP8 ':
        width, height = unpack_from('<HH', data, 26)
        return Header(width & 0x3FFF, height & 0x3FFF)
    return None


def _read_tiff(data: bytes) -> Header | None:
    """Read the first directory of TIFF 6.0, section 2; the larger of image and tile counts.

    A picture of 16 x 16 pixels in one tile of 12,000 x 12,000 is 1.9 MB of data, for which
    OpenCV fills 565 MB.
    """
    order = '<' if data.startswith(b'II') else '>'
    (directory,) = unpack_from(f'{order}I', data, 4)
    (count,) = unpack_from(f'{order}H', data, directory)
    if count > _MOST_PARTS:
        return None
    width = height = 0
    for at in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, values = unpack_from(f'{order}HHI', data, at)
        if tag not in _TIFF_WIDTHS | _TIFF_HEIGHTS:
            continue
        if kind not in _TIFF_KINDS or values != 1:
            return None
        (side,) = unpack_from(order + _TIFF_KINDS[kind], data, at + 8)
        if tag in _TIFF_WIDTHS:
            width = max(width, side)
        else:
            height = max(height, side)
    return Header(width, height)


def _read_jpeg(data: bytes) -> Header | None:
    """Walk the segments of ITU-T T.81, B.1.1 up to the frame header, past rubbish as libjpeg."""
    at = 2
    for _ in range(_MOST_PARTS):
        at = data.find(b'\xff', at)
        if at < 0:
            return None
        marker, length = unpack_from('>BH', data, at + 1)
        if marker in (0x00, 0xFF):
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            height, width = unpack_from('>HH', data, at + 5)
            # A preview inside the EXIF segment has an end marker too, before this place.
            complete = data.rfind(_JPEG_END, at) >= 0
            return Header(width, height, complete, _scans(data, at + 2 + length))
        else:
            at += 2 + length
    return None


def _scans(data: bytes, at: int) -> int:
    """Count the scans behind the frame header, which ends at `at`; too many segments are, too."""
    scans = 0
    for _ in range(_MOST_PARTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None or found[0][-1:] == _JPEG_END[1:] or found.end() + 2 > len(data):
            return scans
        scans += found[0][-1] == _JPEG_SCAN
        if scans > MAX_SCANS:
            return scans
        at = found.end() + int(unpack_from('>H', data, found.end())[0])
    return MAX_SCANS + 1


_READERS: dict[bytes, Callable[[bytes], Header | None]] = {
    b'\xff\xd8': _read_jpeg,
    b'\x89PNG\r\n\x1a\n': _read_png,
    b'GIF87a': _read_gif,
    b'GIF89a': _read_gif,
    b'BM': _read_bmp,
    b'RIFF': _read_webp,
    b'II*\0': _read_tiff,
    b'MM\0*': _read_tiff,
}
