"""The parts of a study on disk, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        path = self._folder / f'{name}-{key}.json'
        if not (self._resume and path.exists()):
            # Renamed when whole: what has the final name is finished.
            partial = path.with_suffix('.writing')
            partial.write_text(plain_json(make()) + '\n')
            partial.replace(path)
        with _read(path):
            return plain_json_file(path)

    def kept_image(self, name: str, key: str) -> FloatImage | None:
        """Return the float32 (H, W) that is there and may be used."""
        path = self._folder / f'{name}-{key}.npy'
        if not (self._resume and path.exists()):
            return None
        with _read(path):
            return np.asarray(np.load(path), np.float32)

    def keep_image(self, name: str, key: str, image: FloatImage) -> None:
        """Write float32 (H, W) as an NPY file."""
        path = self._folder / f'{name}-{key}.npy'
        with path.with_suffix('.writing').open('wb') as file:
            np.save(file, image)
        path.with_suffix('.writing').replace(path)


@contextmanager
def _read(path: Path) -> Iterator[None]:
    """Say which file cannot be read in this block."""
    try:
        yield
    except Exception as err:  # NumPy raises whatever its parsers do
        raise SettingError(f'{path} cannot be read ({err!s:.100}): delete it') from err
