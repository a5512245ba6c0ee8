"""A run: every image of a source through the network, its depth to the outputs.

Decoding, the network and encoding each have a thread, so that the slowest alone decides.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.media.outputs import Outputs
from depth_anything_ros.media.pictures import Picture
from depth_anything_ros.media.sources import Shot, Source
from depth_anything_ros.media.tally import Tally

__all__ = ['Summary', 'run']

# Images that wait on either side of the network: a hundred million pixels each at worst.
_WAITING = 2


@dataclass
class Summary:
    """What a run did.

    `written` counts outputs, `held` and `blank` those of them that show the depth of the frame
    before, or none. `refused` names the images without depth of their own, `skipped` what was
    not tried, `changed` what was read otherwise than it is. `fault` says what could not be read.
    """

    written: int = 0
    held: int = 0
    blank: int = 0
    refused: Tally = field(default_factory=Tally)
    skipped: Tally = field(default_factory=Tally)
    changed: Tally = field(default_factory=Tally)
    remarks: list[str] = field(default_factory=list)
    fault: str = ''
    interrupted: str = ''
    decoding_s: float = 0.0
    network_s: float = 0.0
    encoding_s: float = 0.0
    total_s: float = 0.0

    @property
    def network_share(self) -> float:
        """Frames per second, of those that the network alone would do."""
        return self.network_s / self.total_s if self.total_s else 0.0

    def plain(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            'written': self.written,
            'held': self.held,
            'blank': self.blank,
            'failed': self.refused.texts(),
            'refused': self.refused.names(),
            'skipped': self.skipped.names(),
            'changed': self.changed.names(),
            'remarks': self.remarks,
            'fault': self.fault,
            'interrupted': bool(self.interrupted),
            'decoding_s': self.decoding_s,
            'network_s': self.network_s,
            'encoding_s': self.encoding_s,
            'total_s': self.total_s,
            'network_share': self.network_share,
            'rate_hz': self.written / self.total_s if self.total_s else None,
        }


@dataclass(frozen=True)
class _Read:
    shot: Shot
    picture: Picture | None
    error: FrameError | None


def run(
    source: Source,
    stream: DepthStream,
    outputs: Outputs,
    *,
    skip_existing: bool = False,
    on_frame: Callable[[str], object] = lambda name: None,
    stopped: Callable[[], str] = lambda: '',
) -> Summary:
    """Write the depth of every image of `source` to `outputs`.

    An image that cannot be used is noted and the others go on; among frames that belong together
    its place is held by the depth before it. `stopped` returns what ends the run early, if
    anything: what was done is finished then. SettingError where an output cannot be written.
    """
    summary = Summary(skipped=source.skipped, remarks=outputs.remarks)
    ahead: deque[Future[_Read | None]] = deque()
    behind: deque[Future[None]] = deque()
    places = _Places(outputs, summary, source.moving)
    start_s = time.perf_counter()

    def read() -> _Read | None:
        begin_s = time.perf_counter()
        try:
            for shot in source.shots:
                if skip_existing and outputs.exist(shot.name):
                    summary.skipped.add('existing', shot.name, 'its output is there')
                    continue
                try:
                    return _Read(shot, shot.read(), None)
                except FrameError as error:
                    return _Read(shot, None, error)
            return None
        finally:
            summary.decoding_s += time.perf_counter() - begin_s

    reading, writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    try:
        index = 0
        while not (interrupted := stopped()):
            while len(ahead) < _WAITING:
                ahead.append(reading.submit(read))
            item = ahead.popleft().result()
            if item is None:
                break
            frame, error = None, item.error
            if item.picture is not None:
                for kind, text in item.picture.changes:
                    summary.changed.add(kind, item.shot.name, text, index)
                begin_s = time.perf_counter()
                try:
                    frame = stream.process(item.picture.bgr, item.shot.stamp_ns)
                except FrameError as refused:
                    error = refused
                taken_s = time.perf_counter() - begin_s
                summary.network_s += frame.times.ms.get('infer', 0.0) * 1e-3 if frame else taken_s
            behind.append(writing.submit(places.take, index, item, frame, error))
            while len(behind) > _WAITING:
                behind.popleft().result()
            on_frame(item.shot.name)
            index += 1
        for each in behind:
            each.result()
        summary.interrupted = interrupted
        writing.submit(outputs.close).result()
    except BaseException:
        writing.shutdown(cancel_futures=True)
        outputs.discard()
        raise
    finally:
        reading.shutdown(cancel_futures=True)
        writing.shutdown()
    summary.fault = '' if interrupted else source.fault
    summary.total_s = time.perf_counter() - start_s
    return summary


class _Places:
    """Every frame of a film gets an output; stills without depth get none."""

    def __init__(self, outputs: Outputs, summary: Summary, moving: bool) -> None:
        self._outputs, self._summary, self._moving = outputs, summary, moving
        self._bgr: BgrImage | None = None
        self._frame: Frame | None = None
        self._sizeless: list[Shot] = []

    def take(self, index: int, item: _Read, frame: Frame | None, error: FrameError | None) -> None:
        """Write what stands in the place of one image."""
        begin_s = time.perf_counter()
        shot = item.shot
        if error is None and item.picture is not None:
            try:
                self._write(shot, item.picture.bgr, frame)
            except FrameError as refused:  # no metres
                error = refused
            else:
                self._bgr, self._frame = item.picture.bgr, frame
        if error is not None:
            self._summary.refused.add(error.reason, shot.name, str(error), index)
            if self._moving:
                self._hold(shot, item.picture)
        self._summary.encoding_s += time.perf_counter() - begin_s

    def _hold(self, shot: Shot, picture: Picture | None) -> None:
        if picture is not None:
            self._bgr = picture.bgr
        if self._bgr is None:
            # Unreadable, and nothing before it tells a size.
            self._sizeless.append(shot)
            return
        self._write(shot, self._bgr, self._frame)
        if self._frame is None:
            self._summary.blank += 1
        else:
            self._summary.held += 1

    def _write(self, shot: Shot, bgr: BgrImage, frame: Frame | None) -> None:
        for earlier in self._sizeless:
            self._outputs.write(earlier.name, earlier.stamp_ns, bgr, None)
            self._summary.written += 1
            self._summary.blank += 1
        self._sizeless.clear()
        self._outputs.write(shot.name, shot.stamp_ns, bgr, frame)
        self._summary.written += 1
