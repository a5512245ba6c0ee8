"""The parts of a study on disk, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.reports.text import plain_json
from depth_anything_ros.settings.plain_yaml import plain_json_file

__all__ = ['Parts', 'digest']


def digest(*key: object) -> str:
    """Return a short name for values; arrays count by their bytes."""
    found = hashlib.sha256()
    for one in key:
        found.update(one.tobytes() if isinstance(one, np.ndarray) else repr(one).encode())
    return found.hexdigest()[:12]


class Parts:
    """Finished parts in `folder`/parts, named after what they depend on.

    With `resume` a part that is there is read instead of made.
    """

    def __init__(self, folder: Path, resume: bool) -> None:
        """Make the folder; SettingError where that cannot be."""
        self._folder = folder / 'parts'
        self._resume = resume
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise SettingError(f'--out {folder} cannot be written: {err.strerror}') from err

    def plain(self, name: str, key: str, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, as JSON has it."""

        def write(path: Path) -> None:
            path.write_text(plain_json(make()) + '\n')

        return self._part(f'{name}-{key}.json', write, plain_json_file)

    def image(self, name: str, key: str, make: Callable[[], FloatImage]) -> FloatImage:
        """Return the float32 (H, W) that `make` returns."""

        def write(path: Path) -> None:
            with path.open('wb') as file:
                np.save(file, make())

        return np.asarray(self._part(f'{name}-{key}.npy', write, np.load), np.float32)

    def _part(self, name: str, write: Callable[[Path], None], read: Callable[[Path], Any]) -> Any:
        path = self._folder / name
        if not (self._resume and path.exists()):
            # Renamed when whole: what has the final name is finished.
            partial = path.with_suffix('.writing')
            write(partial)
            partial.replace(path)
        try:
            return read(path)
        except Exception as err:  # NumPy raises whatever its parsers do
            raise SettingError(f'{path} cannot be read ({err!s:.100}): delete it') from err
