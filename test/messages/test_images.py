"""Images of every encoding, in the messages of rclpy and in those read from bags."""

from __future__ import annotations

import struct
import sys
import types
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest
from bag_image import BagImage
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.messages.encodings import ENCODINGS
from depth_anything_ros.messages.images import (
    bgr_from_compressed,
    bgr_from_image,
    fill_compressed,
    fill_image,
)

try:
    from sensor_msgs.msg import CompressedImage, Image
except ImportError:
    Image = CompressedImage = None

HEIGHT, WIDTH = 6, 8
REASONS = {
    'bad_compressed',
    'bad_data_size',
    'bad_encoding',
    'bad_size',
    'bad_step',
    'depth_image',
    'empty_image',
    'image_too_large',
    'odd_size',
}


@dataclass
class BagCompressed:
    """sensor_msgs/CompressedImage as rosbags gives it."""

    format: str = ''
    data: Any = b''


def rclpy_image(**fields: Any) -> Any:
    """Return a message of rclpy, its data an array('B') as received."""
    return Image(**fields | {'data': array('B', fields['data'])})


def rclpy_compressed(**fields: Any) -> Any:
    """Return a message of rclpy, its data an array('B') as received."""
    return CompressedImage(**fields | {'data': array('B', fields['data'])})


def bag_image(**fields: Any) -> BagImage:
    """Return a message as rosbags does, its data read-only NumPy."""
    return BagImage(**fields | {'data': np.frombuffer(fields['data'], np.uint8)})


KINDS: dict[str, Callable[..., Any]] = {'bag': bag_image, 'bytes': BagImage}
COMPRESSED: dict[str, Callable[..., Any]] = {'bag': BagCompressed}
if Image is not None:
    KINDS['rclpy'] = rclpy_image
    COMPRESSED['rclpy'] = rclpy_compressed

make_image = pytest.fixture(params=KINDS)(lambda request: KINDS[request.param])
make_compressed = pytest.fixture(params=COMPRESSED)(lambda request: COMPRESSED[request.param])


def rows(pixels: np.ndarray, padding: int = 0) -> tuple[int, bytes]:
    """Return step and bytes of `pixels` with each row followed by `padding` bytes of rubbish."""
    lines = [line.tobytes() + b'\xa5' * padding for line in pixels]
    return len(lines[0]), b''.join(lines)


def fields(
    encoding: str, pixels: np.ndarray, padding: int = 0, big_endian: bool = False
) -> dict[str, Any]:
    """Return the fields of an Image whose rows are `pixels`."""
    if pixels.dtype == np.uint16:
        pixels = pixels.astype('>u2' if big_endian else '<u2')
    step, data = rows(pixels, padding)
    return {
        'height': pixels.shape[0],
        'width': pixels.shape[1],
        'encoding': encoding,
        'is_bigendian': int(big_endian),
        'step': step,
        'data': data,
    }


