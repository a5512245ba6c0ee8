"""Depth of files without ROS, through the command line as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from rig import picture

from depth_anything_ros import cli

FAST = ['--weights', 'random', '--device', 'cpu', '--variant', 'demo']


def run(*arguments: str) -> int:
    return cli.main(['run', *arguments, *FAST])


def write_film(path: Path, code: str) -> Path:
    """Write five frames at 10 Hz."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10.0, (64, 48))
    for seed in range(5):
        writer.write(picture(64, 48, seed))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, two of which differ in the ending only, and one that is none."""
    images = tmp_path / 'images'
    images.mkdir()
    cv2.imwrite(str(images / 'a.png'), picture(64, 48, seed=1))
    cv2.imwrite(str(images / 'a.jpg'), picture(48, 64, seed=2))
    cv2.imwrite(str(images / 'b.png'), picture(64, 64, seed=3))
    (images / 'notes.txt').write_text('not an image')
    return images


def test_a_folder_gives_a_picture_of_its_size_for_each_image(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    assert run(str(folder), str(out)) == 0
    shapes = {path.name: cv2.imread(str(path)).shape for path in out.iterdir()}
    assert shapes == {
        'a_png_depth.png': (48, 64, 3),
        'a_jpg_depth.png': (64, 48, 3),
        'b_depth.png': (64, 64, 3),
    }


def test_every_format(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    formats = ('--save', 'color', 'side_by_side', 'png16', 'npy')
    assert run(str(folder / 'b.png'), str(out), *formats) == 0
    assert cv2.imread(str(out / 'b_side_by_side.png')).shape == (64, 128, 3)
    levels = cv2.imread(str(out / 'b_depth16.png'), cv2.IMREAD_UNCHANGED)
    assert levels.dtype == np.uint16
    assert levels.max() == 65535
    inverse_depth = np.load(out / 'b_inverse_depth.npy')
    assert inverse_depth.dtype == np.float32
    order = np.argsort(inverse_depth, axis=None)
    assert (np.diff(levels.ravel()[order].astype(int)) >= 0).all()


def test_stills_do_not_depend_on_each_other(folder: Path, tmp_path: Path) -> None:
    run(str(folder), str(tmp_path / 'all'))
    run(str(folder / 'b.png'), str(tmp_path / 'b.png'))
    alone = (tmp_path / 'b.png').read_bytes()
    assert alone == (tmp_path / 'all' / 'b_depth.png').read_bytes()


def test_a_video_becomes_a_video(tmp_path: Path) -> None:
    film = write_film(tmp_path / 'film.avi', 'MJPG')
    out = tmp_path / 'depth.mp4'
    assert run(str(film), str(out)) == 0
    capture = cv2.VideoCapture(str(out))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    assert capture.read()[1].shape == (48, 64, 3)


def test_an_unusable_image_is_named_and_the_rest_goes_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / 'broken.jpg').write_bytes(b'\xff\xd8 not a jpeg')
    cv2.imwrite(str(folder / 'black.png'), np.zeros((64, 64, 3), np.uint8))
    assert run(str(folder), str(tmp_path / 'out'), '--json') == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary['written'] == 3
    assert set(summary['failed']) == {'broken', 'black'}
    assert 'broken.jpg' in summary['failed']['broken']
    assert not (tmp_path / 'out' / 'black_depth.png').exists()


@pytest.mark.parametrize(
    ('source', 'out', 'said'),
    [
        ('missing.png', 'out', 'does not exist'),
        ('images/notes.txt', 'out', 'neither image nor video'),
        ('empty', 'out', 'holds no image'),
        ('images', 'out.png', 'out.png cannot hold 3 pictures: name a folder'),
        (
            'images/b.png',
            'out.mp4',
            'hold a picture: name a folder, or a file ending in .png',
        ),
        ('film.mp4', 'out.png', 'hold a film: name a folder, or a file ending in .mp4'),
        ('images/b.png', 'images/notes.txt/out', 'cannot be written'),
        ('webcam:99', 'out', 'cannot be opened'),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    out: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    write_film(tmp_path / 'film.mp4', 'mp4v')
    assert run(source, out) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if 'depth_anything:' in line]
    assert len(errors) == 1
    assert said in errors[0]


@pytest.mark.parametrize(
    ('source', 'out'),
    [
        ('images/b.png', 'images/b.png'),
        ('images/b.png', 'images/../images/b.png'),
        ('images/b.png', 'symbolic.png'),
        ('symbolic.png', 'images/b.png'),
        ('images/b.png', 'hard.png'),
        ('images', 'images'),
        ('one', 'one/b.png'),
        ('film.mp4', 'film.mp4'),
    ],
)
def test_what_is_read_is_never_written(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    out: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / 'film.mp4', 'mp4v')
    (tmp_path / 'symbolic.png').symlink_to(folder / 'b.png')
    (tmp_path / 'hard.png').hardlink_to(folder / 'b.png')
    (tmp_path / 'one').mkdir()
    (tmp_path / 'one' / 'b.png').hardlink_to(folder / 'b.png')

    def files_there() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}

    before = files_there()
    assert run(source, out) == 2
    assert f'{out} is what is read: name an output beside it' in capsys.readouterr().err
    assert files_there() == before


def test_the_folder_of_what_is_read_may_take_the_output(folder: Path) -> None:
    assert run(str(folder / 'b.png'), str(folder)) == 0
    assert (folder / 'b_depth.png').exists()
    assert run(str(folder), str(folder / 'depth')) == 0


@pytest.mark.parametrize(('source', 'out'), [('images/b.png', 'out.png'), ('film.mp4', 'out.mkv')])
def test_one_file_takes_one_format(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, out: str
) -> None:
    write_film(tmp_path / 'film.mp4', 'mp4v')
    assert run(str(tmp_path / source), str(tmp_path / out), '--save', 'color', 'npy') == 2
    assert f"{out} is one file: save one of 'color', 'side_by_side'" in capsys.readouterr().err
