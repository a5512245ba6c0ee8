"""Pictures and films say that this package wrote them: no others are replaced by a single file."""

from __future__ import annotations

from pathlib import Path

import av

from depth_anything_ros.core.errors import SettingError

__all__ = ['MADE_BY', 'refuse_foreign']

MADE_BY = 'made by depth_anything_ros'
"""In the text of pictures, and in the comment of films."""

# Texts stand before the pixels of a picture, or behind them.
_LOOKED_AT_BYTES = 4096


def refuse_foreign(out: Path, *, film: bool) -> None:
    """Raise SettingError where there is a picture, or a `film`, that this package did not write.

    An empty file is none.
    """
    if out.is_file() and out.stat().st_size and not (_film if film else _picture)(out):
        raise SettingError(
            f'{out} was not written by this package and is not replaced: name another OUT, or '
            'remove it. For several inputs give their folder or a list (.txt) as IN'
        )


def _picture(path: Path) -> bool:
    with path.open('rb') as file:
        first = file.read(_LOOKED_AT_BYTES)
        file.seek(max(0, path.stat().st_size - _LOOKED_AT_BYTES))
        return MADE_BY.encode() in first + file.read()


def _film(path: Path) -> bool:
    try:
        with av.open(str(path.absolute())) as file:
            return any(MADE_BY in text for text in file.metadata.values())
    except (OSError, ValueError):  # FFmpeg's errors are such
        return False
