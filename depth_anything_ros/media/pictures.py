"""Picture files to BGR arrays: what Pillow reads, within the limits that the node has."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.core.packages import pip_install
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.messages.image_headers import check_scans, read_header
from depth_anything_ros.messages.images import MAX_PIXELS

__all__ = [
    'HEIF',
    'Picture',
    'animation_length',
    'eight_bits',
    'laid_over_white',
    'picture_suffixes',
    'read_animation',
    'read_picture',
]

HEIF = frozenset(('.heic', '.heics', '.heif', '.heifs', '.hif'))
"""Endings of pictures that need pillow-heif."""

# Pages, programs and stubs that need another program, and containers of films.
_NO_PICTURES = {'BUFR', 'EPS', 'FITS', 'GRIB', 'HDF5', 'MPEG', 'PDF', 'WMF'}
_ANIMATED = {'AVIF', 'GIF', 'PNG', 'WEBP'}

_MAX_BYTES = 1 << 30

_DEFAULT_FRAME_MS = 100

_ORIENTATION = 0x0112
_EXIF, _FOCAL_35MM = 0x8769, 0xA405
_BITS_PER_SAMPLE = 258

# The limit here is that of the node; Pillow's own would warn at another.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Picture:
    """An image, uint8 (H, W, 3) BGR, and what was changed to make it: kind and line.

    `focal_35mm` is the focal length in millimetres as on 35 mm film, 0 where EXIF has none.
    """

    bgr: BgrImage
    changes: tuple[tuple[str, str], ...] = ()
    focal_35mm: float = 0.0


@cache
def picture_suffixes() -> frozenset[str]:
    """Return the endings of the files that are taken for pictures, in lower case."""
    _register_heif()
    known = Image.registered_extensions()
    return HEIF | {
        suffix
        for suffix, format_ in known.items()
        if format_ in Image.OPEN and format_ not in _NO_PICTURES
    }


def read_picture(path: Path, levels: Levels | None = None) -> Picture:
    """Return the first picture of a file, turned as its orientation says.

    Pictures that share `levels` are stretched alike.

    FrameError for what the node would refuse, too: cut files, and more pixels than its limit.
    """
    data, image = _open(path)
    changes: list[tuple[str, str]] = []
    if getattr(image, 'n_frames', 1) > 1 and image.format != 'MPO':
        text = f'has {image.n_frames} pictures, of which the first is used'  # type: ignore[attr-defined]
        changes.append(('first_of_several', text))
    return _decoded(path, image, data, changes, levels or Levels())


def animation_length(path: Path) -> int:
    """Return the number of frames where the file is an animation, else 0."""
    try:
        _, image = _open(path)
    except FrameError:
        return 0
    frames = int(getattr(image, 'n_frames', 1))
    return frames if frames > 1 and image.format in _ANIMATED else 0


def read_animation(path: Path) -> Iterator[tuple[int, Picture]]:
    """Return each frame of an animation, with its duration in milliseconds.

    FrameError where the file ends in the middle of a frame.
    """
    _, image = _open(path)
    levels = Levels()
    for index in range(int(getattr(image, 'n_frames', 1))):
        try:
            image.seek(index)
        except Exception as error:  # Pillow raises whatever its parsers do
            raise _undecodable(path, error) from error
        picture = _decoded(path, image, b'', [], levels)
        yield int(image.info.get('duration') or _DEFAULT_FRAME_MS), picture


def laid_over_white(image: Image.Image, changes: list[tuple[str, str]]) -> Image.Image:
    """Return a picture, RGBA, without transparent parts; what was done is added to `changes`."""
    if np.asarray(image)[..., 3].min() == 255:
        return image
    changes.append(('transparency', 'transparent parts are laid over white'))
    return Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)


def _open(path: Path) -> tuple[bytes, Image.Image]:
    """Return the bytes of a file, and the picture, of which only the header has been read."""
    _register_heif()
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise FrameError(
                'image_too_large',
                f'{path} has {size} bytes, more than the limit of {_MAX_BYTES}: shrink it',
            )
        data = path.read_bytes()
    except OSError as error:
        raise FrameError('unreadable', f'{path} cannot be read: {error.strerror}') from error
    header = read_header(data)
    if header is not None:
        _check_size(path, header.width, header.height)
        check_scans(header, str(path))
        if not header.complete:
            raise FrameError(
                'unreadable',
                f'{path} cannot be decoded, it ends before its end marker: copy it again',
            )
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        fix = 'is it a whole image file?'
        if path.suffix.lower() in HEIF and not _register_heif():
            fix = pip_install('pillow_heif')
        raise FrameError('unreadable', f'{path} cannot be decoded: {fix}') from error
    except Exception as error:  # Pillow raises whatever its parsers do
        raise _undecodable(path, error) from error
    _check_size(path, *image.size)
    return data, image


def _decoded(
    path: Path,
    image: Image.Image,
    data: bytes,
    changes: list[tuple[str, str]],
    levels: Levels,
) -> Picture:
    try:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        focal_35mm = float(exif.get_ifd(_EXIF).get(_FOCAL_35MM) or 0)
        deep = _deep_levels(image, data)
        if deep is not None:
            image = Image.fromarray(eight_bits(deep, levels, changes))
            image.getexif()[_ORIENTATION] = orientation
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = laid_over_white(image.convert('RGBA'), changes)
        rgb = np.asarray(image.convert('RGB'))
    except FrameError:
        raise
    except Exception as error:  # Pillow raises whatever its parsers do
        raise _undecodable(path, error) from error
    bgr = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
    return Picture(bgr, tuple(changes), focal_35mm)


def _deep_levels(image: Image.Image, data: bytes) -> npt.NDArray[Any] | None:
    """Return the levels, RGB where there are colours, of a picture of more than 8 bits a channel.

    Pillow keeps those of grey pictures only, and cuts those of colours to 8 bits.
    """
    if image.mode == 'F' or image.mode.startswith('I'):
        return np.asarray(image)
    png = image.format == 'PNG' and data[24:25] == b'\x10'
    tiff = image.format == 'TIFF' and max(image.tag_v2.get(_BITS_PER_SAMPLE, (8,))) > 8  # type: ignore[attr-defined]
    if not (png or tiff):
        return None
    levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.ndim != 3 or levels.dtype == np.uint8:
        return None
    code = cv2.COLOR_BGRA2RGBA if levels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(levels, code))


def eight_bits(
    deep: npt.NDArray[Any], levels: Levels, changes: list[tuple[str, str]]
) -> npt.NDArray[np.uint8]:
    """Return uint8, stretched where the picture uses a small part of its range."""
    eight = levels.eight_bits(deep)
    if levels.note:
        changes.append(('stretched', levels.note))
    if deep.ndim == 3 and deep.shape[2] == 4:
        eight[..., 3] = deep[..., 3] >> 8
    return eight


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise FrameError(
            'image_too_large',
            f'{path} is {width} x {height} pixels, more than the limit of {MAX_PIXELS}: shrink it',
        )


def _undecodable(path: Path, error: Exception) -> FrameError:
    why = ' '.join(str(error).split())[:120] or type(error).__name__
    return FrameError('unreadable', f'{path} cannot be decoded ({why}): copy or export it again')


@cache
def _register_heif() -> bool:
    """Let Pillow read HEIF where pillow-heif is installed; return whether it is."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True