def noise(channels: int, dtype: type = np.uint8, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    shape = size if channels == 1 else (*size, channels)
    top = np.iinfo(dtype).max + 1
    return np.random.default_rng(0).integers(0, top, shape, dtype)


# Which channel of the message is blue, green, red.
CHANNELS = {
    'bgr8': (3, (0, 1, 2)),
    'rgb8': (3, (2, 1, 0)),
    'bgra8': (4, (0, 1, 2)),
    'rgba8': (4, (2, 1, 0)),
    'mono8': (1, (0, 0, 0)),
    '8UC1': (1, (0, 0, 0)),
    '8UC3': (3, (0, 1, 2)),
    '8UC4': (4, (0, 1, 2)),
    'bgr16': (3, (0, 1, 2)),
    'rgb16': (3, (2, 1, 0)),
    'bgra16': (4, (0, 1, 2)),
    'rgba16': (4, (2, 1, 0)),
    'mono16': (1, (0, 0, 0)),
    '16UC3': (3, (0, 1, 2)),
    '16UC4': (4, (0, 1, 2)),
}


@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('encoding', CHANNELS)
def test_packed_encodings_are_exact(
    make_image: Callable[..., Any], encoding: str, padding: int, big_endian: bool
) -> None:
    channels, order = CHANNELS[encoding]
    dtype = np.uint16 if '16' in encoding else np.uint8
    pixels = noise(channels, dtype, (5, 7))
    bgr = bgr_from_image(make_image(**fields(encoding, pixels, padding, big_endian)))
    expected = pixels.reshape(5, 7, channels)[..., list(order)]
    if dtype == np.uint16:
        expected = np.rint(expected / 257.0)
    assert bgr.dtype == np.uint8
    np.testing.assert_array_equal(bgr, expected)


@pytest.mark.parametrize('padding', [0, 5])
def test_bgr8_is_a_view_that_cannot_be_written(
    make_image: Callable[..., Any], padding: int
) -> None:
    msg = make_image(**fields('bgr8', noise(3), padding))
    bgr = bgr_from_image(msg)
    assert np.shares_memory(bgr, np.frombuffer(msg.data, np.uint8))
    assert not bgr.flags.writeable
    # OpenCV takes it as it is.
    assert cv2.resize(bgr, (4, 3)).shape == (3, 4, 3)


@pytest.mark.parametrize(
    'data',
    [
        memoryview(noise(3).tobytes()),
        bytearray(noise(3).tobytes()),
        noise(3),
        noise(3).reshape(-1).repeat(2)[::2],
        noise(3).reshape(-1).view('>u2'),
    ],
    ids=['memoryview', 'bytearray', 'ndarray', 'strided', 'words'],
)
def test_any_buffer_is_read(data: Any) -> None:
    msg = BagImage(**fields('bgr8', noise(3)) | {'data': data})
    np.testing.assert_array_equal(bgr_from_image(msg), noise(3))


def bt601(luma: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return B, G, R from limited-range YUV by ITU-R BT.601, derived from its luma weights."""
    red, blue = 0.299, 0.114
    green = 1.0 - red - blue
    y = np.maximum(luma.astype(float) - 16.0, 0.0) / 219.0
    pb, pr = (u.astype(float) - 128.0) / 112.0, (v.astype(float) - 128.0) / 112.0
    b = y + (1.0 - blue) * pb
    r = y + (1.0 - red) * pr
    g = (y - red * r - blue * b) / green
    return np.clip(255.0 * np.stack((b, g, r), axis=-1), 0.0, 255.0)


def yuv(chroma_rows: int, chroma_columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    luma = rng.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    u, v = rng.integers(0, 256, (2, chroma_rows, chroma_columns), np.uint8)
    return luma, u, v


# cv2 works with 1.164, 1.596, 0.813, 0.391, 2.018 and rounds once: within one level.
YUV_TOLERANCE = 1.0


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize(
    ('encoding', 'places'),
    [
        ('uyvy', (1, 3, 0, 2)),
        ('yuv422', (1, 3, 0, 2)),
        ('yuyv', (0, 2, 1, 3)),
        ('yuv422_yuy2', (0, 2, 1, 3)),
    ],
)
def test_yuv422_is_bt601(
    make_image: Callable[..., Any], encoding: str, places: tuple[int, ...], padding: int
) -> None:
    luma, u, v = yuv(HEIGHT, WIDTH // 2)
    quads = np.empty((HEIGHT, WIDTH // 2, 4), np.uint8)
    for place, plane in zip(places, (luma[:, ::2], luma[:, 1::2], u, v), strict=True):
        quads[..., place] = plane
    msg = make_image(**fields(encoding, quads.reshape(HEIGHT, WIDTH, 2), padding))
    expected = bt601(luma, u.repeat(2, axis=1), v.repeat(2, axis=1))
    np.testing.assert_allclose(bgr_from_image(msg), expected, atol=YUV_TOLERANCE)


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'nv24'])
def test_semi_planar_is_bt601(make_image: Callable[..., Any], encoding: str, padding: int) -> None:
    shared = 1 if encoding == 'nv24' else 2
    luma, u, v = yuv(HEIGHT // shared, WIDTH // shared)
    pairs = np.stack((v, u) if encoding == 'nv21' else (u, v), axis=-1)
    step, luma_bytes = rows(luma, padding)
    # The chroma of nv24 has rows twice as long, and so twice the padding.
    _, chroma_bytes = rows(pairs, padding * (3 - shared))
    values = fields(encoding, luma) | {'step': step, 'data': luma_bytes + chroma_bytes}
    u, v = (plane.repeat(shared, axis=0).repeat(shared, axis=1) for plane in (u, v))
    bgr = bgr_from_image(make_image(**values))
    np.testing.assert_allclose(bgr, bt601(luma, u, v), atol=YUV_TOLERANCE)
    if not padding:
        # Some drivers count every plane in step.
        planes = 3 if encoding == 'nv24' else 1.5
        counted = bgr_from_image(make_image(**values | {'step': int(WIDTH * planes)}))
        np.testing.assert_array_equal(counted, bgr)


BAYER = ('rggb', 'bggr', 'gbrg', 'grbg')


@pytest.mark.parametrize('size', [(6, 8), (5, 7), (3, 3)])
@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('order', BAYER)
def test_bayer_gives_a_plain_colour_back(
    make_image: Callable[..., Any], order: str, bits: int, size: tuple[int, int]
) -> None:
    bgr = (30, 120, 210)
    levels = {'b': bgr[0], 'g': bgr[1], 'r': bgr[2]}
    tile = np.array([levels[colour] for colour in order]).reshape(2, 2)
    mosaic = np.tile(tile, (4, 4))[: size[0], : size[1]]
    pixels = mosaic.astype(np.uint8) if bits == 8 else (mosaic * 257).astype(np.uint16)
    msg = make_image(**fields(f'bayer_{order}{bits}', pixels, padding=2))
    np.testing.assert_array_equal(bgr_from_image(msg), np.full((*size, 3), bgr))


def test_every_encoding_is_tested() -> None:
    yuv_names = {'uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2', 'nv12', 'nv21', 'nv24'}
    bayer = {f'bayer_{order}{bits}' for order in BAYER for bits in (8, 16)}
    assert set(ENCODINGS) == set(CHANNELS) | yuv_names | bayer


GOOD = fields('bgr8', noise(3))
REFUSED = [
    pytest.param({'encoding': '16UC1'}, 'depth_image', 'reference:=', id='16UC1'),
    pytest.param({'encoding': '32FC1'}, 'depth_image', 'that is a depth image', id='32FC1'),
    pytest.param({'encoding': 'h264'}, 'bad_encoding', 'rgb8', id='unknown encoding'),
    pytest.param({'encoding': ''}, 'bad_encoding', "''", id='no encoding'),
    pytest.param({'width': 0}, 'empty_image', '0 x 6', id='no width'),
    pytest.param({'height': 0}, 'empty_image', '8 x 0', id='no height'),
    pytest.param({'data': b''}, 'empty_image', 'no data', id='no data'),
    pytest.param({'width': 2**31, 'height': 2**31}, 'image_too_large', '100000000', id='huge'),
    pytest.param({'step': 23}, 'bad_step', '23 bytes', id='short step'),
    pytest.param({'step': 0}, 'bad_step', '24', id='no step'),
    pytest.param({'step': 25}, 'bad_data_size', '144 bytes', id='long step'),
    pytest.param({'height': 7}, 'bad_data_size', '168', id='truncated data'),
    pytest.param({'height': 5}, 'bad_data_size', '120', id='data too long'),
    pytest.param({'encoding': 'rgba16'}, 'bad_step', '64', id='another encoding'),
    pytest.param({'encoding': 'yuyv', 'width': 7}, 'odd_size', '7 x 6', id='odd yuyv'),
    pytest.param({'encoding': 'nv12', 'height': 5}, 'odd_size', '8 x 5', id='odd nv12'),
    pytest.param({'encoding': 'nv21', 'width': 9}, 'odd_size', '9 x 6', id='odd nv21'),
    pytest.param({'encoding': 'nv12', 'step': 7}, 'bad_step', '7 bytes', id='short nv12'),
    pytest.param({'encoding': 'nv24', 'height': 5}, 'bad_data_size', '360', id='wrong nv24'),
    pytest.param({'encoding': 'bayer_rggb8', 'width': 2}, 'bad_size', '3 x 3', id='tiny bayer'),
]


@pytest.fixture
def no_cv_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make importing cv_bridge fail, installed or not."""
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)


@pytest.mark.usefixtures('no_cv_bridge')
@pytest.mark.parametrize(('changes', 'reason', 'text'), REFUSED)
def test_what_is_wrong_is_said(
    make_image: Callable[..., Any], changes: dict[str, Any], reason: str, text: str
) -> None:
    with pytest.raises(FrameError) as raised:
        bgr_from_image(make_image(**GOOD | changes))
    assert raised.value.reason == reason
    assert text in str(raised.value)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('data', [None, [1, 2, 3], 'text', 5])
def test_data_that_are_no_bytes_are_refused(data: Any) -> None:
    with pytest.raises(FrameError, match='not a buffer'):
        bgr_from_image(BagImage(**GOOD | {'data': data}))


def test_the_limit_of_pixels_is_the_callers() -> None:
    msg = BagImage(**GOOD)
    assert bgr_from_image(msg, max_pixels=48).shape == (6, 8, 3)
    with pytest.raises(FrameError, match='limit of 47'):
        bgr_from_image(msg, max_pixels=47)


def bridge(monkeypatch: pytest.MonkeyPatch, convert: Callable[..., Any]) -> None:
    """Install a cv_bridge that converts so."""
    module = types.ModuleType('cv_bridge')
    convert_method = staticmethod(convert)
    module.CvBridge = type('CvBridge', (), {'imgmsg_to_cv2': convert_method})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)


