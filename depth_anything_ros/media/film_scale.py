"""One scale for a whole film, so that equal depth has equal colour from its start to its end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.normalization import bounds_of_samples, sampled
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import Normalization
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.media.sources import Source

__all__ = ['film_bounds']

_MOST_FRAMES = 300


def film_bounds(
    source: Source,
    stream: DepthStream,
    *,
    on_frame: Callable[[int, int], object] = lambda done, total: None,
    stopped: Callable[[], str] = lambda: '',
) -> tuple[float, float]:
    """Return the inverse depth that is to become 0 and 1 in every frame, by reading `source`.

    The network runs on 300 frames, evenly spread, or on all where there are fewer; the others are
    decoded at most. SettingError where none of them can be used.
    """
    every = max(1, source.length // _MOST_FRAMES)
    samples = []
    for index, shot in enumerate(source.shots):
        if stopped():
            raise KeyboardInterrupt
        if index % every == 0:
            try:
                bgr, times = shot.read().bgr, StageTimes()
                stream.check(bgr, times)
                samples.append(sampled(stream.backend.infer(bgr, times)))
            except FrameError:
                continue  # named when its turn comes
            on_frame(index + 1, source.length)
    source.close()
    if not samples:
        raise SettingError('no frame of the film can be used: leave out --normalization film')
    if stream.parameters.relative.normalization == Normalization.MINMAX.value:
        return float(min(map(np.min, samples))), float(max(map(np.max, samples)))
    return bounds_of_samples(samples)
