"""The folder of this package in the user's cache; its content can be made again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ['keep', 'user_cache']


def user_cache() -> Path | None:
    """Return $XDG_CACHE_HOME/depth_anything_ros, which may not exist; None for a relative path."""
    try:
        root = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser()
    except RuntimeError:  # a user without a home
        return None
    return root / 'depth_anything_ros' if root.is_absolute() else None


def keep(path: Path, content: bytes) -> None:
    """Write a file of the cache; do nothing where it cannot be written."""
    # Written under another name and renamed, so that no process reads a partial file.
    draft = path.with_suffix(f'.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        # A full disk leaves a partial file.
        with suppress(OSError):
            draft.unlink(missing_ok=True)
