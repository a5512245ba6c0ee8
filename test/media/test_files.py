"""Depth of files without ROS, through the command line as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from rig import picture
from written_film import frames_of, write_film

from depth_anything_ros import cli

FAST = ['--weights', 'random', '--device', 'cpu', '--variant', 'demo']


def run(*arguments: str) -> int:
    return cli.main(['run', *arguments, *FAST])


FIVE = [picture(64, 48, seed) for seed in range(5)]


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
    film = write_film(tmp_path / 'film.avi', FIVE, codec='mpeg4')
    out = tmp_path / 'depth.mp4'
    assert run(str(film), str(out)) == 0
    capture = cv2.VideoCapture(str(out))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    assert capture.read()[1].shape == (48, 64, 3)


def test_a_name_that_is_too_long_is_left_out_and_the_rest_goes_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = 'a' * 240
    (folder / f'{name}.png').write_bytes((folder / 'b.png').read_bytes())
    for skip in ([], ['--skip-existing']):
        assert run(str(folder), str(tmp_path / 'out'), '--json', *skip) == 1
        said = capsys.readouterr()
        assert json.loads(said.out)['refused'] == {'unwritable': [name]}
        assert 'is too long a name: shorten it' in said.err
    # In a film it holds no place either, and the rest goes on.
    assert run(str(folder), str(tmp_path / 'film'), '--json', '--sequence', '10') == 1
    said = capsys.readouterr()
    assert json.loads(said.out)['refused'] == {'unwritable': [name]}
    assert len(list((tmp_path / 'film').iterdir())) == json.loads(said.out)['written'] >= 2


def test_a_film_into_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_film(tmp_path / 'film.avi', FIVE, codec='mpeg4')
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    assert run(str(film), '.') == 0
    assert len(list(Path().iterdir())) == 5
    for words, why in (
        (('', 'out'), 'it is empty: name a file or a folder'),
        ((str(film), ''), 'it is empty: name a file or a folder'),
        ((str(film), '/'), '/ is the root: name a file or a folder'),
    ):
        with pytest.raises(SystemExit):
            run(*words)
        assert why in capsys.readouterr().err


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
        ('images/notes.txt', 'out', 'notes.txt names no picture: write one path on each line'),
        ('images/notes.md', 'out', 'neither image nor video'),
        ('empty', 'out', 'empty holds no image: put .jpg or .png there, or name a file'),
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
    (folder / 'notes.md').touch()
    write_film(tmp_path / 'film.mp4', FIVE)
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
    write_film(tmp_path / 'film.mp4', FIVE)
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


@pytest.mark.parametrize(
    'arguments',
    [
        ('list.txt', 'out', '--frames-json', 'list.txt'),
        ('a.png', 'out', '--params', 'p.yaml', '--frames-json', 'p.yaml'),
        ('a.png', 'r16.png', '--reference', 'r16.png', '--save', 'depth_mm'),
        ('a.png', 'true/a.png', '--reference', 'true', '--save', 'depth_mm'),
        ('list.txt', '.'),
    ],
)
def test_nothing_that_is_read_beside_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('true').mkdir()
    for name in ('a.png', 'a_depth.png'):
        cv2.imwrite(name, picture(64, 48))
    for name in ('r16.png', 'true/a.png'):
        cv2.imwrite(name, np.full((48, 64), 1500, np.uint16))
    Path('list.txt').write_text('a.png\na_depth.png\n')
    Path('note').write_text('not JSON')
    Path('p.yaml').write_text('/**:\n  ros__parameters:\n    variant: demo\n')
    before = {path: path.read_bytes() for path in Path().rglob('*') if path.is_file()}
    assert run('a.png', 'out', '--frames-json', 'note') == 2
    assert 'exists and holds no lines of JSON' in capsys.readouterr().err
    assert run(*arguments) == 2
    assert 'is what is read: name an output beside it' in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    'ending', ['.png', '.jpg', '.webp', '.tif', '.bmp', '.ppm', '.mp4', '.mkv']
)
def test_what_others_wrote_is_not_replaced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    out, own = tmp_path / f'b{ending}', tmp_path / f'own{ending}'
    if ending in ('.mp4', '.mkv'):
        source = write_film(tmp_path / 'film.mp4', FIVE[:2])
        write_film(out, FIVE[:1])
    else:
        source = folder / 'a.png'
        cv2.imwrite(str(out), FIVE[0])
    before = out.read_bytes()
    assert run(str(source), str(out)) == 2
    assert 'is not replaced: name another OUT' in capsys.readouterr().err
    assert out.read_bytes() == before
    # Its own are, and are whole for others.
    assert [run(str(source), str(own)) for _ in range(2)] == [0, 0]
    if source.suffix == '.png':
        Image.open(own).load()
        assert cv2.imread(str(own)).shape == (48, 64, 3)


def test_a_shell_that_names_several_pictures_is_told_what_to_give(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run('0.png', '1.png', '2.png', 'out')
    said = 'unrecognized arguments: 2.png out: for several inputs give their folder'
    assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run('0.png', 'out', '--varient', 'demo')
    assert 'arguments: --varient demo; did you mean --variant?' in capsys.readouterr().err


def test_the_folder_of_what_is_read_may_take_the_output(folder: Path) -> None:
    assert run(str(folder / 'b.png'), str(folder)) == 0
    assert (folder / 'b_depth.png').exists()
    assert run(str(folder), str(folder / 'depth')) == 0


@pytest.mark.parametrize(('source', 'out'), [('images/b.png', 'out.png'), ('film.mp4', 'out.mkv')])
def test_one_file_takes_one_format(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, out: str
) -> None:
    write_film(tmp_path / 'film.mp4', FIVE)
    assert run(str(tmp_path / source), str(tmp_path / out), '--save', 'color', 'npy') == 2
    assert f"{out} is one file: save one of 'color', 'side_by_side'" in capsys.readouterr().err


def test_what_a_folder_holds_besides_is_counted_and_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('pillow_heif').register_heif_opener()
    (folder / 'inner').mkdir()
    cv2.imwrite(str(folder / 'inner' / 'b.png'), picture(64, 48, seed=4))
    Image.fromarray(picture(64, 48, 5)).save(folder / 'c.heic')
    (folder / 'drive.mp4').write_bytes(b'')
    os.mkfifo(folder / 'pipe.png')
    out = folder / 'out'
    assert run(str(folder), str(out), '--json') == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary['written'] == 4
    expected = {
        'folder': ['inner'],
        'film': ['drive.mp4'],
        'no_file': ['pipe.png'],
        'no_picture': ['notes.txt'],
    }
    assert summary['skipped'] == expected
    assert 'skipped: inner: a folder is searched with --recursive' in said.err
    assert run(str(folder), str(out)) == 0
    assert capsys.readouterr().out == f'4 frames in {out}, 4 skipped\n'
    assert run(str(folder), str(out), '--json', '--recursive') == 0
    summary = json.loads(capsys.readouterr().out)
    # The output is not input.
    assert summary['written'] == 5 and 'folder' not in summary['skipped']
    assert cv2.imread(str(out / 'inner' / 'b_depth.png')).shape == (48, 64, 3)


def test_a_list_names_pictures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsdecode(b'odd\xff.png')
    cv2.imwrite(str(folder / 'c.png'), picture(64, 48, 4))
    (folder / 'c.png').rename(folder / odd)
    cv2.imwrite(str(tmp_path / 'elsewhere.png'), picture(64, 48, 5))
    lines = ['\ufeff# a list', 'b.png\r', '', odd, 'missing.png', '../elsewhere.png', 'notes.txt']
    (folder / 'list.txt').write_bytes(os.fsencode('\n'.join(lines)))
    out = tmp_path / 'out'
    assert run(str(folder / 'list.txt'), str(out), '--json') == 1
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary['refused'] == {'unreadable': ['missing']}
    assert 'missing.png cannot be read: No such file' in summary['failed']['missing']
    assert summary['skipped'] == {'no_picture': ['notes.txt']}
    names = {path.name for path in out.iterdir()}
    assert names == {'b_depth.png', os.fsdecode(b'odd\xff_depth.png'), 'elsewhere_depth.png'}
    (folder / 'long.txt').touch()
    os.truncate(folder / 'long.txt', 2**26 + 1)
    assert run(str(folder / 'long.txt'), str(out)) == 2
    assert 'long.txt cannot be read: more than 67108864 bytes' in capsys.readouterr().err
    # In the order of the list, and each as often as it stands there.
    (folder / 'film.txt').write_text('b.png\na.png\nb.png\n')
    film = tmp_path / 'film.mp4'
    assert run(str(folder / 'film.txt'), str(film), '--sequence', '5') == 0
    assert [seconds for seconds, _ in frames_of(film)] == pytest.approx([0, 0.2, 0.4])


def test_names_of_output_are_different(tmp_path: Path) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    for name in ('a.png', 'a.bmp', 'a_png.png'):
        cv2.imwrite(str(images / name), picture(64, 48))
    assert run(str(images), str(tmp_path / 'out')) == 0
    assert len(list((tmp_path / 'out').iterdir())) == 3


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    for name in (b'\xff.png', 'ä.png'.encode()):
        content = cv2.imencode('.png', picture(64, 48))[1].tobytes()
        Path(os.fsdecode(bytes(images) + b'/' + name)).write_bytes(content)
    (images / os.fsdecode(b'black\xfe.png')).write_bytes(
        cv2.imencode('.png', np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    )
    for utf8 in ('0', '1'):
        environment = {**os.environ, 'LC_ALL': 'C', 'PYTHONUTF8': utf8}
        out = os.fsencode(tmp_path) + b'/out\xff' + utf8.encode()
        command = [
            sys.executable,
            '-m',
            'depth_anything_ros.cli',
            'run',
            bytes(images),
            out,
            *FAST,
        ]
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
        assert done.returncode == 1, done.stderr
        assert done.stdout.endswith(b'out\\udcff' + utf8.encode() + b', 1 left out\n')
        assert b'left out: black\\udcfe: the image varies' in done.stderr
        written = {os.fsencode(path.name) for path in Path(os.fsdecode(out)).iterdir()}
        assert written == {b'\xff_depth.png', 'ä_depth.png'.encode()}


def test_a_name_that_is_not_utf_8_may_be_a_film(tmp_path: Path) -> None:
    film = write_film(tmp_path / 'film.mp4', [picture(64, 48, seed) for seed in range(3)])
    odd = film.rename(tmp_path / os.fsdecode(b'\xff.mp4'))
    out = tmp_path / os.fsdecode(b'\xfe.mp4')
    assert run(str(odd), str(out)) == 0
    assert len(frames_of(out)) == 3


def test_the_batch_goes_on_past_what_is_too_large(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    for name in ('a.png', 'c.png'):
        cv2.imwrite(str(images / name), picture(64, 48))
    content = cv2.imencode('.png', np.zeros((1, 1), np.uint8))[1].tobytes()
    promised = (40000).to_bytes(4, 'big') + (28000).to_bytes(4, 'big')
    (images / 'b.png').write_bytes(content[:16] + promised + content[24:])
    assert run(str(images), str(tmp_path / 'out'), '--json') == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary['written'] == 2
    assert summary['refused'] == {'image_too_large': ['b']}


def test_an_animation_is_a_film(tmp_path: Path) -> None:
    images = [Image.fromarray(picture(64, 48, seed)) for seed in range(3)]
    path = tmp_path / 'a.gif'
    images[0].save(path, save_all=True, append_images=images[1:], duration=[40, 120, 300])
    assert run(str(path), str(tmp_path / 'depth.mp4')) == 0
    times = [seconds for seconds, _ in frames_of(tmp_path / 'depth.mp4')]
    assert times == pytest.approx([0, 0.04, 0.16])


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Twelve frames whose names sort otherwise than their numbers; the fifth is broken."""
    images = tmp_path / 'sequence'
    images.mkdir()
    for index in range(12):
        cv2.imwrite(str(images / f'f{index}.png'), picture(64, 48, index))
    (images / 'f4.png').write_bytes(b'broken')
    return images