def test_the_rest_goes_to_cv_bridge(
    make_image: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def convert(msg: Any, wanted: str) -> np.ndarray:
        asked.append((msg.encoding, wanted))
        return noise(3)

    bridge(monkeypatch, convert)
    bgr = bgr_from_image(make_image(**GOOD | {'encoding': 'special'}))
    np.testing.assert_array_equal(bgr, noise(3))
    assert asked == [('special', 'bgr8')]


def raising(*_: Any) -> Any:
    raise RuntimeError('Unrecognized image encoding')


@pytest.mark.parametrize(
    ('convert', 'text'),
    [
        (raising, 'refuses it (Unrecognized image encoding)'),
        (lambda *_: noise(1), 'cv_bridge made uint8 of shape (6, 8)'),
        (lambda *_: None, 'cv_bridge made object'),
    ],
)
def test_what_cv_bridge_cannot_do_is_said(
    monkeypatch: pytest.MonkeyPatch, convert: Callable[..., Any], text: str
) -> None:
    bridge(monkeypatch, convert)
    with pytest.raises(FrameError) as raised:
        bgr_from_image(BagImage(**GOOD | {'encoding': 'special'}))
    assert raised.value.reason == 'bad_encoding'
    assert text in str(raised.value)


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    """Return a smooth picture, which JPEG keeps well."""
    y, x = np.mgrid[0:height, 0:width]
    levels = (x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height))
    return np.stack(levels, axis=-1).astype(np.uint8)


