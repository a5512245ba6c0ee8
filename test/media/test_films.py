"""Films in and out: one output for every frame, at its time, whole or not there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from rig import picture
from written_film import frames_of, streams_of, write_film

from depth_anything_ros import cli
from depth_anything_ros.backends.loading import load_backend
from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.media import film_writing
from depth_anything_ros.media.film_writing import FilmWriter
from depth_anything_ros.media.films import Position, open_film, picture_of
from depth_anything_ros.media.job import run as run_job
from depth_anything_ros.media.outputs import open_outputs
from depth_anything_ros.media.pictures import Picture
from depth_anything_ros.media.sources import Shot, Source, open_source

FAST = ['--weights', 'random', '--device', 'cpu', '--variant', 'demo', '--backend', 'torch']
BLACK = np.zeros((48, 64, 3), np.uint8)


def run(*arguments: object) -> int:
    return cli.main(['run', *map(str, arguments), *FAST])


def pictures(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    return [picture(width, height, seed) for seed in range(count)]


@pytest.fixture
def dark_ends(tmp_path: Path) -> Path:
    """Four black frames, four pictures, four black ones."""
    return write_film(tmp_path / 'film.mp4', [BLACK] * 4 + pictures(4) + [BLACK] * 4)


def test_every_frame_has_its_place_in_the_film(
    dark_ends: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'depth.mp4'
    assert run(dark_ends, out, '--json') == 1
    said = capsys.readouterr()
    frames = frames_of(out)
    assert [seconds for seconds, _ in frames] == pytest.approx(np.arange(12) / 10)
    shown = [image.astype(int) for _, image in frames]
    assert all(image.max() < 12 for image in shown[:4])  # blank
    assert all(image.std() > 12 for image in shown[4:])
    assert all(np.abs(image - shown[7]).mean() < 2 for image in shown[8:])  # held
    assert np.abs(shown[7] - shown[6]).mean() > 2
    summary = json.loads(said.out)
    assert (summary['written'], summary['held'], summary['blank']) == (12, 4, 4)
    dark = [f'frame_{index:06d}' for index in (0, 1, 2, 3, 8, 9, 10, 11)]
    assert summary['refused'] == {'covered_lens': dark}
    (line,) = [line for line in said.err.splitlines() if line.startswith('no depth of its own')]
    assert '8 (frame_000000 to frame_000003, frame_000008 to frame_000011)' in line
    assert 'uncover the lens' in line


def test_every_frame_has_its_files_in_a_folder(dark_ends: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    assert run(dark_ends, out, '--save', 'color', 'npy', 'png16') == 1
    for ending in ('depth.png', 'inverse_depth.npy', 'depth16.png'):
        names = sorted(path.name for path in out.glob(f'*_{ending}'))
        assert names == [f'frame_{index:06d}_{ending}' for index in range(12)]
    assert np.isnan(np.load(out / 'frame_000000_inverse_depth.npy')).all()
    held = [np.load(out / f'frame_{index:06d}_inverse_depth.npy') for index in (7, 8, 11)]
    assert (held[0] == held[1]).all() and (held[0] == held[2]).all()


@pytest.mark.parametrize('ending', ['.mp4', '.mkv'])
def test_times_and_sound_of_the_input_are_kept(tmp_path: Path, ending: str) -> None:
    times_ms = [0, 33, 150, 500, 520, 1900]
    film = write_film(tmp_path / 'film.mkv', pictures(6), times_ms, sound='aac')
    out = tmp_path / f'depth{ending}'
    assert run(film, out) == 0
    assert [each for each, _ in frames_of(out)] == pytest.approx(
        np.divide(times_ms, 1e3), abs=2e-3
    )
    streams = streams_of(out)
    assert (streams['picture'], streams['pixels']) == ('h264', 'yuv420p')
    # Copied, not encoded again: to the packet.
    assert streams['sound'] == 'aac'
    assert streams['sound_seconds'] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ('ending', 'sound', 'name'),
    [('.avi', 'libmp3lame', 'mp3'), ('.ts', 'aac', 'aac'), ('.webm', 'libopus', 'opus')],
)
def test_sound_of_other_containers(tmp_path: Path, ending: str, sound: str, name: str) -> None:
    codec = 'libvpx-vp9' if ending == '.webm' else 'mpeg4' if ending == '.avi' else 'libx264'
    film = write_film(tmp_path / f'film{ending}', pictures(8), codec=codec, sound=sound)
    assert run(film, tmp_path / 'depth.mp4') == 0
    streams = streams_of(tmp_path / 'depth.mp4')
    assert streams['sound'].startswith(name)
    assert streams['sound_seconds'] == pytest.approx(0.8, abs=0.1)


def test_sound_that_mp4_does_not_hold_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_film(tmp_path / 'film.mkv', pictures(3), sound='pcm_s16le')
    assert run(film, tmp_path / 'depth.mp4') == 0
    assert 'the sound (pcm_s16le) is not copied: name an .mkv file' in capsys.readouterr().err
    assert run(film, tmp_path / 'depth.mkv') == 0
    assert streams_of(tmp_path / 'depth.mkv')['sound'] == 'pcm_s16le'


def test_sound_in_packets_shorter_than_a_tick_is_whole(tmp_path: Path) -> None:
    film, out = write_film(tmp_path / 'plain.mkv', pictures(3)), tmp_path / 'depth.mkv'
    with av.open(str(film)) as plain, av.open(str(tmp_path / 'film.mkv'), 'w') as heard:
        (stream,) = plain.streams.video
        copy = heard.add_stream_from_template(stream)
        sound = heard.add_stream('pcm_s16le', rate=48000, layout='mono')
        for packet in plain.demux(stream):
            if packet.size:
                packet.stream = copy
                heard.mux(packet)
        # As in TrueHD; Matroska counts milliseconds.
        for start in range(0, 12000, 40):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 40), np.int16), 's16', 'mono')
            frame.sample_rate, frame.pts = 48000, start
            heard.mux(sound.encode(frame))
    assert run(tmp_path / 'film.mkv', out) == 0
    with av.open(str(out)) as film_of_depth:
        packets = [each for each in film_of_depth.demux(audio=0) if each.size]
        assert len(packets) == 300
        assert float(packets[-1].pts * packets[-1].time_base) == pytest.approx(0.249, abs=2e-3)


def test_smoothing_follows_the_times(tmp_path: Path) -> None:
    # Two frames far apart: the second is not drawn towards the bounds of the first.
    still, other = pictures(2)
    for name, times in (('near', [0, 40]), ('far', [0, 60_000])):
        film = write_film(tmp_path / f'{name}.mkv', [still, other], times)
        assert run(film, tmp_path / name, '--save', 'png16') == 0
    far, near = (
        cv2.imread(str(tmp_path / name / 'frame_000001_depth16.png'), cv2.IMREAD_UNCHANGED)
        for name in ('far', 'near')
    )
    assert (far != near).any()


@pytest.mark.parametrize('ending', ['.mkv', '.mp4'])
def test_half_a_film_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    options = {'movflags': '+faststart'} if ending == '.mp4' else {}
    whole = write_film(tmp_path / f'whole{ending}', pictures(40), options=options)
    half = tmp_path / f'half{ending}'
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    out = tmp_path / 'depth.mp4'
    assert run(half, out, '--json') == 1
    said = capsys.readouterr()
    fault = json.loads(said.out)['fault']
    count = len(frames_of(out))
    assert 10 < count < 30
    assert fault.startswith(f'{count} of ') and '40 frames could be read' in fault
    assert fault in said.err
    assert run(whole, out) == 0


def test_odd_sizes_are_padded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = write_film(tmp_path / 'film.mkv', pictures(3, 65, 49), codec='ffv1')
    out = tmp_path / 'depth.mp4'
    assert run(film, out) == 0
    assert '65 x 49 is padded to 66 x 50' in capsys.readouterr().err
    assert frames_of(out)[0][1].shape == (50, 66, 3)


def test_wide_films(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = [picture(8200, 64, seed) for seed in range(2)]
    film = write_film(tmp_path / 'film.mkv', wide, codec='ffv1')
    assert run(film, tmp_path / 'depth.mp4') == 0
    assert frames_of(tmp_path / 'depth.mp4')[0][1].shape == (64, 8200, 3)
    assert run(film, tmp_path / 'both.mp4', '--save', 'side_by_side') == 2
    error = capsys.readouterr().err
    assert '16400 x 64 pixels, and H.264 holds 16384' in error and '--output-max-side' in error
    assert not list(tmp_path.glob('both*'))


def test_a_phone_film_is_turned(tmp_path: Path) -> None:
    upright = write_film(tmp_path / 'upright.mp4', pictures(1))
    content = upright.read_bytes()
    # The matrix of the track header, ISO/IEC 14496-12, 8.3.2: a quarter clockwise.
    at = content.index(b'tkhd') + 4 + 40
    one = (1 << 16).to_bytes(4, 'big')
    none, minus = bytes(4), (-1 << 16).to_bytes(4, 'big', signed=True)
    assert content[at : at + 4] == one
    matrix = none + one + none + minus + none + none
    turned = tmp_path / 'turned.mp4'
    turned.write_bytes(content[:at] + matrix + content[at + len(matrix) :])
    ((_, straight),) = open_film(upright).frames()
    ((_, frame),) = open_film(turned).frames()
    assert (
        picture_of(frame, Levels()).bgr == np.rot90(picture_of(straight, Levels()).bgr, -1)
    ).all()


@pytest.mark.parametrize('alpha', [0, 128, 255])
def test_transparent_parts_of_a_film_are_laid_over_white(tmp_path: Path, alpha: int) -> None:
    bgra = np.dstack([picture(64, 48, 1), np.full((48, 64), 255, np.uint8)])
    bgra[:24, :, 3] = alpha
    film = write_film(tmp_path / 'film.mkv', [bgra], codec='ffv1', pixel_format='bgra')
    (shot,) = open_source(str(film)).shots
    found = shot.read()
    share = bgra[..., 3:].astype(float) / 255
    assert np.abs(found.bgr - (share * bgra[..., :3] + (1 - share) * 255)).max() <= 1
    assert [kind for kind, _ in found.changes] == ['transparency'] * (alpha < 255)


def test_grey_films_of_16_bits_are_stretched(tmp_path: Path) -> None:
    grey = np.uint16(7000) + np.linspace(0, 1020, 64 * 48).reshape(48, 64).astype(np.uint16)
    film = write_film(tmp_path / 'film.mkv', [grey, grey], codec='ffv1', pixel_format='gray16le')
    source = open_source(str(film))
    for shot in source.shots:
        found = shot.read()
        assert np.ptp(found.bgr) == 255 and found.changes[0][0] == 'stretched'
        low, high = source.position(shot)['levels']
        assert low == pytest.approx(7000, abs=5) and high == pytest.approx(8020, abs=5)


def test_a_cover_is_not_taken_for_the_film(tmp_path: Path) -> None:
    with av.open(str(tmp_path / 'film.mkv'), 'w') as film:
        cover, stream = film.add_stream('mjpeg', rate=1), film.add_stream('libx264', rate=10)
        cover.height, cover.width, cover.pix_fmt = 32, 32, 'yuvj420p'
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
        for each, shown in ((cover, pictures(1, 32, 32)), (stream, pictures(3))):
            for bgr in shown:
                film.mux(each.encode(av.VideoFrame.from_ndarray(bgr, format='bgr24')))
            film.mux(each.encode())
    film = open_film(tmp_path / 'film.mkv')
    assert [frame.width for _, frame in film.frames()] == [64] * 3


def test_streams_of_codecs_that_nobody_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = write_film(tmp_path / 'film.mp4', pictures(3), sound='aac').read_bytes()
    # In the decoder's description: ISO/IEC 14496-1, 7.2.6.6, objectTypeIndication.
    at = content.index(b'\x04\x80\x80\x80', content.index(b'esds')) + 5
    unheard = content[:at] + b'\xf0' + content[at + 1 :]
    (tmp_path / 'unheard.mp4').write_bytes(unheard.replace(b'mp4a', b'apac'))
    assert run(tmp_path / 'unheard.mp4', tmp_path / 'depth.mp4') == 0
    assert 'sound of a codec that FFmpeg does not know is not' in capsys.readouterr().err
    assert len(frames_of(tmp_path / 'depth.mp4')) == 3
    (tmp_path / 'unseen.mp4').write_bytes(content.replace(b'avc1', b'zzz1'))
    assert run(tmp_path / 'unseen.mp4', tmp_path / 'none.mp4') == 2
    assert 'is of a codec that FFmpeg does not know here: convert' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['film.mkv', 'film.h264'])
def test_a_film_that_begins_late_or_without_times_is_whole(tmp_path: Path, name: str) -> None:
    times_ms = range(5000, 5800, 100) if name == 'film.mkv' else None
    film = open_film(write_film(tmp_path / name, pictures(8), times_ms))
    stamps = [at.newest_ns for at, _ in film.frames()]
    assert film.fault == '' and stamps[0] == 0 and len(stamps) == 8


@pytest.mark.parametrize('out', ['depth.mp4', 'depth.mkv'])
def test_films_joined_byte_by_byte_last_as_long_as_all(tmp_path: Path, out: str) -> None:
    parts = [
        write_film(tmp_path / f'{count}.ts', pictures(count), sound='aac').read_bytes()
        for count in (8, 9, 7)
    ]
    (tmp_path / 'film.ts').write_bytes(b''.join(parts))
    assert run(tmp_path / 'film.ts', tmp_path / out) == 0
    times = [seconds for seconds, _ in frames_of(tmp_path / out)]
    assert len(times) == 24
    assert np.diff(times) == pytest.approx(np.full(23, 0.1), abs=2e-3)
    with av.open(str(tmp_path / out)) as film:
        packets = [each for each in film.demux(audio=0) if each.size]
    heard = [float(each.pts * each.time_base) for each in packets]
    assert heard[-1] == pytest.approx(times[-1] + 0.1, abs=0.1)
    # Three films round up to whole packets of 1024 samples.
    assert np.diff(heard) == pytest.approx(np.full(len(heard) - 1, 1024 / 48000), abs=2e-3)


def test_a_time_that_goes_back_a_little_is_caught_up_with() -> None:
    at = Position()
    for stamp_ms in (0, 100, 60, 200, 0, 100):
        at = at.followed_by(stamp_ms * 10**6 + at.shift_ns, 10**8)
    assert (at.newest_ns, at.shift_ns) == (200 * 10**6 + 2, 0)
    at = replace(at, newest_ns=900 * 10**6).followed_by(0, 10**8)
    assert (at.newest_ns, at.shift_ns) == (10**9, 10**9)


def test_what_ffmpeg_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise av.error.ArgumentError(errno.EINVAL, 'Invalid argument')

    monkeypatch.setattr(film_writing, 'join', refused)
    writer = FilmWriter(tmp_path / 'depth.mp4', 10.0)
    writer.append(picture(64, 48), 0)
    with pytest.raises(SettingError, match=r'depth.mp4 cannot be written: Invalid argument'):
        writer.close()


def test_a_film_on_a_file_system_for_reading_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_film(tmp_path / 'film.mp4', pictures(2))

    def refused(path: Path, **_: object) -> None:
        if path.parent.name == 'out':
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / 'out').mkdir()
    for call in ('mkdir', 'unlink'):
        monkeypatch.setattr(Path, call, refused)
    assert run(film, tmp_path / 'out' / 'depth.mp4') == 2
    assert 'cannot be written: Read-only file system' in capsys.readouterr().err


def test_a_film_that_does_not_fit_is_one_line_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_film(tmp_path / 'film.mp4', pictures(3))
    out = tmp_path / 'depth.mp4'
    assert run(film, out) == 0
    older = out.read_bytes()
    # The folder of /dev/full: FFmpeg gets ENOSPC from a real device.
    (tmp_path / 'depth.mp4.writing').symlink_to('/dev/full')
    assert run(film, out) == 2
    error = capsys.readouterr().err
    assert len([line for line in error.splitlines() if line.startswith('depth_anything:')]) == 1
    assert f'{out} cannot be written: No space left on device' in error
    assert not (tmp_path / 'depth.mp4.writing').exists()
    assert out.read_bytes() == older


def test_a_film_is_counted_before_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = FilmWriter(tmp_path / 'depth.mp4', 10.0)
    for index, each in enumerate(pictures(5)):
        writer.append(each, index * 100_000_000)
    short = write_film(tmp_path / 'short.mp4', pictures(2))

    def cut(parts: object, path: Path, *more: object) -> list[str]:
        shutil.copy(short, path)
        return []

    monkeypatch.setattr(film_writing, 'join', cut)
    with pytest.raises(SettingError, match='2 of its 5 pictures'):
        writer.close()
    assert {path.name for path in tmp_path.iterdir()} == {'short.mp4'}


def test_levels_in_a_film_are_lossless(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (3, 47, 63), np.uint16)
    writer = FilmWriter(tmp_path / 'levels.mkv', 10.0)
    for index, each in enumerate(levels):
        writer.append(each, index * 100_000_000)
    writer.close()
    with av.open(str(tmp_path / 'levels.mkv')) as film:
        found = [frame.to_ndarray() for frame in film.decode(video=0)]
    assert (np.stack(found) == levels).all()


def source_of(*shots: Shot, live: bool = False) -> Source:
    return Source(iter(shots), 0, moving=True, live=live, rate_hz=10.0)


def stream() -> DepthStream:
    parameters = parameters_from_flat({'variant': 'demo', 'weights': 'random', 'device': 'cpu'})
    return DepthStream(load_backend(parameters), parameters)


def test_a_webcam_film_lasts_as_long_as_it_was_filmed(tmp_path: Path) -> None:
    # Four frames of a nominal 10 Hz that the network had time for at 2 Hz.
    source = source_of(
        *(
            Shot(
                f'frame_{index}',
                index * 500_000_000,
                lambda index=index: Picture(picture(64, 48, index)),
            )
            for index in range(4)
        ),
        live=True,
    )
    out = tmp_path / 'depth.mp4'
    summary = run_job(source, stream(), open_outputs(source, out, ('color',), 0))
    assert summary.written == 4
    assert [seconds for seconds, _ in frames_of(out)] == pytest.approx([0, 0.5, 1.0, 1.5])
    assert streams_of(out)['seconds'] == pytest.approx(1.6)


def test_unreadable_frames_before_the_first_are_blank(tmp_path: Path) -> None:
    def broken() -> Picture:
        raise FrameError('unreadable', 'broken')

    source = source_of(
        Shot('a', 0, broken),
        Shot('b', 100_000_000, lambda: Picture(picture(64, 48))),
        Shot('c', 200_000_000, broken),
    )
    out = tmp_path / 'depth.mp4'
    summary = run_job(source, stream(), open_outputs(source, out, ('color',), 0))
    assert (summary.written, summary.held, summary.blank) == (3, 1, 1)
    assert len(frames_of(out)) == 3


def test_a_network_slower_than_the_film_does_not_pile_up_frames(tmp_path: Path) -> None:
    read: list[int] = []
    done: list[str] = []

    def shots():
        for index in range(30):
            read.append(index)
            yield Shot(f'{index}', index * 100_000_000, lambda: Picture(picture(64, 48)))

    source = Source(shots(), 30, moving=True)
    outputs = open_outputs(source, tmp_path / 'out', ('color',), 0)
    most = 0

    def on_frame(name: str) -> None:
        nonlocal most
        done.append(name)
        most = max(most, len(read) - len(done))

    run_job(source, stream(), outputs, on_frame=on_frame)
    assert len(done) == 30 and most <= 3


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_what_was_done_before_a_signal_plays(tmp_path: Path, number: signal.Signals) -> None:
    film = write_film(tmp_path / 'film.mkv', pictures(3000, 64, 48), codec='mpeg4')
    out = tmp_path / 'depth.mp4'
    # The signal comes from the run itself, at its twentieth frame.
    program = (
        'import os, sys\n'
        'from depth_anything_ros import cli\n'
        'from depth_anything_ros.media import film_writing\n'
        'write, seen = film_writing.FilmWriter.append, []\n'
        'def counted(self, *given):\n'
        '    write(self, *given)\n'
        '    seen.append(0)\n'
        '    if len(seen) == 20:\n'
        '        os.kill(os.getpid(), int(sys.argv.pop()))\n'
        'film_writing.FilmWriter.append = counted\n'
        'number = sys.argv[-1]\n'
        'sys.exit(cli.main(sys.argv[1:-1]))\n'
    )
    command = [sys.executable, '-c', program, 'run', str(film), str(out), *FAST, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 1, done.stderr
    count = len(frames_of(out))
    assert 20 <= count < 60
    by = 'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'
    first, *_ = done.stdout.splitlines()
    assert first.startswith(f'{count} frames in {out}') and f', stopped by {by}; not' in first
    # Nothing of it can be gone on from, but it is not a finished film.
    assert [each.name for each in (tmp_path / 'depth.mp4.parts').iterdir()] == ['run.json']
    assert 'not finished: depth.mp4.parts marks it' in first


def test_pictures_of_another_size_are_resized_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    for index, width in enumerate((64, 80, 64)):
        cv2.imwrite(str(images / f'{index}.png'), picture(width, 48, index))
    out = tmp_path / 'depth.mp4'
    assert run(images, out, '--sequence', '5') == 0
    assert {image.shape for _, image in frames_of(out)} == {(48, 64, 3)}
    error = capsys.readouterr().err
    assert error.count('pictures of another size are resized to 64 x 48') == 1


@pytest.mark.parametrize('ending', ['.mp4', '.mkv'])
def test_wherever_the_disk_gets_full_it_is_one_line(tmp_path: Path, ending: str) -> None:
    # In a process of its own: FFmpeg that goes on with such a film ends Python.
    # Pictures that wait when the disk is full come after the error.
    program = (
        'import resource, sys\n'
        'from pathlib import Path\n'
        'from depth_anything_ros.core.errors import SettingError\n'
        'from depth_anything_ros.media.film_writing import FilmWriter\n'
        'import numpy as np\n'
        'noise = np.random.default_rng(0).integers(0, 255, (60, 96, 128, 3), np.uint8)\n'
        'out = Path(sys.argv[1])\n'
        'results = []\n'
        'for limit in range(5000, 900000, 75000):\n'
        '    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n'
        '    writer = FilmWriter(out, 10.0)\n'
        '    try:\n'
        '        for index, each in enumerate(noise):\n'
        '            writer.append(each, index * 100_000_000)\n'
        '        writer.close()\n'
        '    except SettingError as error:\n'
        '        writer.append(noise[0], 10**12)\n'
        '        writer.discard()\n'
        '        results.append(str(error).count("cannot be written: File too large"))\n'
        '        assert not list(out.parent.iterdir()), limit\n'
        '    else:\n'
        '        results.append(2)\n'
        '        out.unlink()\n'
        'print(*results)\n'
    )
    command = [sys.executable, '-c', program, str(tmp_path / f'out{ending}')]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = done.stdout.split()
    assert set(results) == {'1', '2'}
    assert results == sorted(results)


def test_a_film_has_the_colours_of_its_pictures(tmp_path: Path) -> None:
    colors = np.array([[[0, 0, 220], [0, 200, 0]], [[220, 0, 0], [30, 200, 220]]], np.uint8)
    exact = cv2.resize(colors, (128, 96), interpolation=cv2.INTER_NEAREST)
    writer = FilmWriter(tmp_path / 'film.mp4', 10.0)
    writer.append(exact, 0)
    writer.close()
    with av.open(str(tmp_path / 'film.mp4')) as film:
        (frame,) = film.decode(video=0)
        assert (frame.colorspace, frame.color_range) == (1, 1)  # as the file says: BT.709
        found = frame.to_ndarray(format='bgr24', src_colorspace='ITU709')
    for row, column in ((24, 32), (24, 96), (72, 32), (72, 96)):
        assert found[row, column].astype(int) == pytest.approx(exact[row, column], abs=4)


def test_the_shape_of_pixels_is_kept(tmp_path: Path) -> None:
    film = write_film(tmp_path / 'film.mkv', pictures(2), pixel_aspect=Fraction(4, 3))
    assert run(film, tmp_path / 'depth.mp4') == 0
    with av.open(str(tmp_path / 'depth.mp4')) as written:
        assert written.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_a_folder_may_have_the_name_of_a_film(tmp_path: Path) -> None:
    film = write_film(tmp_path / 'film.mkv', pictures(2))
    (tmp_path / 'out.mp4').mkdir()
    assert run(film, tmp_path / 'out.mp4') == 0
    assert len(list((tmp_path / 'out.mp4').iterdir())) == 2


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / '12:30.mkv', pictures(3), sound='aac')
    assert run('12:30.mkv', 'a:b.mp4') == 0
    assert len(frames_of(tmp_path / 'a:b.mp4')) == 3
