"""Picture files to arrays: every format, turned, composed, stretched; and what is refused."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from rig import picture

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.media.pictures import picture_suffixes, read_animation, read_picture
from depth_anything_ros.media.sources import open_source

BGR = picture(64, 48, seed=1)
RGB = Image.fromarray(BGR[..., ::-1].copy())


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


@pytest.mark.parametrize(
    'ending', ['.png', '.bmp', '.tif', '.ppm', '.tga', '.jp2', '.avif', '.heic', '.webp', '.jpg']
)
def test_formats(tmp_path: Path, ending: str) -> None:
    if ending == '.heic':
        pytest.importorskip('pillow_heif').register_heif_opener()
    path = tmp_path / f'a{ending}'
    RGB.save(path, **({'quality': 95} if ending in ('.avif', '.heic', '.webp', '.jpg') else {}))
    assert ending in picture_suffixes()
    read = read_picture(path)
    assert read.changes == ()
    assert correlation(read.bgr, BGR) > 0.99


@pytest.mark.parametrize('ending', ['.pdf', '.eps', '.mpg', '.h5'])
def test_what_needs_another_program_is_no_picture(ending: str) -> None:
    assert ending not in picture_suffixes()


@pytest.mark.parametrize('ending', ['.jpg', '.tif', '.png', '.webp'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientation(tmp_path: Path, ending: str, orientation: int) -> None:
    path = tmp_path / f'a{ending}'
    exif = Image.Exif()
    exif[0x0112] = orientation
    RGB.save(path, exif=exif, **({'quality': 95} if ending in ('.jpg', '.webp') else {}))
    stored = BGR
    expected = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    bgr = read_picture(path).bgr
    assert bgr.shape == expected.shape
    assert correlation(bgr, expected) > 0.99


@pytest.mark.parametrize('deep', [False, True])
def test_transparency_is_laid_over_white(tmp_path: Path, deep: bool) -> None:
    bgra = np.dstack([BGR, np.full(BGR.shape[:2], 255, np.uint8)])
    bgra[:20, ..., 3] = 0
    levels = bgra.astype(np.uint16) * 257 if deep else bgra
    cv2.imwrite(str(tmp_path / 'a.png'), levels)
    read = read_picture(tmp_path / 'a.png')
    assert [kind for kind, _ in read.changes] == ['transparency']
    assert (read.bgr[:20] == 255).all()
    assert (read.bgr[20:] == BGR[20:]).all()
    bgra[..., 3] = 255
    cv2.imwrite(str(tmp_path / 'a.png'), bgra)
    assert read_picture(tmp_path / 'a.png').changes == ()


@pytest.mark.parametrize('ending', ['.png', '.tif'])
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize(('low', 'high'), [(7000, 8020), (0, 4095), (0, 65535)])
def test_sixteen_bits(tmp_path: Path, ending: str, channels: int, low: int, high: int) -> None:
    eight = BGR if channels == 3 else BGR[..., 0]
    relative = (eight.astype(float) - eight.min()) / np.ptp(eight)
    levels = np.round(low + relative * (high - low)).astype(np.uint16)
    path = tmp_path / f'a{ending}'
    cv2.imwrite(str(path), levels)
    read = read_picture(path)
    whole = eight if channels == 3 else np.dstack([eight] * 3)
    assert correlation(read.bgr, whole) > 0.99
    assert np.ptp(read.bgr) > 250
    said = [text for kind, text in read.changes if kind == 'stretched']
    if high == 65535:
        assert said == []
    else:
        (text,) = said
        shown = [float(word) for word in text.split() if word.replace('.', '').isdigit()][:2]
        assert shown == pytest.approx([low, high], abs=0.15 * (high - low))


def test_sixteen_bits_are_turned(tmp_path: Path) -> None:
    levels = BGR.astype(np.uint16) * 257
    content = cv2.imencode('.png', levels)[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    chunk = b'eXIf' + exif.tobytes()[6:]
    chunk = struct.pack('>I', len(chunk) - 4) + chunk + struct.pack('>I', zlib.crc32(chunk))
    (tmp_path / 'a.png').write_bytes(content[:33] + chunk + content[33:])
    assert (read_picture(tmp_path / 'a.png').bgr == np.rot90(BGR, -1)).all()


def test_floats(tmp_path: Path) -> None:
    values = BGR[..., 0].astype(np.float32) / 1000
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / 'a.tif')
    read = read_picture(tmp_path / 'a.tif')
    assert read.changes[0][0] == 'stretched'
    assert correlation(read.bgr[1:, :, 0], BGR[1:, :, 0]) > 0.99


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'LA', 'CMYK', 'YCbCr', 'LAB'])
def test_colour_spaces(tmp_path: Path, mode: str) -> None:
    image = RGB
    if mode == 'LAB':
        from PIL import ImageCms

        profiles = ImageCms.createProfile('sRGB'), ImageCms.createProfile('LAB')
        image = ImageCms.applyTransform(
            RGB, ImageCms.buildTransform(*profiles, inMode='RGB', outMode='LAB')
        )
    else:
        image = RGB.convert('L').convert(mode) if mode == 'LA' else RGB.convert(mode)
    path = tmp_path / ('a.png' if mode in ('1', 'L', 'P', 'LA') else 'a.tif')
    image.save(path)
    grey = cv2.cvtColor(BGR, cv2.COLOR_BGR2GRAY)
    found = cv2.cvtColor(read_picture(path).bgr, cv2.COLOR_BGR2GRAY)
    if mode == '1':  # dithered
        found, grey = cv2.blur(found, (7, 7)), cv2.blur(grey, (7, 7))
    assert correlation(found, grey) > 0.95


def test_a_file_with_several_pages(tmp_path: Path) -> None:
    RGB.save(tmp_path / 'a.tif', save_all=True, append_images=[RGB.rotate(90)])
    read = read_picture(tmp_path / 'a.tif')
    assert (read.bgr == BGR).all()
    assert read.changes == (('first_of_several', 'has 2 pictures, of which the first is used'),)


@pytest.mark.parametrize('ending', ['.gif', '.webp', '.png', '.avif'])
def test_animations_have_their_times(tmp_path: Path, ending: str) -> None:
    images = [Image.fromarray(picture(64, 48, seed)[..., ::-1].copy()) for seed in range(3)]
    path = tmp_path / f'a{ending}'
    durations = [40, 120, 300]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations)
    found = list(read_animation(path))
    assert [duration for duration, _ in found] == durations
    for seed, (_, read) in enumerate(found):
        assert correlation(read.bgr, picture(64, 48, seed)) > 0.95


@pytest.mark.parametrize('ending', ['.jpg', '.png', '.tif', '.bmp', '.webp', '.avif', '.gif'])
def test_half_a_file_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f'a{ending}'
    Image.fromarray(picture(256, 192)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FrameError, match=r'a\.\w+ cannot be decoded') as refused:
        read_picture(path)
    assert refused.value.reason == 'unreadable'


def promising(width: int, height: int) -> bytes:
    """Return a whole one-bit PNG of black pixels, of a size that nothing in it takes."""
    head = struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj()
    row = bytes((width + 7) // 8 + 1)
    rows = b''.join(packer.compress(row) for _ in range(min(height, 500))) + packer.flush()
    content = b'\x89PNG\r\n\x1a\n'
    for kind, data in ((b'IHDR', head), (b'IDAT', rows), (b'IEND', b'')):
        content += struct.pack('>I', len(data)) + kind + data
        content += struct.pack('>I', zlib.crc32(kind + data))
    return content


def test_what_promises_too_many_pixels_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a.png'
    path.write_bytes(promising(40000, 28000))
    with pytest.raises(FrameError, match='40000 x 28000 pixels, more than the limit') as refused:
        read_picture(path)
    assert refused.value.reason == 'image_too_large'
    # A format whose header the node does not read.
    Image.new('1', (12000, 9000)).save(tmp_path / 'a.pcx')
    monkeypatch.setattr(Image.Image, 'load', lambda self: pytest.fail('decoded'))
    with pytest.raises(FrameError, match='12000 x 9000 pixels'):
        read_picture(tmp_path / 'a.pcx')


def test_a_jpeg_of_too_many_scans_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / 'a.jpg'
    RGB.save(path, progressive=True)
    jpeg = path.read_bytes()
    last = jpeg.rindex(b'\xff\xda')
    path.write_bytes(jpeg[:last] + jpeg[last:-2] * 200 + jpeg[-2:])
    with pytest.raises(FrameError, match='more than 100 scans') as refused:
        read_picture(path)
    assert refused.value.reason == 'too_many_scans'


def test_a_name_is_bytes(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b'\xff\xfe.png')
    content = io.BytesIO()
    RGB.save(content, 'png')
    path.write_bytes(content.getvalue())
    assert (read_picture(path).bgr == BGR).all()


def test_a_phone_picture_without_the_plugin_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from depth_anything_ros.media import pictures

    pytest.importorskip('pillow_heif').register_heif_opener()
    RGB.save(tmp_path / 'a.heic')
    monkeypatch.setattr(pictures, '_register_heif', lambda: False)
    monkeypatch.setattr(Image, 'OPEN', {k: v for k, v in Image.OPEN.items() if k != 'HEIF'})
    monkeypatch.setattr(Image, 'ID', [each for each in Image.ID if each != 'HEIF'])
    with pytest.raises(FrameError, match='pip install pillow-heif'):
        read_picture(tmp_path / 'a.heic')


def test_deep_frames_of_a_film_are_stretched_alike(tmp_path: Path) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    scene = 7000 + 4 * BGR[..., 0].astype(np.uint16)
    cv2.imwrite(str(images / '0.png'), scene)
    hot = scene.copy()
    hot[:10, :10] = 12000
    cv2.imwrite(str(images / '1.png'), hot)
    first, second = (shot.read().bgr for shot in open_source(str(images), sequence_hz=9).shots)
    assert (second[10:] == first[10:]).all()
    first, second = (shot.read().bgr for shot in open_source(str(images)).shots)
    assert (second[10:] < first[10:] - 20.0).any()
