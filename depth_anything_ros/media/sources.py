"""What a run reads: a picture, a folder, a list, an animation, a film, a stream or a webcam."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.media import films, streams
from depth_anything_ros.media.pictures import (
    Picture,
    animation_length,
    picture_suffixes,
    read_animation,
    read_picture,
)
from depth_anything_ros.media.tally import Tally
from depth_anything_ros.settings.plain_yaml import file_bytes

__all__ = ['Shot', 'Source', 'open_source']

DEFAULT_RATE_HZ = 30.0
_MOST_LISTED_BYTES = 2**26


@dataclass(frozen=True)
class Shot:
    """One image to come: its name, its time in nanoseconds, and how to read it.

    `position` is that of a film behind it.
    """

    name: str
    stamp_ns: int
    read: Callable[[], Picture]
    position: films.Position | None = None


@dataclass
class Source:
    """Where images come from.

    `moving` tells frames that belong together from separate stills, `live` a camera from a film;
    `length` is 0 where unknown. `reads` names the files and the folder that they are, which no
    output replaces. `skipped` are the files of a folder that are not pictures. `fault` says, at
    the end, what of a film could not be read. `single` tells one picture from a folder with one.
    `levels` are those that the frames of a film share. `stream` is set for a live one.
    """

    shots: Iterator[Shot]
    length: int
    moving: bool
    live: bool = False
    single: bool = False
    rate_hz: float = DEFAULT_RATE_HZ
    reads: tuple[Path, ...] = ()
    skipped: Tally = field(default_factory=Tally)
    film: films.Film | None = None
    stream: streams.LiveStream | None = None
    levels: Levels | None = None
    fault: str = ''

    @property
    def by_url(self) -> bool:
        """Whether a network is between this and the images."""
        return self.film is not None and self.film.timeout_s is not None

    @property
    def dropped(self) -> int:
        """How many images of a live stream were not taken."""
        return self.stream.dropped if self.stream is not None else 0

    @property
    def broken(self) -> int:
        """How many images of a live stream could not be decoded."""
        return self.stream.broken if self.stream is not None else 0

    def close(self) -> None:
        """Close what is read, which may not be at its end."""
        if isinstance(self.shots, Generator):
            self.shots.close()

    def position(self, shot: Shot) -> dict[str, Any]:
        """Return what `go_on` needs to begin behind `shot`, for JSON."""
        levels = self.levels.bounds if self.levels else None
        return {'film': asdict(shot.position) if shot.position else None, 'levels': levels}

    def go_on(self, count: int, position: Mapping[str, Any]) -> None:
        """Leave out the first `count` shots, the last of which was at `position`."""
        if self.levels is not None and position['levels']:
            low, high = position['levels']
            self.levels.bounds = low, high
        if self.film is not None:
            key = position['film']['key']
            self.film.after = films.Position(
                **{**position['film'], 'key': None if key is None else tuple(key)}
            )
        else:
            self.shots = islice(self.shots, count, None)


def open_source(
    text: str,
    *,
    recursive: bool = False,
    sequence_hz: float | None = None,
    out: Path | None = None,
) -> Source:
    """Open a picture, a folder, a list, an animation, a film, a URL, or a webcam ('webcam:1').

    `sequence_hz` makes the pictures of a folder or a list the frames of a film. `out` is the
    output, which is not searched for input. Raises SettingError where there is nothing of that
    kind.
    """
    webcam = re.fullmatch(r'webcam(?::(\d+))?', text)
    path = Path(text).expanduser()
    url = streams.is_url(text)
    folder = not webcam and not url and path.is_dir()
    listed = not webcam and not url and not folder and path.suffix.lower() == '.txt'
    shown = streams.without_secrets(text) if url else path
    if recursive and not folder:
        raise SettingError(f'--recursive is for a folder, and {shown} is none: leave it out')
    if sequence_hz is not None and not (folder or listed):
        raise SettingError(
            f'--sequence is for a folder or a list, and {shown} is none: leave it out'
        )
    if webcam:
        return _live(streams.open_webcam(f'/dev/video{webcam.group(1) or 0}'))
    if url:
        opened = streams.open_url(text)
        return _film(opened) if isinstance(opened, films.Film) else _live(opened)
    if folder:
        return _folder(path, recursive, sequence_hz, out)
    if not path.exists():
        raise SettingError(
            f"{path} does not exist: give an image, a folder, a list, a video, or 'webcam'"
        )
    if str(path).startswith('/dev/video'):
        return _live(streams.open_webcam(str(path)))
    if not path.is_file():
        raise SettingError(f'{path} is a pipe or a device: copy it to a file first')
    suffix = path.suffix.lower()
    if listed:
        return _list(path, sequence_hz)
    if suffix in picture_suffixes():
        frames = animation_length(path)
        return _animation(path, frames) if frames else _one_picture(path)
    if suffix in films.SUFFIXES:
        return _film(films.open_film(path), path)
    raise SettingError(
        f'{path} is neither image nor video by its name: let it end as what it is, .jpg or .mp4'
    )


def _one_picture(path: Path) -> Source:
    shots = iter([Shot(path.stem, 0, lambda: read_picture(path))])
    return Source(shots, 1, moving=False, single=True, reads=(path,))


def _folder(folder: Path, recursive: bool, sequence_hz: float | None, out: Path | None) -> Source:
    files: list[Path] = []
    skipped = Tally()
    _search(folder, folder, recursive, out, files, skipped)
    if not files:
        left = f' ({len(skipped)} other files or folders)' if skipped else ''
        fix = (
            ', add --recursive to search the folders in it' if 'folder' in skipped.by_kind else ''
        )
        raise SettingError(
            f'{folder} holds no image{left}: put .jpg or .png there{fix}, or name a file'
        )
    return _pictures(folder, files, sequence_hz, (folder, *files), skipped)


def _list(path: Path, sequence_hz: float | None) -> Source:
    """Return the pictures that a file names, a line each, relative to its folder."""
    folder, files, skipped = path.parent, [], Tally()
    try:
        lines = file_bytes(path, _MOST_LISTED_BYTES).removeprefix(b'\xef\xbb\xbf').splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, 'strerror', None) or error
        raise SettingError(f'{path} cannot be read: {why}') from error
    for line in lines:
        # A name is any bytes; what does not exist is left out when its turn comes.
        name = os.fsdecode(line.strip())
        if not name or name.startswith('#'):
            continue
        file = Path(os.path.normpath(folder / name))
        if file.suffix.lower() in picture_suffixes() and not file.is_dir():
            files.append(file)
        else:
            skipped.add('no_picture', name, 'it is not a picture by its name')
    if not files:
        raise SettingError(f'{path} names no picture: write one path on each line')
    return _pictures(Path(os.path.normpath(folder)), files, sequence_hz, (path, *files), skipped)


def _pictures(
    folder: Path,
    files: list[Path],
    sequence_hz: float | None,
    reads: tuple[Path, ...],
    skipped: Tally,
) -> Source:
    moving = sequence_hz is not None
    rate_hz = sequence_hz or DEFAULT_RATE_HZ
    # Frames of a film are stretched alike, stills each by itself.
    levels = Levels() if moving else None
    shots = (
        Shot(name, round(index / rate_hz * 1e9), partial(read_picture, path, levels))
        for index, (name, path) in enumerate(zip(_names(folder, files), files, strict=True))
    )
    return Source(
        shots,
        len(files),
        moving,
        rate_hz=rate_hz,
        reads=reads,
        skipped=skipped,
        levels=levels,
    )


def _search(
    root: Path, folder: Path, recursive: bool, out: Path | None, files: list[Path], skipped: Tally
) -> None:
    """Add the pictures in `folder` to `files`, and everything else to `skipped`."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: _natural(path.name))
    except OSError as error:
        if folder == root:
            raise SettingError(f'{folder} cannot be read: {error.strerror}') from error
        skipped.add('unreadable', str(folder.relative_to(root)), f'{error.strerror}')
        return
    for path in entries:
        name, suffix = str(path.relative_to(root)), path.suffix.lower()
        if path.is_dir():
            if out is not None and out.exists() and path.samefile(out):
                continue
            if not recursive:
                skipped.add('folder', name, 'a folder is searched with --recursive')
            elif path.is_symlink():
                skipped.add('link', name, 'links to folders are not followed')
            else:
                _search(root, path, recursive, out, files, skipped)
        elif not path.is_file():
            skipped.add('no_file', name, 'it is a pipe, a device or a link to nothing')
        elif suffix in picture_suffixes():
            files.append(path)
        elif suffix in films.SUFFIXES:
            skipped.add('film', name, 'a film is a run of its own')
        else:
            skipped.add('no_picture', name, 'it is not a picture by its name')


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts 'b10' behind 'b9'."""
    parts = re.findall(r'[0-9]+|[^0-9]+', name)
    return [(int(part), part) if part[0] in '0123456789' else (-1, part) for part in parts]


def _names(folder: Path, files: list[Path]) -> list[str]:
    """Return a name for the output of each file, relative to `folder`, each once.

    What lies elsewhere is written beside them.
    """
    stems = [
        (path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)).with_suffix(
            ''
        )
        for path in files
    ]
    count = Counter(stems)
    taken: set[str] = set()
    names = []
    for path, stem in zip(files, stems, strict=True):
        # Two files that differ in the ending only must not write to one.
        name = str(stem)
        if count[stem] > 1:
            name = str(stem.with_name(path.name.replace('.', '_')))
        while name in taken:
            name += '_'
        taken.add(name)
        names.append(name)
    return names


def _animation(path: Path, length: int) -> Source:
    source = Source(iter(()), length, moving=True, reads=(path,))

    def shots() -> Iterator[Shot]:
        time_ms = index = 0
        try:
            for duration_ms, picture in read_animation(path):
                name = f'frame_{index:06d}'
                yield Shot(name, time_ms * 1_000_000, lambda picture=picture: picture)  # type: ignore[misc]
                time_ms, index = time_ms + duration_ms, index + 1
        except FrameError as error:
            source.fault = f'{index} of {length} frames could be read: {error}'

    source.shots = shots()
    return source


def _film(film: films.Film, *reads: Path) -> Source:
    levels = Levels()
    source = Source(
        iter(()),
        film.length,
        moving=True,
        rate_hz=film.rate_hz,
        reads=reads,
        film=film,
        levels=levels,
    )

    def shots() -> Iterator[Shot]:
        for at, frame in film.frames():
            name = f'frame_{at.frames - 1:06d}'
            yield Shot(name, at.newest_ns, partial(films.picture_of, frame, levels), at)
        source.fault = film.fault

    source.shots = shots()
    return source


def _live(stream: streams.LiveStream) -> Source:
    source = Source(iter(()), 0, moving=True, live=True, rate_hz=stream.rate_hz, stream=stream)

    def shots() -> Iterator[Shot]:
        levels = Levels()
        for index, (stamp_ns, frame) in enumerate(stream.frames()):
            name = f'frame_{index:06d}'
            yield Shot(name, stamp_ns, partial(films.picture_of, frame, levels))
        source.fault = stream.fault

    source.shots = shots()
    return source
