"""A film made on the spot, killed and resumed, against the same run that never ended.

Both are lossless: libx264 does not always encode equal pictures alike.
Prints resident memory over the uninterrupted run, the frames that differ, and how far the sound is
from where it was.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.cli.options import add_size, positive
from depth_anything_ros.cli.terminal import progress
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.reports.text import aligned, plain_json
from lab import command
from lab.process_memory import MemorySample, memory_of

__all__ = ['FilmClaim', 'bench_film', 'main', 'make_film']

_POLL_S = 0.02
_SHOWN = 12
_SOUND_HZ = 16_000


@dataclass(frozen=True)
class FilmClaim:
    """What became of a film of `seconds`, killed after each of `killed_after` frames.

    `differing` frames or times are not those of the uninterrupted run; `sound_off_s` is the most
    that a packet of sound is from its place in the input, or that its end is from that of the
    pictures more than in the input. `run` is what the uninterrupted run printed as JSON.
    """

    seconds: float
    frames: int
    killed_after: tuple[int, ...]
    resumed_after: tuple[int, ...]
    differing: int
    sound_off_s: float
    memory: tuple[MemorySample, ...]
    run: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Return whether nothing differs and the sound is in step to a frame."""
        return self.differing == 0 and self.sound_off_s <= self.seconds / self.frames


