"""Where this package keeps, for the user, what it can make again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ['keep', 'user_cache']


def user_cache() -> Path | None:
    """Return $XDG_CACHE_HOME/depth_anything_ros, which need not exist; None for no such place."""
    try:
        root = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser()
    except RuntimeError:  # a user without a home
        return None
    return root / 'depth_anything_ros' if root.is_absolute() else None


def keep(path: Path, content: bytes) -> None:
    """Write a file of the cache; where it cannot be written, there is none."""
    # Written beside and renamed, so that another process never reads half of it.
    draft = path.with_suffix(f'.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        # A full disk leaves half a draft.
        with suppress(OSError):
            draft.unlink(missing_ok=True)