def test_a_sequence_is_a_film(sequence: Path, tmp_path: Path) -> None:
    assert run(str(sequence), str(tmp_path / 'depth.mp4'), '--sequence', '10') == 1
    frames = frames_of(tmp_path / 'depth.mp4')
    assert [seconds for seconds, _ in frames] == pytest.approx(np.arange(12) / 10)
    assert run(str(sequence), str(tmp_path / 'out'), '--sequence') == 1
    assert len(list((tmp_path / 'out').iterdir())) == 12


def test_a_sequence_is_normalised_over_time_and_stills_are_not(
    sequence: Path, tmp_path: Path
) -> None:
    for out, more in (('stills', ()), ('film', ('--sequence', '25'))):
        run(str(sequence), str(tmp_path / out), '--save', 'png16', *more)

    def bounds(out: str) -> list[float]:
        """Return what becomes 0 in each frame, in the order of the film."""
        return [
            float(Image.open(tmp_path / out / f'f{index}_depth16.png').text['offset'])  # type: ignore[attr-defined]
            for index in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11)
        ]

    stills, film = bounds('stills'), bounds('film')
    assert film[0] == stills[0]
    assert np.abs(np.diff(film)).mean() < 0.5 * np.abs(np.diff(stills)).mean()


def test_existing_output_is_not_made_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    run(str(folder), str(out), '--save', 'color', 'npy')
    (out / 'b_inverse_depth.npy').unlink()
    (out / 'a_png_depth.png').write_bytes(b'mine')
    capsys.readouterr()
    options = ('--save', 'color', 'npy', '--skip-existing', '--json')
    assert run(str(folder), str(out), *options) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary['written'] == 1
    assert sorted(summary['skipped']['existing']) == ['a_jpg', 'a_png']
    assert (out / 'b_inverse_depth.npy').exists()
    assert (out / 'a_png_depth.png').read_bytes() == b'mine'


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ('images/b.png out --recursive', '--recursive is for a folder, and images/b.png is none'),
        ('film.mp4 out --sequence', '--sequence is for a folder or a list, and film.mp4 is'),
        ('film.mp4 out --skip-existing', '--skip-existing is for a folder of separate pictures'),
        ('images out --sequence --skip-existing', '--skip-existing is for a folder of separate'),
        ('pipe.png out', 'pipe.png is a pipe or a device: copy it to a file first'),
        ('images/b.png out.npy --save color', "save one of 'npy' or 'depth_m' there"),
        ('images/b.png out --save depth_mm', 'is in metres, and this checkpoint gives relative'),
        ('broken.mp4 out', 'broken.mp4 cannot be opened'),
    ],
)
def test_what_does_not_go_together_is_one_line(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / 'film.mp4', [picture(64, 48)])
    (tmp_path / 'broken.mp4').write_bytes(b'no film')
    os.mkfifo(tmp_path / 'pipe.png')
    assert run(*words.split()) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'depth_anything:' in line]
    assert said in line


