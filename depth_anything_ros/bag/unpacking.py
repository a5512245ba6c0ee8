"""Compressed data of bags, unpacked to what they declare and to a limit at most."""

from __future__ import annotations

import shutil
from pathlib import Path

import lz4.frame
import zstandard

__all__ = ['ZSTD', 'unpack_file', 'unpacked']

ZSTD = b'\x28\xb5\x2f\xfd'
"""How a zstd frame begins."""

_MOST_BYTES = 2**30
"""Of a chunk or a message: the largest image that is read has 300 MB."""
_FACTOR, _FREE_BYTES = 1000, 64 * 2**20
"""How much larger than the packed data unpacked ones may be, where nothing declares their size:
a message of more than 64 MiB, or a file of more than 1 GiB."""
_RESERVE_BYTES = 256 * 2**20
_BLOCK_BYTES = 2**20
# A zstd block of a few bytes stands for 128 KiB: one slice of these unpacks to some 8 MB.
_SLICE_BYTES = 256


def unpacked(data: bytes, compression: str, declared: int | None = None) -> bytes:
    """Return the content of a chunk, or of a message whose size nothing has `declared`.

    ValueError where it is damaged, is not of that size, or has more than 1 GiB.
    """
    limit = declared
    if limit is None:
        limit = min(_MOST_BYTES, max(_FREE_BYTES, _FACTOR * len(data)))
    if limit > _MOST_BYTES:
        raise ValueError(f'{declared} bytes are declared, more than the limit of {_MOST_BYTES}')
    content = _unpacked(data, compression, limit)
    if declared not in (None, len(content)):
        raise ValueError(f'{declared} bytes are declared, and {len(content)} are there')
    return content


def _unpacked(data: bytes, compression: str, limit: int) -> bytes:
    if compression in ('', 'none'):
        return data
    try:
        if compression == 'lz4':
            lz4_frame = lz4.frame.LZ4FrameDecompressor()
            content: bytes = lz4_frame.decompress(data, max_length=limit + 1)
            done = lz4_frame.eof
        elif compression == 'zstd':
            size = zstandard.get_frame_parameters(data).content_size
            if size < zstandard.CONTENTSIZE_ERROR:
                if size > limit:
                    raise ValueError(f'it unpacks to {size} bytes, more than {limit}')
                return zstandard.ZstdDecompressor().decompress(data)
            content, done = _by_slices(data, limit)
        else:
            raise ValueError(f'compression {compression[:40]!r} is not known')
    except (zstandard.ZstdError, RuntimeError) as err:
        raise ValueError(str(err)) from err
    if len(content) > limit:
        raise ValueError(f'it unpacks to more than {limit} bytes')
    if not done:
        raise ValueError('compressed data end too early')
    return content


def _by_slices(data: bytes, limit: int) -> tuple[bytes, bool]:
    """Return the content of a zstd frame of unknown size, and whether it came to its end."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    content = bytearray()
    for at in range(0, len(data), _SLICE_BYTES):
        if frame.eof:
            break
        if len(content) > limit:
            raise ValueError(f'it unpacks to more than {limit} bytes')
        content += frame.decompress(data[at : at + _SLICE_BYTES])
    return bytes(content), frame.eof


def unpack_file(packed: Path, target: Path) -> str:
    """Unpack a zstd file as far as it goes; return what stopped it before its end, or ''.

    ValueError where it has no content, OSError where the disk of `target` has no room for it.
    """
    limit = max(_MOST_BYTES, _FACTOR * packed.stat().st_size)
    done = 0
    with packed.open('rb') as source, target.open('wb') as sink:
        reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
        try:
            while block := reader.read(_BLOCK_BYTES):
                if shutil.disk_usage(target.parent).free < _RESERVE_BYTES:
                    raise OSError(
                        f'no room in {target.parent} to unpack it: set TMPDIR to a folder on '
                        'another disk'
                    )
                done += sink.write(block)
                if done > limit:
                    return f'it unpacks to more than {limit} bytes'
        except zstandard.ZstdError as err:
            if not done:
                raise ValueError(str(err)) from err
            return str(err)
    if not done:
        raise ValueError('compressed data end too early')
    return ''
