"""Metres of files: by references of the same names, by the height of the camera, by points."""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from drive import IMAGE, drive
from PIL import Image
from written_film import write_film

from depth_anything_ros import cli
from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.types import Camera
from depth_anything_ros.media import references
from depth_anything_ros.media.formats import encoded
from depth_anything_ros.media.frame_lines import FrameLines
from depth_anything_ros.media.intrinsics import Intrinsics
from depth_anything_ros.media.pictures import Picture, read_picture
from depth_anything_ros.media.references import ReferenceFiles
from depth_anything_ros.messages.images import bgr_from_image
from depth_anything_ros.metric.references import DepthImage, Points

WORLD = drive('room')
PINHOLE = ('--intrinsics', '120', '120', '79.5', '59.5')
NAMES = [f'f{index}' for index in range(4)]


def shots() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return picture and true depth of four images of the drive."""
    images = [message for topic, _, message in WORLD.messages if topic == IMAGE]
    pictures = [bgr_from_image(message).copy() for message in images]
    return list(zip(pictures, WORLD.truth.values(), strict=True))[::5]


SHOTS = shots()
POINTS = np.stack(np.meshgrid(np.arange(160), np.arange(120)), -1) - (79.5, 59.5)


def points_of(depth_m: np.ndarray) -> np.ndarray:
    """Return every ninth pixel as a point in the optical frame."""
    xyz = np.dstack([POINTS / 120, np.ones(depth_m.shape)]) * depth_m[..., None]
    found = xyz.reshape(-1, 3)[::9].astype(np.float32)
    return found[np.isfinite(found).all(axis=1)]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures, and a network that sees their depth up to scale and shift."""
    monkeypatch.setattr('depth_anything_ros.cli.run.load', lambda parameters: WORLD.backend())
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name, (bgr, _) in zip(NAMES, SHOTS, strict=True):
        cv2.imwrite(str(folder / f'{name}.png'), bgr)
    return folder


def run(*words: object) -> int:
    return cli.main(['run', *map(str, words)])


def png(path: Path, depth_m: np.ndarray, levels_per_m: float) -> None:
    levels = np.where(np.isfinite(depth_m), depth_m, 0) * levels_per_m
    cv2.imwrite(str(path.with_suffix('.png')), np.round(levels).astype(np.uint16))


def exr(path: Path, depth_m: np.ndarray) -> None:
    openexr = pytest.importorskip('OpenEXR')
    header = {'type': openexr.scanlineimage, 'compression': openexr.ZIP_COMPRESSION}
    openexr.File(header, {'Z': depth_m}).write(str(path.with_suffix('.exr')))


WRITERS: dict[str, Callable[[Path, np.ndarray], object]] = {
    'millimetres': lambda path, depth: png(path, depth, 1000),
    'kitti': lambda path, depth: png(path, depth, 256),
    'npy': lambda path, depth: np.save(path.with_suffix('.npy'), depth),
    'small npy': lambda path, depth: np.save(path.with_suffix('.npy'), depth[::2, ::2]),
    'exr': exr,
    'points npy': lambda path, depth: np.save(path.with_suffix('.npy'), points_of(depth)),
    'points csv': lambda path, depth: np.savetxt(
        path.with_suffix('.csv'), points_of(depth), delimiter=',', header='x,y,z', comments=''
    ),
    'points txt': lambda path, depth: np.savetxt(path.with_suffix('.txt'), points_of(depth)),
}


def worst_error(out: Path, names: list[str] = NAMES) -> float:
    """Return the greatest median relative error of the metric depth in a folder."""
    worst = 0.0
    for name, (_, truth) in zip(names, SHOTS, strict=False):
        found = np.load(out / f'{name}_depth_m.npy')
        known = np.isfinite(found) & np.isfinite(truth)
        assert known.mean() > 0.5
        worst = max(worst, float(np.median(np.abs(found / truth - 1)[known])))
    return worst


@pytest.mark.parametrize('kind', WRITERS)
def test_references_of_the_same_names_give_metres(
    photos: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    references = tmp_path / 'references'
    references.mkdir()
    for name, (_, depth_m) in zip(NAMES, SHOTS, strict=True):
        WRITERS[kind](references / name, depth_m)
    words = ['--reference', references, '--save', 'depth_m', '--json']
    words += ['--reference-scale', 256] if kind == 'kitti' else []
    words += PINHOLE if 'points' in kind else []
    assert run(photos, tmp_path / 'out', *words) == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)['without_metres'] == {}
    assert worst_error(tmp_path / 'out') < 0.08


