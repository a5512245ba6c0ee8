"""Folders and object storage, by fsspec: what goes wrong there is one line, with its fix."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from depth_anything_ros.core.errors import SettingError, shown

__all__ = ['Storage']

# By name: their packages need not be there.
_FIXES = {
    'FileNotFoundError': 'check the name of the bucket',
    'PermissionError': 'its user has to be allowed to list, read and write there',
    'NoCredentialsError': 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE',
    'ConnectionError': 'check the network and the endpoint (AWS_ENDPOINT_URL)',
    'Exception': 'check the network, and the keys that its fsspec package wants',
}
_FULL = 'free some space, or set TMPDIR to another disk'


class Storage:
    """The file system of a place, a path or a URL; each method raises SettingError."""

    def __init__(self, place: str) -> None:
        self.place = place
        try:
            self._files, root = url_to_fs(
                place if '://' in place else str(Path(place).expanduser())
            )
        except (ImportError, ValueError) as err:
            text = f'{place}: {err}; give a path, or a URL such as s3://bucket'
            raise SettingError(text) from err
        self.root: str = root.rstrip('/') or '/'
        self.is_local = isinstance(self._files, LocalFileSystem)

    def same_as(self, other: Storage) -> bool:
        """Return whether the other place is in a file system of the same kind."""
        return type(self._files) is type(other._files)

    def address(self, path: str) -> str:
        """Return what a user calls a path in it."""
        return path if self.is_local else str(self._files.unstrip_protocol(path))

    def exists(self, path: str) -> bool:
        """Return whether a file or a folder is at a path."""
        with self._told('read'):
            return bool(self._files.exists(path))

    def is_file(self, path: str) -> bool:
        """Return whether a file is at a path."""
        with self._told('read'):
            return bool(self._files.isfile(path))

    def files(self) -> list[PurePosixPath]:
        """Return the files at or below the place; in object storage a name may be any text."""
        # Else a folder that cannot be read has no files, it seems.
        strict = {'on_error': 'raise'} if self.is_local else {}
        with self._told('read'):
            paths = [PurePosixPath(path) for path in self._files.find(self.root, **strict)]
        for path in paths:
            if '..' in path.parts or not path.is_relative_to(self.root):
                raise SettingError(f'{shown(str(path))} leads out of its folder: rename it')
        return paths

    def get(self, path: str, target: Path) -> None:
        """Copy a file to this machine."""
        with self._told('read'):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._files.get_file(path, str(target))

    def put(self, source: Path, path: str) -> None:
        """Copy a file of this machine to a path."""
        with self._told('written'):
            self._files.put_file(str(source), path)

    def put_bytes(self, content: bytes, path: str) -> None:
        """Write a file."""
        with self._told('written'):
            self._files.pipe_file(path, content)

    def remove(self, path: str) -> None:
        """Remove a file or a folder."""
        with self._told('written'):
            self._files.rm(path, recursive=True)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        # Each package of fsspec has errors of its own.
        except Exception as err:
            why = getattr(err, 'strerror', None) or ' '.join(str(err).split()) or repr(err)
            names = [kind.__name__ for kind in type(err).__mro__]
            fix = next(_FIXES[name] for name in names if name in _FIXES)
            if getattr(err, 'errno', None) == errno.ENOSPC:
                fix = _FULL
            raise SettingError(f'{self.place} cannot be {what}: {why}; {fix}') from err
