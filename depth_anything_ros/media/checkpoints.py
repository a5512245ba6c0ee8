"""OUT.parts: what a run that is not finished has done, from which `--resume` goes on.

It lies beside OUT until OUT is whole. `run.json` says what the run is; after each part, the files
`part_000000.mp4` and `.json` hold its frames and what the next one depends on, `.npz` its last
frame. The `.json` comes last: a part without it does not count.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.backends.base import BackendInfo
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import Parameters, flatten
from depth_anything_ros.media.sources import Source
from depth_anything_ros.settings.input_files import lock
from depth_anything_ros.settings.plain_yaml import plain_json_file

__all__ = ['PART_FRAMES', 'Checkpoints', 'identity', 'write_whole']

PART_FRAMES = 100
"""Frames of a part: as many at most are done again after an interruption."""

_FORMAT_NAME, _FORMAT = 'format of parts', 2
_PART = re.compile(r'part_(\d{6})\.(json|npz|mp4|mkv)(\.writing)?')
_DIGESTED_BYTES = 1 << 20
# They change nothing in the result, or are said as the network that they led to.
_NOT_COMPARED = ('allow_download', 'threads', 'weights', 'backend', 'device', 'precision')

Arrays = Mapping[str, npt.NDArray[Any]]


class Checkpoints:
    """The parts of one output, in their order."""

    def __init__(self, out: Path, *, resume: bool = False, live: bool = False) -> None:
        """Raise SettingError where parts are left of an earlier run, unless that is resumed.

        That of a `live` source cannot be.
        """
        self.folder = out.absolute().with_name(out.name + '.parts')
        self.count = 0
        """Parts that count."""
        self._shown = out.with_name(self.folder.name)
        self._lock = -1
        # Of an earlier run that was not finished, even where none of its parts counts.
        self._marked = (self.folder / 'run.json').exists()
        while self._path(self.count, '.json').exists():
            self.count += 1
        if self.count and not resume:
            frames = self._read(self._path(self.count - 1, '.json'))['frames']
            fix = 'what is in it plays: move it, or' if live else 'add --resume to go on, or'
            raise SettingError(
                f'{self._shown} holds {frames} frames of a run that was not finished: {fix} '
                'delete that folder to start anew'
            )

    def begin(self, run: Mapping[str, object]) -> tuple[list[dict[str, Any]], Arrays]:
        """Return the state after each part of the earlier `run`, and the arrays of the last.

        There are none for a new one. SettingError where the parts are of another run, naming what
        differs.
        """
        try:
            self.folder.mkdir(exist_ok=True)
            folder = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise self._unwritable(error) from error
        if not lock(folder):
            os.close(folder)
            raise SettingError(f'{self._shown} is in use: another run writes there')
        self._lock = folder
        try:
            return self._begun(run)
        except BaseException:
            self.end(finished=False)
            raise

    def _begun(self, run: Mapping[str, object]) -> tuple[list[dict[str, Any]], Arrays]:
        path, run = self.folder / 'run.json', {**run, _FORMAT_NAME: _FORMAT}
        if self.count:
            before, run = self._read(path), json.loads(json.dumps(run))
            if before.get(_FORMAT_NAME) != _FORMAT:
                raise SettingError(
                    f'{self._shown} was left by another version of this package: finish it with '
                    'that one, or delete the folder to start anew'
                )
            different = [
                f'{name} was {before.get(name)!r} and is {run.get(name)!r}'
                for name in sorted({*before, *run})
                if before.get(name) != run.get(name)
            ]
            if different:
                raise SettingError(
                    f'{self._shown} is of another run: {"; ".join(different)}. Run that one, or '
                    'delete the folder to start anew'
                )
        else:
            write_whole(path, json.dumps(run, indent=1).encode())
        self._clear(self.count)
        if not self.count:
            return [], {}
        states = [self._read(path) for path in self.parts('.json')]
        try:
            content = io.BytesIO(self._path(self.count - 1, '.npz').read_bytes())
            with np.load(content) as file:
                if any(each.file_size > each.compress_size for each in file.zip.infolist()):
                    raise ValueError('what savez writes is not compressed')
                return states, dict(file)
        except Exception as error:  # NumPy raises whatever its parsers do
            raise self._unreadable(self._path(self.count - 1, '.npz')) from error

    def next_part(self, suffix: str) -> Path:
        """Return the path of the part to come."""
        return self._path(self.count, suffix)

    def parts(self, suffix: str) -> list[Path]:
        """Return the paths of the parts that count."""
        return [self._path(number, suffix) for number in range(self.count)]

    def save(self, state: Mapping[str, Any], arrays: Arrays) -> None:
        """Let the part to come count; `state` and the last `arrays` are what the next needs."""
        content = io.BytesIO()
        np.savez(content, **dict(arrays))  # type: ignore[arg-type]
        try:
            for film in self.folder.glob(f'part_{self.count:06d}.m*'):
                with film.open('rb') as file:
                    os.fsync(file.fileno())
            write_whole(self._path(self.count, '.npz'), content.getvalue(), durable=True)
            write_whole(self._path(self.count, '.json'), json.dumps(state).encode(), durable=True)
        except OSError as error:
            raise self._unwritable(error) from error
        if self.count:
            self._path(self.count - 1, '.npz').unlink(missing_ok=True)
        self.count += 1

    def end(self, *, finished: bool, marked: bool = False) -> None:
        """Remove the parts where the output is finished, else those that do not count.

        Without any of them the folder stays where it is `marked`: OUT is there, unfinished.
        """
        if self._lock < 0:
            return
        if finished:
            self.count = 0
        self._clear(self.count)
        if finished or not (self.count or marked or self._marked):
            (self.folder / 'run.json').unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                self.folder.rmdir()
        os.close(self._lock)
        self._lock = -1

    def _clear(self, first: int) -> None:
        """Remove the files of the parts from `first` on."""
        # The last first: what is left is the beginning, whatever happens meanwhile.
        for path in sorted(self.folder.iterdir(), reverse=True):
            part = _PART.fullmatch(path.name)
            if part is not None and int(part[1]) >= first:
                path.unlink()

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f'part_{number:06d}{suffix}'

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            found: dict[str, Any] = plain_json_file(path)
            if not isinstance(found, dict):
                raise ValueError('no object')
        except (OSError, ValueError) as error:
            raise self._unreadable(path) from error
        return found

    def _unreadable(self, path: Path) -> SettingError:
        return SettingError(f'{self._shown / path.name} cannot be read: delete that folder')

    def _unwritable(self, error: OSError) -> SettingError:
        text = f'{self._shown} cannot be written: {error.strerror}. Free some space, or name '
        more = 'another place; what was done is there: add --resume to go on'
        return SettingError(text + (more if self.count else 'another place'))


def identity(
    source: Source, text: str, parameters: Parameters, network: BackendInfo, **options: object
) -> dict[str, object]:
    """Return what a run must have in common with the one that it resumes, for JSON."""
    digest = hashlib.sha256()
    for path in source.reads:
        if path.is_file():
            digest.update(f'{path.name}/{path.stat().st_size}/'.encode('utf-8', 'surrogateescape'))
            if source.film is not None:
                with path.open('rb') as file:
                    digest.update(file.read(_DIGESTED_BYTES))
                    file.seek(max(0, path.stat().st_size - _DIGESTED_BYTES))
                    digest.update(file.read())
    return {
        'input': Path(text).name,
        'sha256 of names, sizes and ends of input files': digest.hexdigest(),
        'frames of input': source.length,
        **options,
        **{k: v for k, v in flatten(parameters).items() if k not in _NOT_COMPARED},
        'network': f'{network.variant} by {network.name}, {network.device}, {network.precision}',
        'sha256 of weights': network.weights.sha256 or 'random',
        'card': network.weights.card.text,
    }


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file that has its name once it is whole; OSError where that fails.

    Where `durable`, it is on the disk then, whatever happens to the machine.
    """
    partial = path.with_name(path.name + '.writing')
    try:
        with partial.open('wb') as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