def make_film(path: Path, seconds: float, rate_hz: int, size: tuple[int, int]) -> int:
    """Write a film of `size` (width, height) with sound, black now and then; return its frames."""
    scenes = [cv2.flip(photograph(), code) for code in (1, 0, -1)]
    count = round(seconds * rate_hz)
    with av.open(str(path), 'w') as film:
        stream = film.add_stream('libx264', rate=rate_hz, options={'preset': 'ultrafast'})
        stream.width, stream.height = size
        sound = film.add_stream('aac', rate=_SOUND_HZ, layout='mono')
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(_picture(scenes, index, rate_hz, size), 'bgr24')
            frame.pts, frame.time_base = index, Fraction(1, rate_hz)
            film.mux(stream.encode(frame))
            start, end = (_SOUND_HZ * each // rate_hz for each in (index, index + 1))
            wave = (8000 * np.sin(np.arange(start, end) * 0.1)).astype(np.int16)[None]
            heard = av.AudioFrame.from_ndarray(wave, format='s16', layout='mono')
            heard.sample_rate, heard.pts = _SOUND_HZ, start
            film.mux(sound.encode(heard))
        film.mux(stream.encode())
        film.mux(sound.encode())
    return count


def _picture(
    scenes: Sequence[npt.NDArray[Any]], index: int, rate_hz: int, size: tuple[int, int]
) -> BgrImage:
    second = index // rate_hz
    if second % 60 == 59:
        return np.zeros((size[1], size[0], 3), np.uint8)
    scene = scenes[second // 20 % len(scenes)]
    left = index % (scene.shape[1] // 4)
    view = scene[:, left : left + scene.shape[1] // 2]
    return np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA), np.uint8)


def bench_film(
    seconds: float,
    rate_hz: int = 5,
    size: tuple[int, int] = (96, 64),
    kills: int = 3,
    on_progress: Callable[[float, float], None] = lambda done, total: None,
) -> FilmClaim:
    """Make a film and run the demo network over it, once as it is and once killed `kills` times.

    Raises DepthAnythingError where a run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        film, whole, killed = (
            Path(folder) / name for name in ('in.mp4', 'whole.mkv', 'killed.mkv')
        )
        frames = make_film(film, seconds, rate_hz, size)
        memory: list[MemorySample] = []
        run = _finish(_start(film, whole), whole, lambda done: on_progress(done, frames), memory)
        killed_after, resumed_after = [], []
        for number in range(kills):
            child = _start(film, killed)
            wanted = frames * (number + 1) // (kills + 1)
            while (done := _parts(killed)[1]) < wanted and child.poll() is None:
                time.sleep(_POLL_S)
            child.send_signal(signal.SIGKILL)
            child.communicate()
            killed_after.append(done)
            on_progress(done, frames)
        resumed = _finish(_start(film, killed), killed, lambda done: on_progress(done, frames), [])
        resumed_after.append(resumed['resumed'])
        return FilmClaim(
            seconds,
            frames,
            tuple(killed_after),
            tuple(resumed_after),
            _differing(whole, killed),
            max(_sound_off_s(film, each) for each in (whole, killed)),
            tuple(memory),
            run,
        )


def _start(film: Path, out: Path) -> subprocess.Popen[str]:
    words = [sys.executable, '-m', 'depth_anything_ros.cli', 'run', str(film), str(out)]
    words += ['--save', 'png16', '--variant', 'demo', '--device', 'cpu']
    pipe = subprocess.PIPE
    return subprocess.Popen([*words, '--resume', '--json'], stdout=pipe, stderr=pipe, text=True)


def _finish(
    child: subprocess.Popen[str],
    out: Path,
    on_done: Callable[[int], None],
    memory: list[MemorySample],
) -> dict[str, Any]:
    """Wait, with a sample of the memory for each part; return what the run printed."""
    parts = -1
    while child.poll() is None:
        now, done = _parts(out)
        if now > parts:
            parts = now
            memory.append(memory_of(child.pid, done))
            on_done(done)
        time.sleep(_POLL_S)
    printed, errors = child.communicate()
    # 1: some frames are black.
    if child.returncode not in (0, 1):
        raise DepthAnythingError(f'the run ended with {child.returncode}: {errors.strip()}')
    found: dict[str, Any] = json.loads(printed)
    return found


def _parts(out: Path) -> tuple[int, int]:
    """Return how many parts of a film are done, and the frames in them."""
    try:
        parts = sorted(out.with_name(out.name + '.parts').glob('part_*.json'))
        return len(parts), json.loads(parts[-1].read_text())['frames'] if parts else 0
    except FileNotFoundError:  # joined meanwhile
        return 0, 0


def _frames(path: Path) -> Iterator[tuple[int | None, npt.NDArray[Any]]]:
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            yield frame.pts, frame.to_ndarray()


def _differing(one: Path, other: Path) -> int:
    return sum(
        a is None or b is None or a[0] != b[0] or not np.array_equal(a[1], b[1])
        for a, b in zip_longest(_frames(one), _frames(other))
    )


def _sound_off_s(film: Path, out: Path) -> float:
    before, now = _sound_times(film), _sound_times(out)
    if not now or abs(len(before) - len(now)) > 1:
        return float('inf')
    return max(abs(a - b) for a, b in zip(before, now, strict=False))


def _sound_times(path: Path) -> list[float]:
    """Return the second of each packet of sound, from the first picture on."""
    with av.open(str(path)) as film:
        first = next(film.decode(video=0))
        start_s = float(first.time or 0.0)
    with av.open(str(path)) as film:
        packets = film.demux(audio=0)
        return [
            float(each.pts * each.time_base) - start_s for each in packets if each.pts is not None
        ]


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status: 1 where something differs."""
    parser = command.parser_of('lab.claims.film', __doc__)
    parser.add_argument('--seconds', type=positive, metavar='S', default=3600.0, help='of film')
    parser.add_argument('--rate', type=int, metavar='HZ', default=5, help='default: %(default)s')
    parser.add_argument(
        '--kills', type=int, metavar='N', default=3, help='kill -9 so often (default: %(default)s)'
    )
    add_size(parser)
    parser.set_defaults(size=(96, 64))
    command.add_json(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    with progress('frame') as show:
        claim = bench_film(options.seconds, options.rate, options.size, options.kills, show)
    if options.json:
        print(plain_json(claim))
        return 0 if claim.holds else 1
    run = claim.run
    print(f'film        {claim.seconds:g} s, {claim.frames} frames, {run["held"]} of them black')
    print(f'killed      after {", ".join(map(str, claim.killed_after))} frames, then resumed')
    print(f'differing   {claim.differing} frames from the run that was not killed')
    print(f'sound       off by {claim.sound_off_s * 1e3:.1f} ms at most')
    print(
        f'time        {run["total_s"]:.0f} s: decoding {run["decoding_s"]:.0f}, network '
        f'{run["network_s"]:.0f}, encoding {run["encoding_s"]:.0f}; '
        f'{run["hours_per_film_hour"]:.3g} hours for an hour of film\n'
    )
    shown = np.linspace(0, len(claim.memory) - 1, min(_SHOWN, len(claim.memory))).round()
    rows = [['frame', 'resident MB', 'anonymous MB', 'threads', 'descriptors']]
    for each in (claim.memory[int(index)] for index in shown):
        memory = f'{each.resident_kb / 1024:.1f}', f'{each.anonymous_kb / 1024:.1f}'
        rows.append([str(each.frame), *memory, str(each.threads), str(each.descriptors)])
    print('\n'.join(aligned(rows)))
    return 0 if claim.holds else 1


if __name__ == '__main__':
    raise SystemExit(main())
