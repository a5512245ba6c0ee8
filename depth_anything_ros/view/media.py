"""Pictures and films, by the run of `media`: what it writes is a recording."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.media.outputs import Files
from depth_anything_ros.media.sources import Source
from depth_anything_ros.settings.input_files import InputFiles
from depth_anything_ros.view.recording import Recorder, entities_of, jpeg

__all__ = ['ROOT', 'Recorded']

ROOT = '/camera'


class Recorded(Files):
    """Outputs of a run that writes no files."""

    def __init__(self, source: Source, recorder: Recorder) -> None:
        super().__init__(Path(), (), 0, False, None, InputFiles(()))
        self._source, self._recorder, self._refused = source, recorder, 0

    def write(self, name: str, stamp_ns: int, bgr: BgrImage, frame: Frame | None) -> None:
        """Write one frame, or the image alone: the depth before it would not belong to it."""
        if frame is None or frame.image is not bgr:
            self._refused += 1
            said = 'this image has no depth of its own'
            self._recorder.add(ROOT, stamp_ns, {'image': jpeg(bgr)}, said)
            return
        drops = {'dropped_invalid': self._refused, 'dropped_superseded': self._source.dropped}
        self._recorder.add(ROOT, stamp_ns, entities_of(frame, drops), frame.message)
