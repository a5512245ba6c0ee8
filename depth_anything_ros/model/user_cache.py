"""Where this package keeps, for the user, what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ['user_cache']


def user_cache() -> Path | None:
    """Give $XDG_CACHE_HOME/depth_anything_ros, which need not exist; None for no such place."""
    try:
        root = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser()
    except RuntimeError:  # a user without a home
        return None
    return root / 'depth_anything_ros' if root.is_absolute() else None
