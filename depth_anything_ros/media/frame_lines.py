"""One line of JSON for each frame, written as it goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.media.formats import one_of
from depth_anything_ros.reports.text import plain_json

__all__ = ['FrameLines', 'frame_content']


class FrameLines:
    """A file with a line for each frame, whole up to the last one whatever ends the run."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; SettingError where it cannot be, or holds something else."""
        self._path = path
        if one_of(path.suffix.lower()):
            raise SettingError(
                f'--frames-json {path} ends as a picture or a film: name it {path.stem}.jsonl'
            )
        try:
            self._file = path.open('a+', encoding='utf-8')
            # Of the bytes: another file need not be text.
            first = os.pread(self._file.fileno(), 1, 0) if path.is_file() else b''
        except OSError as error:
            raise self._failed(error) from error
        if first not in (b'', b'{'):
            self.close()
            raise SettingError(
                f'--frames-json {path} exists and holds no lines of JSON: name another file'
            )

    def begin(self, kept: int | None) -> None:
        """Keep the first `kept` lines of an earlier run, which this one goes on with; None all."""
        if kept is not None:
            self._file.seek(0)
            for _ in range(kept):
                self._file.readline()
            self._file.truncate(self._file.tell())

    def write(self, content: dict[str, Any]) -> None:
        """Append one line; SettingError where that cannot be."""
        try:
            self._file.write(plain_json(content, indent=None) + '\n')
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _failed(self, error: OSError) -> SettingError:
        return SettingError(
            f'--frames-json {self._path} cannot be written: {error.strerror}. Name another place'
        )


def frame_content(frame: Frame) -> dict[str, Any]:
    """Return what a line says of the depth of a frame; of metres as in ~/frame_stats."""
    inverse = frame.inverse_depth
    return {
        'width': inverse.shape[1],
        'height': inverse.shape[0],
        'inverse_depth': {
            'min': float(inverse.min()),
            'median': float(np.median(inverse)),
            'max': float(inverse.max()),
        },
        'bounds': frame.bounds,
        **frame.scale.values(),
        'metric_message': frame.scale.message,
        'ms': dict(frame.times.ms),
    }
