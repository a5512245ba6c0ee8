"""From inverse depth to output: every frame of a film has its place; stills without depth none."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.cuts import CutDetector
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.flicker import Look, flicker, look_of
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.kept_values import packed, unpacked
from depth_anything_ros.estimator.scene import NO_SCENE, ArrayScene, Scene
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.media.checkpoints import PART_FRAMES, Arrays
from depth_anything_ros.media.frame_lines import FrameLines, frame_content
from depth_anything_ros.media.outputs import Outputs
from depth_anything_ros.media.pictures import Picture
from depth_anything_ros.media.sources import Shot, Source
from depth_anything_ros.media.summary import Summary

__all__ = ['Places', 'Taken']

# A stamp of 0 stands for an image without one.
_FIRST_NS = 1_000_000_000


@dataclass(frozen=True)
class Taken:
    """An image, and what the network made of it, or why there is nothing."""

    shot: Shot
    picture: Picture | None
    scene: Scene = NO_SCENE
    inverse_depth: FloatImage | None = None
    error: FrameError | None = None
    times: StageTimes | None = None


class Places:
    """The writing side of a run: one thread, one image after the other."""

    def __init__(
        self,
        source: Source,
        stream: DepthStream,
        outputs: Outputs,
        summary: Summary,
        lines: FrameLines | None = None,
    ) -> None:
        self._source, self._stream, self._lines = source, stream, lines
        self._outputs, self._summary = outputs, summary
        self._cuts = CutDetector()
        self._begin_s = time.perf_counter()
        self._bgr: BgrImage | None = None
        self._frame: Frame | None = None
        self._camera: Camera | None = None
        self._look: Look | None = None
        self._sizeless: list[Shot] = []
        self._count = 0
        self._lengths = summary.lengths()
        self._saved = 0
        self._unsaved: Shot | None = None

    @property
    def _position(self) -> int:
        """Place in a film; stills have none: what lies between the names of two is not told."""
        return self._count if self._source.moving else -1

    def begin(self, run: Mapping[str, object]) -> int:
        """Return how many frames an earlier `run` did: this one goes on behind them."""
        states, arrays = self._outputs.begin(run)
        if states:
            self._restore(states, arrays)
        return self._count

    def take(self, taken: Taken) -> None:
        """Write what stands in the place of one image."""
        begin_s = time.perf_counter()
        summary, shot, error = self._summary, taken.shot, taken.error
        if taken.picture is not None:
            for kind, text in taken.picture.changes:
                summary.changed.add(kind, shot.name, text, self._position)
        frame = None
        if taken.inverse_depth is not None and taken.picture is not None:
            try:
                frame = self._framed(taken, taken.picture.bgr, taken.inverse_depth)
                self._measure(taken, frame)
                self._write(shot, taken.picture.bgr, frame)
                self._bgr, self._frame = taken.picture.bgr, frame
                self._camera = _camera_of(taken.scene)
            except FrameError as refused:
                error = refused
        if error is not None:
            summary.refused.add(error.reason, shot.name, str(error), self._position)
            # What cannot be written has no place to hold.
            if self._source.moving and error.reason != 'unwritable':
                self._hold(shot, taken.picture)
        if self._lines is not None:
            self._lines.write(self._line(shot, frame, error))
        self._count += 1
        self._unsaved = shot
        if self._source.moving and not self._source.live:
            summary.film_s = shot.stamp_ns * 1e-9 + 1.0 / self._source.rate_hz
        summary.encoding_s += time.perf_counter() - begin_s
        if self._count % PART_FRAMES == 0:
            self._save(shot)

    def close(self, *, finished: bool) -> None:
        """End; what is not `finished` can be resumed from the last part."""
        if finished and self._unsaved is not None:
            self._save(self._unsaved)
        if not finished:
            self._summary.kept = self._saved
        self._outputs.close(finished=finished)
        self._summary.total_s += time.perf_counter() - self._begin_s

    def _framed(self, taken: Taken, bgr: BgrImage, inverse_depth: FloatImage) -> Frame:
        """Return the frame, in a film as the one behind the last."""
        shot, stream = taken.shot, self._stream
        if self._source.moving:
            before, look = self._look, look_of(bgr, inverse_depth)
            self._look = look
            if before is not None and self._cuts.is_cut(before.bgr, look.bgr):
                stream.restart()
                self._summary.cuts.append(shot.name)
            elif before is not None:
                found = flicker(before, look)
                if not math.isnan(found):
                    self._summary.flicker.append(found)
        else:
            stream.reset_scale()
        times = taken.times or StageTimes()
        return stream.frame(inverse_depth, bgr, shot.stamp_ns + _FIRST_NS, taken.scene, times)

    def _measure(self, taken: Taken, frame: Frame) -> None:
        """Note metres that were asked for and are not there; FrameError where a still needs them.

        A film has them unknown there: they are not those of another frame.
        """
        lack = self._outputs.lack(frame)
        if lack is not None and not self._source.moving:
            raise lack
        if lack is None and frame.reason and taken.scene.kind is not None:
            lack = FrameError(frame.reason, frame.message)
        if lack is not None:
            self._summary.without_metres.add(
                lack.reason, taken.shot.name, str(lack), self._position
            )

    def _line(self, shot: Shot, frame: Frame | None, error: FrameError | None) -> dict[str, Any]:
        written = error is None or self._source.moving
        return {
            'name': shot.name,
            'stamp_s': shot.stamp_ns * 1e-9 if self._source.moving else None,
            **({} if frame is None else frame_content(frame)),
            'refused': None if error is None else {'reason': error.reason, 'message': str(error)},
            'files': [str(path) for path in self._outputs.files(shot.name)] if written else [],
        }

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
            # It is among the refused already.
            with suppress(FrameError):
                self._outputs.write(earlier.name, earlier.stamp_ns, bgr, None)
                self._summary.written += 1
            self._summary.blank += 1
        self._sizeless.clear()
        self._outputs.write(shot.name, shot.stamp_ns, bgr, frame)
        self._summary.written += 1

    def _save(self, shot: Shot) -> None:
        """Keep what a run needs to go on behind `shot`, the last one."""
        if not self._source.moving or self._bgr is None:
            return
        summary, frame = self._summary, self._frame
        now_s = time.perf_counter()
        summary.total_s += now_s - self._begin_s
        self._begin_s = now_s
        state: dict[str, Any] = {
            'frames': self._count,
            'position': self._source.position(shot),
            'usual_change': self._cuts.usual,
            'summary': summary.state(self._lengths),
        }
        arrays: dict[str, npt.NDArray[Any]] = {'bgr': self._bgr}
        state['stream'] = self._stream.state(arrays)
        if frame is not None:
            state |= {'bounds': frame.bounds, 'stamp_ns': frame.stamp_ns}
            state |= {'scale': packed(frame.scale, arrays), 'camera': packed(self._camera, arrays)}
            arrays |= {'image': frame.image, 'inverse_depth': frame.inverse_depth}
        self._outputs.save(state, arrays)
        self._lengths, self._unsaved, self._saved = summary.lengths(), None, self._count

    def _restore(self, states: Sequence[Mapping[str, Any]], arrays: Arrays) -> None:
        state = states[-1]
        self._count = self._saved = self._summary.resumed = state['frames']
        self._summary.restore([each['summary'] for each in states])
        self._lengths = self._summary.lengths()
        self._source.go_on(self._count, state['position'])
        self._cuts.usual = state['usual_change']
        self._bgr = np.asarray(arrays['bgr'], np.uint8)
        if 'image' in arrays:
            image, inverse_depth = arrays['image'], arrays['inverse_depth']
            self._camera = unpacked(state['camera'], arrays)
            frame = self._stream.frame(
                *(inverse_depth, image, state['stamp_ns']),
                ArrayScene(self._camera),
                StageTimes(),
            )
            frame.bounds = state['bounds'][0], state['bounds'][1]
            frame.scale = unpacked(state['scale'], arrays)
            self._look, self._frame = look_of(image, inverse_depth), frame
        self._stream.restore(state['stream'], arrays)


def _camera_of(scene: Scene) -> Camera | None:
    try:
        return scene.camera()
    except FrameError:
        return None