@pytest.mark.parametrize(('redirection', 'status'), [('>&-', 0), ('>/dev/full', 2)])
def test_an_output_that_takes_nothing_is_no_traceback(
    folder: Path, tmp_path: Path, redirection: str, status: int
) -> None:
    words = ['run', str(folder / 'b.png'), str(tmp_path / 'out'), *FAST]
    command = f'exec {sys.executable} -m depth_anything_ros.cli "$@" {redirection}'
    done = subprocess.run(
        ['bash', '-c', command, 'bash', *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert 'Traceback' not in done.stderr and 'Exception' not in done.stderr
    said = 'depth_anything: standard output cannot be written: No space left on device'
    assert (said in done.stderr) == (status == 2)
    assert (tmp_path / 'out' / 'b_depth.png').exists()


def test_a_full_disk_is_one_line_and_no_half_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'b_depth.png.writing').symlink_to('/dev/full')
    assert run(str(folder), str(out)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'depth_anything:' in line]
    assert 'b_depth.png cannot be written: No space left on device' in line
    assert {path.name for path in out.iterdir()} == {'a_png_depth.png', 'a_jpg_depth.png'}


def test_the_summary_says_where_the_time_went(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder), str(tmp_path / 'out'), '--json') == 0
    summary = json.loads(capsys.readouterr().out)
    times = [summary[f'{each}_s'] for each in ('decoding', 'network', 'encoding')]
    assert all(0 < each < summary['total_s'] for each in times)
    assert summary['network_share'] == pytest.approx(summary['network_s'] / summary['total_s'])
    assert summary['rate_hz'] == pytest.approx(3 / summary['total_s'])
