"""What is read, or may be somebody's work, is not written over."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from pathlib import Path

from depth_anything_ros.core.errors import SettingError

__all__ = ['InputFiles', 'lock', 'refuse_existing']


class InputFiles:
    """Files and folders that are read. By file, not by name: links lead to them, too."""

    def __init__(self, paths: Iterable[str | Path | None]) -> None:
        """Take paths that need not exist; None and '' are none."""
        self._known = {_identity(Path(path)) for path in paths if path} - {None}

    def refuse(self, out: Path, option: str = '', *, within: bool = False) -> None:
        """Raise SettingError where the output `out`, of `option`, is one of them.

        Where `within`, also where it lies in a folder of them.
        """
        for path in (out, *(out.absolute().parents if within else ())):
            if _identity(path) in self._known:
                what = 'is' if path == out else 'lies in'
                text = f'{option} {out} {what} what is read: name an output beside it'
                raise SettingError(text.lstrip())


def refuse_existing(path: Path, option: str = '') -> None:
    """Raise SettingError where the file exists: it may be somebody's work."""
    if path.exists():
        text = f'{option} {path} exists: name another file, or remove it'
        raise SettingError(text.lstrip())


def lock(file: int) -> bool:
    """Lock an open file or folder until it is closed; False where another process has done so.

    A file system without locks, NFS say, holds nobody off.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.expanduser().stat()
    # ValueError: a null character. RuntimeError: the home of an unknown user.
    except (OSError, ValueError, RuntimeError):
        return None
    return found.st_dev, found.st_ino