def encoded(extension: str, image: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(extension, image, options)
    assert done
    return data.tobytes()


FORMATS = [
    'jpeg',
    'jpg',
    'JPEG',
    '',
    'rgb8; jpeg compressed bgr8',
    'bgr8; jpeg compressed bgr8',
    'mono8; jpeg compressed mono8',
    'bayer_rggb8; jpeg compressed bgr8',
]


@pytest.mark.parametrize('format_', FORMATS)
def test_jpeg_under_any_name(make_compressed: Callable[..., Any], format_: str) -> None:
    msg = make_compressed(format=format_, data=encoded('.jpg', picture()))
    bgr = bgr_from_compressed(msg)
    # Quality 95 and halved chroma on a smooth picture.
    assert np.abs(bgr.astype(int) - picture()).mean() < 3.0


@pytest.mark.parametrize('extension', ['.png', '.bmp', '.tiff', '.webp'])
def test_every_lossless_format_is_exact(
    make_compressed: Callable[..., Any], extension: str
) -> None:
    options = {'.webp': (cv2.IMWRITE_WEBP_QUALITY, 101)}.get(extension, ())
    data = encoded(extension, picture(), *options)
    msg = make_compressed(format=f'bgr8; {extension[1:]} compressed bgr8', data=data)
    np.testing.assert_array_equal(bgr_from_compressed(msg), picture())


def test_grey_alpha_and_16_bit_become_bgr8(make_compressed: Callable[..., Any]) -> None:
    grey = noise(1)
    deep = noise(1, np.uint16)
    colors = noise(3, np.uint16)
    alpha = noise(4)
    for image, expected in (
        (grey, np.dstack([grey] * 3)),
        (deep, np.dstack([np.round(deep / 257)] * 3)),
        (alpha, alpha[..., :3]),
        (colors, np.round(colors / 257)),
    ):
        bgr = bgr_from_compressed(make_compressed(format='png', data=encoded('.png', image)))
        assert bgr.dtype == np.uint8
        np.testing.assert_array_equal(bgr, expected)


@pytest.mark.parametrize('encoding', ['mono16', 'rgb16', 'bgra16', 'bayer_rggb16', 'png'])
@pytest.mark.parametrize(('low', 'high'), [(7000, 8020), (0, 1023)])
def test_a_small_part_of_16_bits_is_stretched(encoding: str, low: int, high: int) -> None:
    channels = CHANNELS.get(encoding, (1, ()))[0]
    wide = noise(channels, np.uint16, (48, 64))
    deep = (low + wide * ((high - low) / 65535)).astype(np.uint16)
    levels = Levels()
    if encoding == 'png':
        bgr = bgr_from_compressed(BagCompressed('png', encoded('.png', deep)), levels=levels)
        same = bgr_from_compressed(BagCompressed('png', encoded('.png', wide)))
    else:
        bgr = bgr_from_image(BagImage(**fields(encoding, deep, big_endian=True)), levels=levels)
        same = bgr_from_image(BagImage(**fields(encoding, wide)))
    assert np.abs(bgr.astype(int) - same).max() <= 3
    assert levels.note.startswith('levels ')


def of_many_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan comes `count` times."""
    jpeg = encoded('.jpg', picture(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = jpeg.rindex(b'\xff\xda')
    return jpeg[:last] + jpeg[last:-2] * count + jpeg[-2:]


def test_a_jpeg_of_too_many_scans_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert bgr_from_compressed(BagCompressed('jpeg', of_many_scans(50))).shape == (48, 64, 3)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('decoded'))
    # An end marker inside of a segment ends nothing.
    hidden = b'\xff\xfe\0\4\xff\xd9'
    many = of_many_scans(4000)
    first = many.index(b'\xff\xc4', many.index(b'\xff\xc2'))
    segments = many[:first] + b'\xff\xfe\0\2' * 100_000 + many[first:]
    for data in (many, many[:first] + hidden + many[first:], segments):
        with pytest.raises(FrameError, match='more than 100 scans') as refused:
            bgr_from_compressed(BagCompressed('jpeg', data))
        assert refused.value.reason == 'too_many_scans'


def test_exif_orientation_is_ignored() -> None:
    jpeg = encoded('.jpg', picture())
    # One entry: orientation (0x0112), a short, 6 = turn by 90 degrees.
    tiff = b'II*\0' + struct.pack('<IHHHIHHI', 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b'Exif\0\0' + tiff
    turned = jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif + jpeg[2:]
    decoded = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (64, 48, 3)  # the header is one that OpenCV would follow
    assert bgr_from_compressed(BagCompressed('jpeg', turned)).shape == (48, 64, 3)


@pytest.mark.parametrize(
    'format_',
    [
        '16UC1; compressedDepth png',
        '32FC1; compressedDepth',
        '32FC1; compressedDepth rvl',
        '16UC1; png compressed ',
        '16UC1',
    ],
)
def test_compressed_depth_is_refused(make_compressed: Callable[..., Any], format_: str) -> None:
    msg = make_compressed(format=format_, data=encoded('.png', noise(1, np.uint16)))
    with pytest.raises(FrameError, match='reference:=') as raised:
        bgr_from_compressed(msg)
    assert raised.value.reason == 'depth_image'


JPEG = encoded('.jpg', picture())
PNG = encoded('.png', picture())
SOF = JPEG.index(b'\xff\xc0')
JPEG_BOMB = JPEG[: SOF + 5] + struct.pack('>HH', 65500, 65500) + JPEG[SOF + 9 :]
PNG_BOMB = PNG[:16] + struct.pack('>II', 100_000, 100_000) + PNG[24:]
# A byte of the compressed pixels, so that the checksums no longer hold.
DAMAGED_PNG = PNG[:60] + bytes([PNG[60] ^ 0xFF]) + PNG[61:]
BROKEN = [
    pytest.param(b'', 'empty_image', 'no data', id='empty'),
    pytest.param(b'\0' * 100, 'bad_compressed', 'no whole header', id='zeros'),
    pytest.param(b'\0\0\0\1\x67rest', 'bad_compressed', '00 00 00 01', id='h264'),
    pytest.param(JPEG[:-2], 'bad_compressed', 'end marker', id='JPEG without its end'),
    pytest.param(JPEG[: len(JPEG) // 2], 'bad_compressed', 'end marker', id='half a JPEG'),
    pytest.param(JPEG[:10], 'bad_compressed', 'no whole header', id='a JPEG of ten bytes'),
    pytest.param(b'\xff' * 5000, 'bad_compressed', 'no whole header', id='fill bytes'),
    pytest.param(b'\xff\xd8' + b'\xff' * 5000, 'bad_compressed', 'no whole header', id='fill'),
    pytest.param(PNG[: len(PNG) // 2], 'bad_compressed', 'end marker', id='half a PNG'),
    pytest.param(PNG[:20], 'bad_compressed', 'no whole header', id='a PNG of twenty bytes'),
    pytest.param(DAMAGED_PNG, 'bad_compressed', 'cannot be decoded', id='a damaged PNG'),
    pytest.param(JPEG_BOMB, 'image_too_large', '65500 x 65500', id='JPEG bomb'),
    pytest.param(PNG_BOMB, 'image_too_large', '100000 x 100000', id='PNG bomb'),
]


@pytest.mark.parametrize(('data', 'reason', 'text'), BROKEN)
def test_broken_compressed_images_are_refused(
    make_compressed: Callable[..., Any], data: bytes, reason: str, text: str
) -> None:
    with pytest.raises(FrameError) as raised:
        bgr_from_compressed(make_compressed(format='jpeg', data=data))
    assert raised.value.reason == reason
    assert text in str(raised.value)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('extension', ['.ppm', '.ras', '.jp2', '.hdr', '.pam'])
def test_a_format_whose_header_is_not_read_is_never_decoded(
    extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(extension, picture().astype(np.float32) if extension == '.hdr' else picture())
    monkeypatch.delattr(cv2, 'imdecode')
    with pytest.raises(FrameError, match='no whole header of a JPEG, PNG, TIFF, WebP') as raised:
        bgr_from_compressed(BagCompressed('', data))
    assert raised.value.reason == 'bad_compressed'


def test_rubbish_between_the_segments_of_a_jpeg_is_passed_over() -> None:
    # As libjpeg does, with a warning: some cameras pad so.
    padded = JPEG[:2] + b'\xff\0\0\x05' + JPEG[2:]
    bgr = bgr_from_compressed(BagCompressed('jpeg', padded))
    np.testing.assert_array_equal(bgr, bgr_from_compressed(BagCompressed('jpeg', JPEG)))


def test_padding_behind_a_jpeg_is_no_fault() -> None:
    # Drivers send the whole buffer of the camera.
    bgr = bgr_from_compressed(BagCompressed('jpeg', JPEG + bytes(5000)))
    np.testing.assert_array_equal(bgr, bgr_from_compressed(BagCompressed('jpeg', JPEG)))


@pytest.mark.parametrize('extension', ['.jpg', '.png', '.bmp', '.tiff', '.webp'])
def test_the_limit_of_pixels_holds_for_every_format(extension: str) -> None:
    msg = BagCompressed('', encoded(extension, picture(10, 10)))
    assert bgr_from_compressed(msg, max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(FrameError, match='limit of 99'):
        bgr_from_compressed(msg, max_pixels=99)


FILLS = {
    '32FC1': np.random.default_rng(0).random((6, 8), np.float32),
    'mono8': noise(1),
    'bgr8': noise(3),
}
TARGETS = {'bag': lambda: BagImage(data=np.zeros(0, np.uint8))} | (
    {'rclpy': Image} if Image is not None else {}
)


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('encoding', FILLS)
def test_filled_images_hold_the_pixels(encoding: str, target: str) -> None:
    pixels = FILLS[encoding]
    msg = TARGETS[target]()
    fill_image(msg, pixels, encoding)
    assert (msg.height, msg.width, msg.encoding) == (6, 8, encoding)
    assert msg.is_bigendian == (sys.byteorder == 'big')
    assert msg.step == pixels.nbytes // 6
    assert isinstance(msg.data, np.ndarray if target == 'bag' else array)
    data = np.frombuffer(msg.data, pixels.dtype).reshape(pixels.shape)
    np.testing.assert_array_equal(data, pixels)
    assert not np.shares_memory(data, pixels)


def test_a_view_that_is_not_contiguous_is_filled() -> None:
    msg = BagImage()
    fill_image(msg, FILLS['bgr8'][::-1, ::2], 'bgr8')
    np.testing.assert_array_equal(bgr_from_image(msg), FILLS['bgr8'][::-1, ::2])


@pytest.mark.parametrize(
    ('pixels', 'encoding'),
    [(FILLS['bgr8'], 'mono8'), (FILLS['mono8'], 'bgr8'), (np.zeros((6, 8)), '32FC1')],
)
def test_pixels_of_another_type_are_refused(pixels: np.ndarray, encoding: str) -> None:
    with pytest.raises(ValueError, match='does not hold'):
        fill_image(BagImage(), pixels, encoding)


@pytest.mark.parametrize('kind', COMPRESSED)
def test_filled_jpeg_comes_back(kind: str) -> None:
    msg = COMPRESSED[kind](data=b'')
    fill_compressed(msg, picture(), 95)
    assert msg.format == 'bgr8; jpeg compressed bgr8'
    large = len(msg.data)
    assert np.abs(bgr_from_compressed(msg).astype(int) - picture()).mean() < 3.0
    fill_compressed(msg, picture(), 10)
    assert len(msg.data) < large


SIDES = st.integers(0, 9)
UINT32 = st.one_of(SIDES, st.integers(0, 2**32 - 1))
NAMES = [*ENCODINGS, '16UC1', '32FC1', '8UC2', '64FC9', '', 'BGR8', 'jpeg', '\0']
# Bytes per pixel of the encodings, so that many examples get past the checks of size.
PER_PIXEL = [1, 1.5, 2, 3, 4, 6, 8]


@st.composite
def any_image(draw: st.DrawFn) -> dict[str, Any]:
    height, width = draw(SIDES), draw(SIDES)
    step = int(width * draw(st.sampled_from(PER_PIXEL))) + draw(st.integers(0, 2))
    length = step * height * draw(st.sampled_from([2, 3, 6])) // 2
    values = {
        'height': height,
        'width': width,
        'encoding': draw(st.sampled_from(NAMES)),
        'is_bigendian': draw(st.integers(0, 1)),
        'step': step,
        'data': draw(st.sampled_from([b'\0', b'\x80\xff', b'\x13\x57\x9b'])) * length,
    }
    values['data'] = values['data'][:length]
    spoilt = draw(st.sampled_from(['', '', 'height', 'width', 'step', 'data']))
    if spoilt:
        values[spoilt] = draw(st.binary(max_size=99) if spoilt == 'data' else UINT32)
    return values


@given(values=any_image(), kind=st.sampled_from(list(KINDS)))
@settings(max_examples=400, deadline=None)
def test_any_message_gives_an_image_or_a_frame_error(values: dict[str, Any], kind: str) -> None:
    try:
        bgr = bgr_from_image(KINDS[kind](**values))
    except FrameError as error:
        assert error.reason in REASONS
        return
    assert bgr.shape == (values['height'], values['width'], 3)
    assert bgr.dtype == np.uint8


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda whole, cut, at, patch: whole[:at] + patch + whole[at + len(patch) : cut],
            st.sampled_from([JPEG, PNG, encoded('.bmp', noise(3)), encoded('.tiff', noise(3))]),
            st.integers(0, 5000),
            st.integers(0, 1000),
            st.binary(max_size=8),
        ),
    ),
    format_=st.one_of(st.sampled_from(FORMATS), st.text(max_size=100)),
)
@settings(max_examples=400, deadline=None)
def test_any_compressed_message_gives_an_image_or_a_frame_error(data: bytes, format_: str) -> None:
    try:
        bgr = bgr_from_compressed(BagCompressed(format_, data), max_pixels=1_000_000)
    except FrameError as error:
        assert error.reason in REASONS
        return
    assert bgr.ndim == 3
    assert bgr.shape[2] == 3
    assert bgr.dtype == np.uint8