def test_the_height_of_the_camera_gives_metres(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ['--camera-height', 0.8, '--camera-pitch', 5, '--fov', 67.4, '--save', 'depth_m']
    # In the other two no floor is visible.
    assert run(photos, tmp_path / 'out', *words) == 1
    said = capsys.readouterr().err
    assert 'left out: 2 (f2, f3)' in said and 'the ground is not visible' in said
    assert 'note: intrinsics by --fov 67.4' in said
    assert worst_error(tmp_path / 'out', NAMES[:2]) < 0.15
    assert 'no metres are written' not in said
    assert run(photos / f'{NAMES[0]}.png', tmp_path / 'out', *words[:-2]) == 0
    assert 'note: no metres are written: add --save depth_m' in capsys.readouterr().err


def test_pictures_without_a_reference_are_named_and_the_others_have_metres(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references, out = tmp_path / 'references', tmp_path / 'out'
    references.mkdir()
    png(references / 'f1', SHOTS[1][1], 1000)
    np.save(references / 'f2.npy', SHOTS[2][1][:80])
    (references / 'f3.exr').write_bytes(b'no EXR')
    lines = tmp_path / 'frames.jsonl'
    words = ['--reference', references, '--frames-json', lines, '--json']
    assert run(photos, out, '--save', 'depth_mm', 'color', *words) == 1
    said = capsys.readouterr()
    summary = json.loads(said.out)
    expected = {'no_reference': ['f0'], 'bad_size': ['f2'], 'bad_reference': ['f3']}
    assert (summary['without_metres'], summary['refused']) == ({}, expected)
    assert f'left out: f0: {references} has no f0.*' in said.err
    assert {path.name for path in out.iterdir()} == {'f1_depth_mm.png', 'f1_depth.png'}
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [each['metric_reason'] for each in found] == [
        'no_reference',
        '',
        'bad_size',
        'bad_reference',
    ]
    assert found[0]['refused']['reason'] == 'no_reference' and found[0]['files'] == []
    assert found[1]['files'] == [str(out / 'f1_depth_mm.png'), str(out / 'f1_depth.png')]
    assert found[1]['metric_source'] == 'reference' and found[1]['scale'] > 0
    assert found[0]['scale'] is None and 'has no f0.*' in found[0]['metric_message']
    assert (found[1]['width'], found[1]['height']) == (160, 120)
    inverse = found[1]['inverse_depth']
    assert inverse['min'] < inverse['median'] < inverse['max']
    assert {'infer', 'align'} <= set(found[1]['ms'])
    # Colour alone needs no metres: every picture is there, and what lacks them is said.
    assert run(photos, tmp_path / 'color', *words) == 1
    assert json.loads(capsys.readouterr().out)['without_metres'] == expected
    assert len(list((tmp_path / 'color').iterdir())) == 4


def test_frames_of_a_film_have_references_by_number_and_hold_their_scale(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references = tmp_path / 'references'
    references.mkdir()
    frames = [SHOTS[0][0]] * 12
    film = write_film(tmp_path / 'film.mkv', frames, codec='ffv1', pixel_format='bgr0')
    png(references / 'frame_000003', SHOTS[0][1], 1000)
    words = ['--reference', references, '--save', 'depth_m', '--json']
    assert run(film, tmp_path / 'out', *words) == 1
    summary = json.loads(capsys.readouterr().out)
    known = [
        bool(np.isfinite(np.load(tmp_path / 'out' / f'frame_{index:06d}_depth_m.npy')).any())
        for index in range(12)
    ]
    # Held for half a second at 10 Hz, and unknown, not older, behind that.
    assert known == [False] * 3 + [True] * 6 + [False] * 3
    assert (summary['written'], summary['held']) == (12, 0)
    assert summary['without_metres']['no_reference'][:3] == [f'frame_{n:06d}' for n in range(3)]


def test_lines_of_frames_go_on_with_the_run(tmp_path: Path) -> None:
    path = tmp_path / 'frames.jsonl'
    path.write_text('{"name": "a"}\n{"name": "b"}\n{"na')
    for kept, expected in ((1, 'ac'), (None, 'acc'), (0, 'c')):
        lines = FrameLines(path)
        lines.begin(kept)
        lines.write({'name': 'c'})
        lines.close()
        found = [json.loads(line)['name'] for line in path.read_text().splitlines()]
        assert ''.join(found) == expected


def points_in(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the comments and the vertices of a binary PLY file."""
    head, _, body = path.read_bytes().partition(b'end_header\n')
    lines = head.decode().splitlines()
    assert lines[:2] == ['ply', 'format binary_little_endian 1.0']
    kinds = {'float': '<f4', 'uchar': 'u1'}
    names = [line.split() for line in lines if line.startswith('property')]
    dtype = np.dtype([(name, kinds[kind]) for _, kind, name in names])
    return [line for line in lines if line.startswith('comment')], np.frombuffer(body, dtype)


def test_a_cloud_of_points_lies_where_they_are(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bgr, truth = SHOTS[0]
    png(tmp_path / 'depth', truth, 1000)
    out = tmp_path / 'f0.ply'
    words = ['--reference', tmp_path / 'depth.png', *PINHOLE]
    assert run(photos / 'f0.png', out, *words) == 0
    assert 'note: intrinsics by --intrinsics' in capsys.readouterr().err
    comments, points = points_in(out)
    assert 'metres' in comments[0] and 'z forward' in comments[0]
    assert 'fx 120.000 fy 120.000 cx 79.500 cy 59.500 of 160 x 120' in comments[1]
    assert len(points) > 8000
    column = np.round(points['x'] / points['z'] * 120 + 79.5).astype(int)
    row = np.round(points['y'] / points['z'] * 120 + 59.5).astype(int)
    colors = np.stack([points[name] for name in ('blue', 'green', 'red')], -1)
    np.testing.assert_array_equal(colors, bgr[row, column])
    assert np.median(np.abs(points['z'] / truth[row, column] - 1)) < 0.08


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ('photos out --save ply', 'add --reference, --camera-height, or --checkpoint metric'),
        ('photos out --reference nowhere', '--reference nowhere does not exist'),
        ('photos out --reference photos/f0.png', 'is one file, and photos more than one picture'),
        ('photos/f0.png out --reference note.md', 'is not a reference: name one of .png .npy'),
        ('film.mkv out --camera-height 1', 'add --fov DEGREES, --intrinsics FX FY CX CY or'),
        ('photos out --camera note.md --save ply', 'note.md is not a calibration: name the YAML'),
        ('photos out --fov 190', '--fov is 190: give degrees between 0 and 180'),
        ('photos out --intrinsics 0 0 1 1', 'no camera has fx=0.0'),
        ('photos out --camera-pitch 5', '--camera-pitch has no effect without --camera-height'),
        (
            'photos out --camera-height 1 --camera-pitch 91',
            '--camera-pitch is 91: give degrees',
        ),
        ('photos out --reference-scale 256', '--reference-scale has no effect without'),
        (
            'film.mkv d.mp4 --frames-json d.mp4',
            'd.mp4 ends as a picture or a film: name it d.json',
        ),
        ('photos out --frames-json nowhere/a', '--frames-json nowhere/a cannot be written'),
    ],
)
def test_what_is_missing_is_asked_for_in_one_line(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'note.md').write_text('a: 1')
    write_film(tmp_path / 'film.mkv', [SHOTS[0][0]])
    assert run(*words.split()) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'depth_anything:' in line]
    assert said in line


def with_exif(focal_mm: int, size: tuple[int, int]) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = focal_mm
    file = io.BytesIO()
    Image.new('RGB', size).save(file, 'jpeg', exif=exif)
    return file.getvalue()


def test_the_lens_is_known_by_exif(tmp_path: Path) -> None:
    intrinsics = Intrinsics()
    (tmp_path / 'a.jpg').write_bytes(with_exif(26, (400, 300)))
    camera = intrinsics.camera(read_picture(tmp_path / 'a.jpg'))
    # A diagonal of 43.27 mm at 26 mm is 79.5 degrees.
    assert 2 * math.degrees(math.atan(250 / camera.fx)) == pytest.approx(79.5, abs=0.1)
    assert (camera.cx, camera.cy) == (199.5, 149.5)
    assert intrinsics.source == 'the focal length in EXIF'
    with pytest.raises(FrameError, match='add --fov DEGREES') as refused:
        Intrinsics().camera(Picture(SHOTS[0][0]))
    assert refused.value.reason == 'no_camera_info'


MATRIX = [120.0, 0.0, 79.5, 0.0, 120.0, 59.5, 0.0, 0.0, 1.0]
CALIBRATION: dict[str, Any] = {
    'image_width': 160,
    'image_height': 120,
    'camera_matrix': {'rows': 3, 'cols': 3, 'data': MATRIX},
    'distortion_model': 'plumb_bob',
    'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [0.1, 0.0, 0.0, 0.0, 0.0]},
    'rectification_matrix': {'rows': 3, 'cols': 3, 'data': np.eye(3).ravel().tolist()},
    'projection_matrix': {'data': [100.0, 0, 80, 0, 0, 100, 60, 0, 0, 0, 1, 0]},
}
ECHOED: dict[str, Any] = {
    'width': 160,
    'height': 120,
    'distortion_model': 'plumb_bob',
    'd': [0.1, 0.0, 0.0, 0.0, 0.0],
    'k': MATRIX,
    'r': [0.0] * 9,
    'p': CALIBRATION['projection_matrix']['data'],
    'binning_x': 0,
    'binning_y': 0,
    'roi': {'x_offset': 0, 'y_offset': 0, 'height': 0, 'width': 0, 'do_rectify': False},
}


@pytest.mark.parametrize('content', [CALIBRATION, ECHOED], ids=['calibration', 'echo'])
def test_a_calibration_file(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text(yaml.safe_dump(content) + '---\n')
    picture = Picture(SHOTS[0][0])
    raw = Intrinsics(calibration=path).camera(picture)
    assert (raw.fx, raw.cx, raw.distortion[0]) == (120.0, 79.5, 0.1)
    rectified = Intrinsics(calibration=path, rectified=True).camera(picture)
    assert rectified == Camera(160, 120, 100.0, 100.0, 80.0, 60.0)
    with pytest.raises(FrameError, match='is for 160 x 120 pixels'):
        Intrinsics(calibration=path).camera(Picture(picture.bgr[:60]))


def test_a_calibration_file_is_plain(tmp_path: Path) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text('a: &a []\nb: *a\n' + yaml.safe_dump(CALIBRATION))
    with pytest.raises(SettingError, match=r'camera.yaml is not a calibration'):
        Intrinsics(calibration=path)


def test_intrinsics_in_pixels_are_for_images_of_one_size() -> None:
    intrinsics = Intrinsics((120.0, 120.0, 79.5, 59.5))
    assert intrinsics.camera(Picture(SHOTS[0][0])).fx == 120.0
    with pytest.raises(FrameError, match='are for one size'):
        intrinsics.camera(Picture(SHOTS[0][0][:60]))


def test_what_a_file_says_of_itself_counts(tmp_path: Path) -> None:
    levels = np.full((12, 16), 500, np.uint16)
    files = ReferenceFiles(tmp_path)

    def written(name: str, **texts: str) -> DepthImage | Points:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        for key, text in texts.items():
            info.add_text(key, text)
        Image.fromarray(levels).save(tmp_path / f'{name}.png', pnginfo=info)
        return files.of(name)

    for texts, depth_m in (({}, 0.5), ({'unit': 'm', 'scale': '0.01'}, 5.0)):
        found = written('a', **texts)
        assert isinstance(found, DepthImage)
        assert found.depth_m[0, 0] == pytest.approx(depth_m)
    with pytest.raises(FrameError, match='it says that it holds relative depth'):
        written('a', scale='0.01', offset='0')


@pytest.mark.parametrize(
    ('name', 'content', 'said'),
    [
        ('a.png', cv2.imencode('.png', SHOTS[0][0])[1].tobytes(), 'it is a picture (RGB)'),
        ('a.png', b'no PNG', 'it is not a PNG'),
        ('a.npy', b'no array', 'cannot be used'),
        ('a.txt', b'1 2\n', 'its lines must be x y z in metres'),
        ('a.csv', b'', 'its lines must be x y z in metres'),
        ('a.exr', encoded('exr', '.exr', SHOTS[0][0], None, 0), 'holds relative depth'),
    ],
)
def test_a_reference_that_is_none_says_why(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    if name == 'a.exr':
        pytest.importorskip('OpenEXR')
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FrameError, match=f'{name} cannot be used') as refused:
        ReferenceFiles(tmp_path).of('a')
    assert said in str(refused.value)
    (tmp_path / 'a.xyz').write_text('1 2 3\n')
    with pytest.raises(FrameError, match='several references'):
        ReferenceFiles(tmp_path).of('a')


@pytest.mark.parametrize('name', ['a.npy', 'a.exr', 'a.txt', 'a.png'])
def test_a_reference_is_no_larger_than_a_limit(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    if name == 'a.npy':
        declared = {'descr': '<f4', 'fortran_order': False, 'shape': (10**9, 10**5)}
        with path.open('wb') as file:
            np.lib.format.write_array_header_1_0(file, declared)
        said = 'mmap length is greater than'
    elif name == 'a.exr':
        pytest.importorskip('OpenEXR')
        content = encoded('depth_exr', '.exr', SHOTS[0][0], None, 0)
        height, width = SHOTS[0][0].shape[:2]
        window = struct.pack('<4i', 0, 0, width - 1, height - 1)
        path.write_bytes(content.replace(window, struct.pack('<4i', 0, 0, 99999, 99999)))
        said = 'it has 10000000000 values, more than the limit of 300000000'
    else:
        monkeypatch.setattr(references, '_MOST_TEXT', 9)
        monkeypatch.setattr(references, '_MOST_BYTES', 9)
        path.write_text('1 2 3\n4 5 6\n')
        said = 'more than 9 bytes'
    with pytest.raises(FrameError) as refused:
        ReferenceFiles(tmp_path).of('a')
    assert said in str(refused.value)


def test_a_reference_in_exr_without_the_library_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'a.exr').touch()
    monkeypatch.setitem(__import__('sys').modules, 'OpenEXR', None)
    with pytest.raises(SettingError, match='pip install OpenEXR'):
        ReferenceFiles(tmp_path).of('a')
