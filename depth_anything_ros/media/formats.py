"""What is written for a frame: pictures, levels and floats, each saying what it holds."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.stream import bounded_size
from depth_anything_ros.media.own_files import MADE_BY
from depth_anything_ros.metric.cloud import compacted

__all__ = ['METRIC', 'SUFFIXES', 'encoded', 'film_comment', 'film_picture', 'lack_of', 'one_of']

SUFFIXES = {
    'color': 'depth.png',
    'side_by_side': 'side_by_side.png',
    'png16': 'depth16.png',
    'npy': 'inverse_depth.npy',
    'exr': 'inverse_depth.exr',
    'depth_mm': 'depth_mm.png',
    'depth_m': 'depth_m.npy',
    'depth_exr': 'depth_m.exr',
    'ply': 'points.ply',
}
"""End of the name of the file of each format in a folder."""

METRIC = frozenset(('depth_mm', 'depth_m', 'depth_exr', 'ply'))
"""Formats in metres."""

_PICTURES = ('color', 'side_by_side')
_LEVELS = ('png16', 'depth_mm')
_IN_ONE_FILE = {
    '.png': _PICTURES + _LEVELS,
    '.npy': ('npy', 'depth_m'),
    '.exr': ('exr', 'depth_exr'),
    '.ply': ('ply',),
    '.mp4': _PICTURES,
    '.mkv': _PICTURES + _LEVELS,
    **dict.fromkeys(('.bmp', '.jpeg', '.jpg', '.ppm', '.tif', '.tiff', '.webp'), _PICTURES),
}

_RELATIVE_TEXT = (
    'relative inverse depth, larger = nearer; inverse depth = offset + scale * level, '
    'clipped below level 0 and above 65535'
)
_VERTEX = np.dtype(
    [('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('red', 'u1'), ('green', 'u1'), ('blue', 'u1')]
)
_RELATIVE_FILM_TEXT = (
    'relative inverse depth, larger = nearer; --frames-json has the bounds of each frame, inverse '
    'depth that is level 0 and 65535'
)
_MILLIMETRES_TEXT = 'depth along Z in millimetres; 0 = unknown or beyond 65.535 m'


def one_of(suffix: str) -> tuple[str, ...]:
    """Return the formats of which a single file with this ending holds one, the usual one first.

    `suffix` in lower case.
    """
    return _IN_ONE_FILE.get(suffix, ())


def film_comment(format_: str) -> str:
    """Return what the levels of a film mean, and who made it."""
    texts = {'png16': _RELATIVE_FILM_TEXT, 'depth_mm': _MILLIMETRES_TEXT}
    return f'{texts.get(format_, "relative depth in colour")}; {MADE_BY}'


def lack_of(formats: tuple[str, ...], frame: Frame) -> FrameError | None:
    """Return why a frame has not the metres or the points that formats hold."""
    if not METRIC.intersection(formats):
        return None
    if frame.depth_m is None:
        return FrameError(frame.reason, frame.message)
    if 'ply' in formats and frame.cloud() is None:
        return frame.missing['points']
    return None


def film_picture(
    format_: str, bgr: BgrImage, frame: Frame | None, max_side: int
) -> npt.NDArray[Any]:
    """Return the picture, uint8 BGR, or the levels, uint16, of one frame of a film.

    Without `frame` there is no depth: it is black, or 0.
    """
    if format_ == 'png16':
        if frame is None:
            return np.zeros(_size(bgr, max_side), np.uint16)
        return np.round(frame.normalized * 65535).astype(np.uint16)
    if format_ == 'depth_mm':
        depth_m = _depth_m(bgr, frame, max_side) * 1000.0
        known = np.isfinite(depth_m) & (depth_m < 65535.5)
        return np.round(np.where(known, depth_m, 0.0)).astype(np.uint16)
    color = np.zeros((*_size(bgr, max_side), 3), np.uint8) if frame is None else frame.color()
    if format_ == 'color':
        return color
    size = color.shape[1], color.shape[0]
    return np.hstack([cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), color])


def encoded(format_: str, suffix: str, bgr: BgrImage, frame: Frame | None, max_side: int) -> bytes:
    """Return the content of a file that ends in `suffix`.

    Without `frame` there is no depth, and without its scale no metres: floats are NaN, and there
    are no points.
    """
    if format_ == 'ply':
        return _ply(frame)
    if format_ in ('npy', 'depth_m', 'exr', 'depth_exr'):
        metric = format_ in METRIC
        if metric:
            values = _depth_m(bgr, frame, max_side)
        elif frame is None:
            values = np.full(_size(bgr, max_side), np.nan, np.float32)
        else:
            values = frame.inverse_depth
        return _exr(values, metric) if 'exr' in format_ else _npy(values)
    picture = film_picture(format_, bgr, frame, max_side)
    try:
        _, content = cv2.imencode(suffix, picture)
    except cv2.error as error:
        raise SettingError(
            f'{picture.shape[1]} x {picture.shape[0]} pixels do not fit {suffix}: use .png'
        ) from error
    text = {'Software': MADE_BY}
    if format_ == 'depth_mm':
        text |= {'Description': _MILLIMETRES_TEXT, 'offset': '0', 'scale': '0.001', 'unit': 'm'}
    elif format_ == 'png16' and frame is not None:
        low, high = frame.bounds
        scale = {'offset': f'{low:.9g}', 'scale': f'{(high - low) / 65535:.9g}'}
        text |= {'Description': _RELATIVE_TEXT, **scale}
    return _with_text(content.tobytes(), text) if suffix == '.png' else _made(content.tobytes())


def _size(bgr: BgrImage, max_side: int) -> tuple[int, int]:
    height, width = bgr.shape[:2]
    return bounded_size(height, width, max_side)


def _depth_m(bgr: BgrImage, frame: Frame | None, max_side: int) -> FloatImage:
    if frame is None or frame.depth_m is None:
        return np.full(_size(bgr, max_side), np.nan, np.float32)
    return frame.depth_m


def _npy(values: FloatImage) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _with_text(png: bytes, texts: dict[str, str]) -> bytes:
    """Return a PNG with Latin-1 text chunks behind its header (PNG specification, 11.3.4.3)."""
    chunks = b''
    for key, text in texts.items():
        content = b'tEXt' + key.encode('latin-1') + b'\0' + text.encode('latin-1')
        chunks += struct.pack('>I', len(content) - 4) + content
        chunks += struct.pack('>I', zlib.crc32(content))
    return png[:33] + chunks + png[33:]


def _made(picture: bytes) -> bytes:
    """Return a picture, which is no PNG, that says who made it."""
    text = MADE_BY.encode()
    if picture.startswith(b'\xff\xd8'):
        # Behind the APP0 of 18 bytes that libjpeg writes.
        return picture[:20] + b'\xff\xfe' + struct.pack('>H', len(text) + 2) + text + picture[20:]
    if picture.startswith(b'P6\n'):
        return b'P6\n# ' + text + picture[2:]
    # Of .bmp, .tif and .webp the header says where the picture ends.
    return picture + text


def _exr(values: FloatImage, metric: bool) -> bytes:
    """Return an OpenEXR file of one float32 channel, uncompressed: Z in metres, or Y."""
    height, width = values.shape
    channel, text = (b'Z', b'metres') if metric else (b'Y', b'inverse depth, larger = nearer')
    window = struct.pack('<4i', 0, 0, width - 1, height - 1)
    attributes = (
        (b'channels', b'chlist', channel + b'\0' + struct.pack('<iB3xii', 2, 0, 1, 1) + b'\0'),
        (b'comments', b'string', text),
        (b'compression', b'compression', b'\0'),
        (b'dataWindow', b'box2i', window),
        (b'displayWindow', b'box2i', window),
        (b'lineOrder', b'lineOrder', b'\0'),
        (b'pixelAspectRatio', b'float', struct.pack('<f', 1.0)),
        (b'screenWindowCenter', b'v2f', struct.pack('<2f', 0.0, 0.0)),
        (b'screenWindowWidth', b'float', struct.pack('<f', 1.0)),
    )
    header = struct.pack('<2i', 20000630, 2)
    for name, kind, value in attributes:
        header += name + b'\0' + kind + b'\0' + struct.pack('<i', len(value)) + value
    header += b'\0'
    rows = np.zeros(height, [('y', '<i4'), ('bytes', '<i4'), ('values', '<f4', (width,))])
    rows['y'], rows['bytes'], rows['values'] = np.arange(height), 4 * width, values
    first = len(header) + 8 * height
    offsets = (first + rows.itemsize * np.arange(height)).astype('<u8')
    return b''.join((header, offsets.tobytes(), rows.tobytes()))


def _ply(frame: Frame | None) -> bytes:
    """Return the points of a frame as a binary PLY file: x, y, z in metres, and their colour."""
    cloud = frame.cloud() if frame is not None else None
    comments = ['metres in the optical frame: x right, y down, z forward']
    vertices = np.zeros(0, _VERTEX)
    if frame is not None and cloud is not None:
        known = compacted(cloud)
        vertices = np.zeros(len(known.points), _VERTEX)
        for axis, name in enumerate('xyz'):
            vertices[name] = known.points[:, axis]
        if known.bgr is not None:
            for channel, name in enumerate(('blue', 'green', 'red')):
                vertices[name] = known.bgr[:, channel]
        camera = frame.camera()
        comments.append(
            f'intrinsics: fx {camera.fx:.3f} fy {camera.fy:.3f} cx {camera.cx:.3f} '
            f'cy {camera.cy:.3f} of {camera.width} x {camera.height} pixels'
        )
    kinds = {'<f4': 'float', '|u1': 'uchar'}
    header = [
        'ply',
        'format binary_little_endian 1.0',
        *(f'comment {each}' for each in comments),
        f'element vertex {len(vertices)}',
        *(f'property {kinds[_VERTEX[name].str]} {name}' for name in _VERTEX.names or ()),
        'end_header',
    ]
    return '\n'.join(header).encode() + b'\n' + vertices.tobytes()
