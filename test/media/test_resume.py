"""A run that ended early, and the run that goes on with it: equal to one that did not end."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from drive import IMAGE, drive
from PIL import Image
from rig import picture
from written_film import frames_of, streams_of, write_film

from depth_anything_ros import cli
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.media import job, places, streams
from depth_anything_ros.media.films import open_film, picture_of
from depth_anything_ros.media.streams import LiveStream
from depth_anything_ros.messages.images import bgr_from_image

FAST = ['--weights', 'random', '--device', 'cpu', '--variant', 'demo', '--backend', 'torch']
BLACK = np.zeros((48, 64, 3), np.uint8)


def run(*arguments: object) -> int:
    return cli.main(['run', *map(str, arguments), *FAST])


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, 'PART_FRAMES', 5)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """23 frames of a scene that brightens, black where parts meet, a key frame every seven."""
    scene = picture(64, 48, 1).astype(float)
    frames = [np.clip(scene * (0.5 + index / 40), 0, 255).astype(np.uint8) for index in range(23)]
    for index in (9, 10, 11):
        frames[index] = BLACK
    return write_film(tmp_path / 'film.mp4', frames, sound='aac', options={'g': '7'})


@pytest.fixture
def ended_early(monkeypatch: pytest.MonkeyPatch):
    """Return a function that lets runs be ended by SIGTERM at a frame, and counts frames read."""
    read: list[str] = []
    run_job = job.run

    def at(frame: int) -> list[str]:
        read.clear()

        def ended(source, stream, outputs, *, on_frame, stopped, **more):
            def counted(name: str) -> None:
                read.append(name)
                on_frame(name)

            def by() -> str:
                return 'SIGTERM' if len(read) == frame else stopped()

            return run_job(source, stream, outputs, on_frame=counted, stopped=by, **more)

        monkeypatch.setattr(job, 'run', ended)
        return read

    return at


def pictures_of(path: Path) -> list[np.ndarray]:
    if path.is_dir():
        return [cv2.imread(str(each), -1) for each in sorted(path.iterdir())]
    return [image for _, image in frames_of(path)]


def levels_of(film: Path) -> np.ndarray:
    with av.open(str(film)) as container:
        return np.stack([each.to_ndarray() for each in container.decode(video=0)])


def points_of_depth(depth_m: np.ndarray) -> np.ndarray:
    v, u = np.nonzero(np.isfinite(depth_m))
    z = depth_m[v, u]
    return np.stack([(u - 79.5) / 120 * z, (v - 59.5) / 120 * z, z], 1)[::9].astype(np.float32)


@pytest.mark.parametrize(
    ('out', 'options'),
    [
        ('depth.mp4', ()),
        ('depth.mkv', ('--save', 'png16', '--normalization', 'film')),
        ('depth.mp4', ('--save', 'side_by_side', '--smoothing', '5')),
        ('folder', ('--save', 'png16', '--relative-normalization', 'minmax')),
    ],
)
def test_what_is_resumed_is_as_if_never_ended(
    film: Path, tmp_path: Path, ended_early, out: str, options: tuple[str, ...]
) -> None:
    whole, resumed = tmp_path / f'whole_{out}', tmp_path / out
    parts = tmp_path / f'{out}.parts'
    assert run(film, whole, *options) == 1
    # Twelve frames, then four more, in the black part too; then the rest.
    ended_early(12)
    assert run(film, resumed, *options) == 1
    assert parts.exists()
    assert len(pictures_of(resumed)) == 12
    read = ended_early(4)
    assert run(film, resumed, *options, '--resume') == 1
    assert read[0] == 'frame_000010'
    read = ended_early(-1)
    assert run(film, resumed, *options, '--resume') == 1
    assert read == [f'frame_{index:06d}' for index in range(10, 23)]
    assert not parts.exists()
    expected, found = pictures_of(whole), pictures_of(resumed)
    assert len(expected) == len(found) == 23
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
    if not resumed.is_dir():
        assert [each for each, _ in frames_of(whole)] == [each for each, _ in frames_of(resumed)]
        assert streams_of(whole) == streams_of(resumed)


@pytest.mark.parametrize('kind', ['depth', 'points'])
def test_the_metric_scale_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ended_early,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    world = drive('room')
    monkeypatch.setattr('depth_anything_ros.cli.run.load', lambda parameters: world.backend())
    images = [message for topic, _, message in world.messages if topic == IMAGE]
    (tmp_path / 'frames').mkdir()
    (tmp_path / 'references').mkdir()
    for index, (image, depth_m) in enumerate(zip(images[:12], world.truth.values(), strict=False)):
        # The first two of the second part: held, and by the scale of the first part.
        black = index == 5
        bgr = np.zeros((120, 160, 3), np.uint8) if black else bgr_from_image(image)
        cv2.imwrite(str(tmp_path / f'frames/f{index:02d}.png'), bgr)
        if index % 4 == 0 and index != 8:
            points = points_of_depth(depth_m) if kind == 'points' else depth_m
            np.save(tmp_path / f'references/f{index:02d}.npy', points)
    words = [tmp_path / 'frames', '--sequence', '10', '--reference', tmp_path / 'references']
    words += ['--save', 'depth_mm', '--intrinsics', '120', '120', '79.5', '59.5', '--json']

    def go(out: str, *more: str) -> list[dict]:
        run(
            *words[:1],
            tmp_path / out,
            *words[1:],
            *more,
            '--frames-json',
            tmp_path / f'{out}.jsonl',
        )
        lines = (tmp_path / f'{out}.jsonl').read_text().splitlines()
        return [{**json.loads(line), 'ms': {}, 'files': []} for line in lines]

    whole = go('whole.mkv')
    assert sum(each.get('metric_valid', False) for each in whole) == 9
    ended_early(8)
    go('out.mkv')
    ended_early(-1)
    assert go('out.mkv', '--resume') == whole
    expected, found = (levels_of(tmp_path / f'{name}.mkv') for name in ('whole', 'out'))
    assert expected[5].any()
    np.testing.assert_array_equal(expected, found)


def test_the_summary_is_that_of_all(
    film: Path, tmp_path: Path, ended_early, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(film, tmp_path / 'whole.mp4', '--json') == 1
    whole = json.loads(capsys.readouterr().out)
    ended_early(17)
    assert run(film, tmp_path / 'out.mp4') == 1
    assert '17 frames' in (said := capsys.readouterr().out)
    assert 'stopped by SIGTERM; --resume goes on behind frame 15' in said
    ended_early(-1)
    assert run(film, tmp_path / 'out.mp4', '--resume', '--json') == 1
    resumed = json.loads(capsys.readouterr().out)
    assert resumed['resumed'] == 15 and whole['resumed'] == 0
    for name in ('written', 'held', 'refused', 'flicker', 'flicker_pairs', 'cuts', 'film_s'):
        assert resumed[name] == whole[name]
    assert whole['refused'] == {'covered_lens': [f'frame_{i:06d}' for i in (9, 10, 11)]}
    assert resumed['film_s'] == pytest.approx(2.3)


def test_a_run_that_is_killed_loses_the_last_part_alone(film: Path, tmp_path: Path) -> None:
    out = tmp_path / 'depth.mp4'
    program = (
        'import os, signal, sys\n'
        'from depth_anything_ros import cli\n'
        'from depth_anything_ros.media import film_writing, places\n'
        'places.PART_FRAMES = 5\n'
        'write, seen = film_writing.FilmWriter.append, []\n'
        'def counted(self, *given):\n'
        '    write(self, *given)\n'
        '    seen.append(0)\n'
        '    if len(seen) == 13:\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n'
        'film_writing.FilmWriter.append = counted\n'
        'cli.main(sys.argv[1:])\n'
    )
    command = [sys.executable, '-c', program, 'run', str(film), str(out), *FAST]
    done = subprocess.run(command, capture_output=True, check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    # What is there plays.
    assert len(frames_of(tmp_path / 'depth.mp4.parts' / 'part_000001.mp4')) == 5
    assert run(film, out, '--resume') == 1
    assert run(film, tmp_path / 'whole.mp4') == 1
    assert out.read_bytes() == (tmp_path / 'whole.mp4').read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {'film.mp4', 'whole.mp4', 'depth.mp4'}


def said_by(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if line.startswith('depth_anything:')]
    return line


def test_parts_are_neither_thrown_away_nor_mixed(
    film: Path, tmp_path: Path, ended_early, capsys: pytest.CaptureFixture[str]
) -> None:
    out, parts = tmp_path / 'out.mp4', tmp_path / 'out.mp4.parts'
    ended_early(12)
    run(film, out)
    capsys.readouterr()

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in parts.iterdir()}

    before = files()
    assert run(film, out) == 2
    assert 'out.mp4.parts holds 10 frames of a run that was not finished: add --resume' in (
        said_by(capsys)
    )
    assert run(film, out, '--resume', '--color-map', 'turbo') == 2
    said = said_by(capsys)
    assert "of another run: color.map was 'spectral_r' and is 'turbo'. Run that one" in said
    other = write_film(tmp_path / 'other.mp4', [picture(64, 48)] * 23)
    assert run(other, out, '--resume') == 2
    assert "input was 'film.mp4' and is 'other.mp4'" in said_by(capsys)
    assert run(film, out, '--resume', '--checkpoint', 'metric_indoor') == 2
    assert 'checkpoint was' in said_by(capsys)
    assert files() == before
    last = parts / 'part_000001.npz'
    last.rename(tmp_path / 'kept.npz')
    np.savez_compressed(tmp_path / 'bomb.npz', a=np.zeros(10**6))
    for content in (b'PK\x03\x04', b'', (tmp_path / 'bomb.npz').read_bytes()):
        last.write_bytes(content)
        assert run(film, out, '--resume') == 2
        assert f'out.mp4.parts/{last.name} cannot be read: delete that' in said_by(capsys)
    (tmp_path / 'kept.npz').rename(last)
    whole = (parts / 'run.json').read_text()
    (parts / 'run.json').write_text(whole.replace('format of parts', 'before it was counted'))
    assert run(film, out, '--resume') == 2
    assert 'was left by another version of this package: finish it with' in said_by(capsys)
    (parts / 'run.json').write_text(whole)
    # The same film, moved and touched.
    (tmp_path / 'elsewhere').mkdir()
    os.utime(film.rename(tmp_path / 'elsewhere' / 'film.mp4'))
    ended_early(-1)
    assert run(tmp_path / 'elsewhere' / 'film.mp4', out, '--resume') == 1


def test_a_folder_of_parts_is_for_one_run_at_a_time(
    film: Path,
    tmp_path: Path,
    ended_early,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import fcntl

    ended_early(12)
    run(film, tmp_path / 'out.mp4')
    capsys.readouterr()
    ended_early(-1)
    lock = os.open(tmp_path / 'out.mp4.parts', os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert run(film, tmp_path / 'out.mp4', '--resume') == 2
    assert 'out.mp4.parts is in use: another run writes there' in said_by(capsys)
    os.close(lock)

    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, 'a folder of NFS')

    monkeypatch.setattr(fcntl, 'flock', refuse)
    assert run(film, tmp_path / 'out.mp4', '--resume') == 1


def test_a_full_disk_keeps_what_was_done(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out.mp4'
    # All frames are done: the film alone cannot be joined.
    (tmp_path / 'out.mp4.writing').symlink_to('/dev/full')
    assert run(film, out) == 2
    said = said_by(capsys)
    assert 'No space left on device' in said and 'out.mp4.parts: add --resume to go on' in said
    assert run(film, out, '--resume') == 1
    assert len(frames_of(out)) == 23


@pytest.mark.parametrize('codec', ['libx264', 'mpeg4', 'libvpx-vp9', 'ffv1'])
@pytest.mark.parametrize('after', [1, 6, 7, 15, 22])
def test_a_film_goes_on_from_the_key_frame_before(tmp_path: Path, codec: str, after: int) -> None:
    path = write_film(
        tmp_path / 'film.mkv',
        [picture(64, 48, i) for i in range(23)],
        codec=codec,
        options={'g': '7'},
    )
    whole = [(at, picture_of(frame, Levels()).bgr) for at, frame in open_film(path).frames()]
    film = open_film(path)
    film.after = whole[after - 1][0]
    rest = [(at, picture_of(frame, Levels()).bgr) for at, frame in film.frames()]
    assert [at for at, _ in rest] == [at for at, _ in whole[after:]]
    for (_, one), (_, other) in zip(rest, whole[after:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sequence_goes_on_with_its_levels(tmp_path: Path, ended_early) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    for index in range(12):
        deep = 7000 + 4 * picture(64, 48, index)[..., 0].astype(np.uint16)
        cv2.imwrite(str(images / f'{index}.png'), deep if index else deep + 300)
    assert run(images, tmp_path / 'whole.mkv', '--sequence', '5') == 0
    ended_early(7)
    assert run(images, tmp_path / 'out.mkv', '--sequence', '5') == 1
    ended_early(-1)
    assert run(images, tmp_path / 'out.mkv', '--sequence', '5', '--resume') == 0
    for one, other in zip(
        *map(pictures_of, (tmp_path / 'whole.mkv', tmp_path / 'out.mkv')), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_folder_of_stills_is_resumed_by_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    for index in range(3):
        cv2.imwrite(str(images / f'{index}.png'), picture(64, 48, index))
    assert run(images, tmp_path / 'out', '--resume') == 0
    (tmp_path / 'out' / '1_depth.png').unlink()
    capsys.readouterr()
    assert run(images, tmp_path / 'out', '--resume', '--json') == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary['written'], summary['skipped']['existing']) == (1, ['0', '2'])


def test_one_scale_for_the_whole_film(tmp_path: Path) -> None:
    scene = picture(64, 48, 1)
    frames = [np.roll(scene, 3 * index, axis=1) // (1 + index // 8) for index in range(16)]
    film = write_film(tmp_path / 'film.mkv', frames)
    bounds = {}
    for name in ('frame', 'film'):
        out = tmp_path / name
        assert run(film, out, '--save', 'png16', '--normalization', name) == 0
        bounds[name] = {_scale(path) for path in out.iterdir()}
    assert len(bounds['film']) == 1 and len(bounds['frame']) == 16


def _scale(path: Path) -> tuple[str, str]:
    with Image.open(path) as image:
        return image.text['offset'], image.text['scale']  # type: ignore[attr-defined]


def test_parts_of_a_live_source_play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tmp_path / 'out.mp4.parts'
    parts.mkdir()
    (parts / 'part_000000.json').write_text('{"frames": 5}')

    monkeypatch.setattr(streams, 'open_webcam', lambda _: LiveStream(None, 10.0))
    assert run('webcam', tmp_path / 'out.mp4') == 2
    assert 'what is in it plays: move it, or delete that folder' in said_by(capsys)
    assert run('webcam', tmp_path / 'out.mp4', '--resume') == 2
    assert 'a live source cannot' in said_by(capsys)
