"""What is shown of a frame, as entities of rerun by their path below a camera.

image, depth/inverse, depth/color, depth/metric, depth/sigma, points, scan, samples, status, and
figures in scale, fit, latency and drops. Points are in the optical frame of the camera.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import rerun as rr

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.metric.cloud import Cloud

__all__ = ['SHOWN', 'Entities', 'Recorder', 'cloud', 'entities_of', 'figures', 'jpeg', 'pinhole']

Entities = dict[str, list[Any]]
"""Archetypes by path."""


class Recorder:
    """Writes frames into a recording, from one thread; `numbers` has them by camera and stamp."""

    def __init__(self, stream: rr.RecordingStream, clock: str) -> None:
        """`clock`: stamps are 'datetime64', 'timedelta64' since the start, or '' for none."""
        self._stream, self._clock = stream, clock
        self._newest: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.numbers: defaultdict[str, dict[int, int]] = defaultdict(dict)

    def add(self, root: str, stamp_ns: int, found: Entities, said: str | None = None) -> None:
        """Write a frame of the camera at `root`, or a part of it.

        The last part has `said`: why the frame has no metres, or ''.
        """
        number = self.numbers[root].setdefault(stamp_ns, len(self.numbers[root]))
        self._stream.set_time('frame', sequence=number)
        if self._clock:
            kind = 'timestamp' if self._clock == 'datetime64' else 'duration'
            self._stream.set_time('stamp', **{kind: getattr(np, self._clock)(stamp_ns, 'ns')})
        newest = self._newest[root]
        if said is not None:
            found = found | {'status': [rr.TextDocument(said or 'metric depth')]}
            # What this frame does not have must not look as if it had.
            for path in [each for each in newest if newest[each] < number and each not in found]:
                self._stream.log(f'{root}/{path}', rr.Clear(recursive=False))
                del newest[path]
        for path, entity in found.items():
            self._stream.log(f'{root}/{path}', *entity)
            newest[path] = number


def entities_of(frame: Frame, drops: dict[str, int]) -> Entities:
    """Return what a frame has, and the counts of images dropped so far."""
    values = {path: of_frame(frame) for path, (of_frame, _) in SHOWN.items()}
    found = {path: SHOWN[path][1](value) for path, value in values.items() if value is not None}
    # Relative depth needs no intrinsics, nor does that by registered depth images, of any lens.
    with suppress(FrameError):
        camera = frame.camera()
        if np.isfinite(camera.fx):
            found['image'] += pinhole(camera.scaled(*frame.image_size))
            found.get('depth/metric', []).extend(pinhole(camera))
    times = {f'{stage}_ms': ms for stage, ms in frame.times.ms.items()}
    return found | figures(frame.scale.values() | times | drops)


def figures(values: Mapping[str, object]) -> Entities:
    """Return the numbers among `values`, named as in ~/frame_stats and /diagnostics."""
    found: dict[str, float] = {}
    for name, text in values.items():
        with suppress(ValueError):
            of_time = name.endswith('_ms') and name != 'reference_age_ms'
            dropped = name.startswith(('dropped_', 'lost_'))
            group = 'latency' if of_time else 'drops' if dropped else 'fit'
            found[f'{"scale" if name in ("scale", "shift") else group}/{name}'] = float(str(text))
    total_ms = sum(value for path, value in found.items() if path.startswith('latency'))
    found |= {'latency/total_ms': total_ms} if total_ms else {}
    return {path: [rr.Scalars(value)] for path, value in found.items() if np.isfinite(value)}


def jpeg(bgr: BgrImage) -> list[Any]:
    """Return a picture (H, W, 3)."""
    _, encoded = cv2.imencode('.jpg', bgr, (cv2.IMWRITE_JPEG_QUALITY, 90))
    return [rr.EncodedImage(contents=encoded.tobytes(), media_type='image/jpeg')]


def cloud(points: Cloud) -> list[Any]:
    """Return the known points in their colours, their size in pixels of the screen."""
    known = np.isfinite(points.points).all(axis=-1)
    colors = None if points.bgr is None else points.bgr[known][:, ::-1]
    return [rr.Points3D(points.points[known], colors=colors, radii=rr.Radius.ui_points(2.0))]


def pinhole(camera: Camera) -> list[Any]:
    """Return the intrinsics without distortion, which rerun does not know."""
    # rerun counts pixels from the corner of the first, Camera from its centre.
    centre, focal = (camera.cx + 0.5, camera.cy + 0.5), (camera.fx, camera.fy)
    size = {'width': camera.width, 'height': camera.height}
    return [rr.Pinhole(focal_length=focal, principal_point=centre, **size)]


# Three digits halve a recording. A DepthImage would say of relative depth that it is in metres.
def _relative(inverse_depth: FloatImage) -> list[Any]:
    return [rr.Image(inverse_depth.astype(np.float16))]


def _metres(values_m: FloatImage) -> list[Any]:
    return [rr.DepthImage(values_m.astype(np.float16), meter=1.0, colormap='turbo')]


SHOWN: dict[str, tuple[Callable[[Frame], Any], Callable[[Any], list[Any]]]] = {
    'image': (lambda frame: frame.image, jpeg),
    'depth/inverse': (lambda frame: frame.inverse_depth, _relative),
    'depth/color': (Frame.color, jpeg),
    'depth/metric': (lambda frame: frame.depth_m, _metres),
    'depth/sigma': (lambda frame: frame.sigma_m, _metres),
    'points': (Frame.cloud, cloud),
    'samples': (Frame.samples, cloud),
    'scan': (Frame.scan_in_camera, cloud),
}
"""By path, what a frame has of it, and its entity."""
