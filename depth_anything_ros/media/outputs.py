"""Where depth goes: a folder, one picture, or a film. Nothing half done has a final name."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.media import film_writing
from depth_anything_ros.media.checkpoints import Arrays, Checkpoints, write_whole
from depth_anything_ros.media.formats import (
    SUFFIXES,
    encoded,
    film_comment,
    film_picture,
    lack_of,
    one_of,
)
from depth_anything_ros.media.own_files import refuse_foreign
from depth_anything_ros.media.pictures import picture_suffixes
from depth_anything_ros.media.sources import Source
from depth_anything_ros.settings.input_files import InputFiles

__all__ = ['Outputs', 'open_outputs']


class Outputs(Protocol):
    """What takes the frames of a run. Without a frame, an image has no depth and is blank."""

    remarks: list[str]
    resumes: bool
    """Whether an earlier run is there to go on with."""

    def begin(self, run: Mapping[str, object]) -> tuple[list[dict[str, Any]], Arrays]:
        """Return what `save` was given by an earlier `run`, and the last arrays; none without.

        SettingError where another run is not finished.
        """

    def exist(self, name: str) -> bool:
        """Return whether everything that `write` would write under this name is there."""

    def files(self, name: str) -> list[Path]:
        """Return what `write` writes under this name, or into."""

    def lack(self, frame: Frame) -> FrameError | None:
        """Return why a frame has not what a format is to hold; None where it has."""

    def write(self, name: str, stamp_ns: int, bgr: BgrImage, frame: Frame | None) -> None:
        """Write one frame; SettingError where that cannot be."""

    def save(self, state: Mapping[str, Any], arrays: Arrays) -> None:
        """Keep what was written so far, with what is needed to go on from there."""

    def close(self, *, finished: bool) -> None:
        """End with a whole output; SettingError where that cannot be.

        Where it is not `finished`, what `save` kept stays.
        """

    def discard(self) -> None:
        """Remove what is not finished."""


def open_outputs(
    source: Source,
    out: Path,
    formats: tuple[str, ...],
    max_side: int,
    *,
    inputs: InputFiles | None = None,
    resume: bool = False,
) -> Outputs:
    """Check that `out`, a file or a folder, can hold `formats` of what `source` gives.

    `inputs`: what is read, None where that is the source alone. SettingError where `out` cannot,
    is what is read, or a run into it is not finished and should not be resumed.
    """
    inputs = inputs or InputFiles(source.reads)
    suffix = out.suffix.lower()
    folder = out.is_dir() or not suffix
    one_file = not folder and bool(one_of(suffix))
    filmed_by_name = one_file and suffix in film_writing.SUFFIXES
    filmed = filmed_by_name and source.moving
    still = source.length == 1 and not source.moving
    single = one_file and still and suffix not in film_writing.SUFFIXES
    if not (folder or single or filmed):
        if source.moving:
            content = 'a film: name a folder, or a file ending in .mp4'
        elif source.length == 1:
            content = 'a picture: name a folder, or a file ending in .png'
        else:
            content = f'{source.length} pictures: name a folder'
            if filmed_by_name:
                content += ', or add --sequence'
        raise SettingError(f'{out} cannot hold {content}')
    if one_file and (len(formats) != 1 or formats[0] not in one_of(suffix)):
        *others, last = (f"'{each}'" for each in one_of(suffix))
        choice = f'{", ".join(others)} or {last}' if others else last
        raise SettingError(f'{out} is one file: save one of {choice} there, or name a folder')
    inputs.refuse(out)
    try:
        if filmed or (single and suffix in picture_suffixes() and not resume):
            refuse_foreign(out, film=filmed)
        (out.parent if one_file else out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f'{out} cannot be written ({error.strerror}): name another') from error
    lasting = source.moving and (filmed or not source.live)
    checkpoints = Checkpoints(out, resume=resume, live=source.live) if lasting else None
    if not filmed:
        return Files(out, formats, max_side, single, checkpoints, inputs)
    film = source.film
    return _Film(
        formats[0],
        max_side,
        out,
        source.rate_hz,
        film.pixel_aspect if film is not None else Fraction(1),
        film.url if film is not None else None,
        checkpoints,
        film_comment(formats[0]),
    )


class Files:
    """A file for each frame and format in a folder, or one file."""

    def __init__(
        self,
        out: Path,
        formats: tuple[str, ...],
        max_side: int,
        single: bool,
        checkpoints: Checkpoints | None,
        inputs: InputFiles,
    ) -> None:
        self.remarks: list[str] = []
        self._out, self._formats, self._max_side, self._single = out, formats, max_side, single
        self._checkpoints, self._inputs, self._written = checkpoints, inputs, False
        self.resumes = checkpoints is not None and checkpoints.count > 0

    def begin(self, run: Mapping[str, object]) -> tuple[list[dict[str, Any]], Arrays]:
        return self._checkpoints.begin(run) if self._checkpoints is not None else ([], {})

    def save(self, state: Mapping[str, Any], arrays: Arrays) -> None:
        if self._checkpoints is not None:
            self._checkpoints.save(state, arrays)

    def exist(self, name: str) -> bool:
        # Unlike Path.exists it takes a name that is too long.
        return all(os.path.exists(path) for path in self.files(name))  # noqa: PTH110

    def files(self, name: str) -> list[Path]:
        return [self._path(name, each) for each in self._formats]

    def lack(self, frame: Frame) -> FrameError | None:
        return lack_of(self._formats, frame)

    def write(self, name: str, stamp_ns: int, bgr: BgrImage, frame: Frame | None) -> None:
        contents = {}
        for format_ in self._formats:
            path = self._path(name, format_)
            self._inputs.refuse(path)
            suffix = path.suffix.lower()
            contents[path] = encoded(format_, suffix, bgr, frame, self._max_side)
        # Together, and only once there is each of them.
        for path, content in contents.items():
            _write(path, content)
        self._written = True

    def close(self, *, finished: bool) -> None:
        """Each file is whole already."""
        if self._checkpoints is not None:
            self._checkpoints.end(finished=finished, marked=self._written)

    def discard(self) -> None:
        """Each file is whole already."""
        self.close(finished=False)

    def _path(self, name: str, format_: str) -> Path:
        return self._out if self._single else self._out / f'{name}_{SUFFIXES[format_]}'


class _Film(film_writing.FilmWriter):
    """One film of one format, of depth at most `max_side` large."""

    def __init__(self, format_: str, max_side: int, *film: Any) -> None:
        super().__init__(*film)
        self._format, self._max_side = format_, max_side

    def exist(self, name: str) -> bool:
        return False

    def files(self, name: str) -> list[Path]:
        return [self.out]

    def lack(self, frame: Frame) -> FrameError | None:
        return lack_of((self._format,), frame)

    def write(self, name: str, stamp_ns: int, bgr: BgrImage, frame: Frame | None) -> None:
        self.append(film_picture(self._format, bgr, frame, self._max_side), stamp_ns)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            # That of this picture alone: the others go on.
            raise FrameError('unwritable', f'{path} is too long a name: shorten it') from error
        raise SettingError(
            f'{path} cannot be written: {error.strerror}. Free some space, or name another place'
        ) from error
