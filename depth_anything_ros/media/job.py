"""A run: every image of a source through the network, its depth to the outputs.

Decoding, the network and what becomes of its output each have a thread, so that the slowest alone
decides: beside the network, its own thread does nothing but wait.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.estimator.scene import NO_SCENE, Scene
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.media.frame_lines import FrameLines
from depth_anything_ros.media.outputs import Outputs
from depth_anything_ros.media.pictures import Picture
from depth_anything_ros.media.places import Places, Taken
from depth_anything_ros.media.sources import Source
from depth_anything_ros.media.summary import Summary

__all__ = ['Summary', 'run']

# Images that wait on either side of the network: a hundred million pixels each at worst.
_WAITING = 2
# Parts of films are multiples of it. On a CPU a batch gains nothing: docs/benchmarks.md.
_CUDA_BATCH = 4


def run(
    source: Source,
    stream: DepthStream,
    outputs: Outputs,
    *,
    scene_of: Callable[[str, Picture], Scene] = lambda name, picture: NO_SCENE,
    lines: FrameLines | None = None,
    skip_existing: bool = False,
    identity: Mapping[str, object] | None = None,
    on_resume: Callable[[int], object] = lambda frames: None,
    on_frame: Callable[[str], object] = lambda name: None,
    stopped: Callable[[], str] = lambda: '',
) -> Summary:
    """Write the depth of every image of `source` to `outputs`.

    An image that cannot be used is noted and the others go on; among frames that belong together
    its place is held by the depth before it. `scene_of` returns what is known around an image,
    `lines` takes a line for each. `stopped` returns what ends the run early, if
    anything: what was done is finished then. An earlier run of the same `identity` is gone on
    with. SettingError where an output cannot be written.
    """
    summary = Summary(skipped=source.skipped, remarks=outputs.remarks)
    ahead: deque[Future[Taken | None]] = deque()
    behind: deque[Future[None]] = deque()
    places = Places(source, stream, outputs, summary, lines)
    done = places.begin(identity or {})
    if lines is not None:
        lines.begin(None if skip_existing else done)
    on_resume(done)
    on_cuda = stream.backend.info.device.startswith('cuda')
    batch = _CUDA_BATCH if on_cuda and not source.live else 1
    # Of a live source the newest is wanted.
    waiting = 1 if source.live else max(_WAITING, batch)

    def read() -> Taken | None:
        begin_s = time.perf_counter()
        try:
            for shot in source.shots:
                if skip_existing and outputs.exist(shot.name):
                    summary.skipped.add('existing', shot.name, 'its output is there')
                    continue
                picture: Picture | None = None
                scene: Scene = NO_SCENE
                try:
                    picture = shot.read()
                    stream.check(picture.bgr, StageTimes())
                    scene = scene_of(shot.name, picture)
                except FrameError as error:
                    return Taken(shot, picture, error=error)
                return Taken(shot, picture, scene)
            return None
        finally:
            summary.decoding_s += time.perf_counter() - begin_s

    reading, writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    try:
        while not (interrupted := stopped()):
            items: list[Taken] = []
            while len(items) < batch:
                while len(ahead) < waiting:
                    ahead.append(reading.submit(read))
                item = ahead.popleft().result()
                if item is None:
                    break
                items.append(item)
            if not items:
                break
            for taken in _through(stream.backend, items, summary):
                behind.append(writing.submit(places.take, taken))
                on_frame(taken.shot.name)
            while len(behind) > waiting:
                behind.popleft().result()
        for each in behind:
            each.result()
        summary.interrupted = interrupted
        summary.fault = '' if interrupted else source.fault
        # Ctrl-C is how a live source ends. What came over a network may come again.
        finished = source.live or not (interrupted or (summary.fault and source.by_url))
        writing.submit(lambda: places.close(finished=finished)).result()
    except BaseException:
        writing.shutdown(cancel_futures=True)
        outputs.discard()
        raise
    finally:
        reading.shutdown(cancel_futures=True)
        writing.shutdown()
        source.close()
    summary.dropped, summary.broken = source.dropped, source.broken
    return summary


def _through(backend: DepthBackend, items: Sequence[Taken], summary: Summary) -> list[Taken]:
    """Return the items with what the network makes of those that can be used."""
    times = StageTimes()
    images = [item.picture.bgr for item in items if item.picture and not item.error]
    depths = iter(_inverse_depths(backend, images, times))
    summary.network_s += times.ms.get('infer', 0.0) * 1e-3
    done = []
    for item in items:
        found = None if item.error else next(depths)
        if isinstance(found, FrameError):
            done.append(replace(item, error=found))
        else:
            done.append(replace(item, inverse_depth=found, times=times))
    return done


def _inverse_depths(
    backend: DepthBackend, images: Sequence[BgrImage], times: StageTimes
) -> list[FloatImage | FrameError]:
    if len(images) > 1:
        try:
            return [*backend.infer_batch(images, times)]
        except FrameError:
            pass  # of which one, is found out one by one
    found: list[FloatImage | FrameError] = []
    for image in images:
        try:
            found.append(backend.infer(image, times))
        except FrameError as error:
            found.append(error)
    return found
