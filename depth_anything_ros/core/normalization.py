"""Inverse depth normalised to [0, 1], steady over time; checks of images and network output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.timing import interval_s, time_went_back
from depth_anything_ros.core.types import BgrImage, FloatImage, Normalization

__all__ = ['Normalizer', 'bounds_of_samples', 'check_image', 'normalized_between', 'sampled']

LEAST_RANGE = 1e-6
"""Least difference between the greatest and the least inverse depth; below, it is constant."""

GREATEST_RANGE = 1e30
"""Greatest such difference: beyond it the quotient overflows float32."""

LEAST_IMAGE_STD = 2.0
"""Least standard deviation of an image, of 255; below, it has no content."""

DARK_LEVEL = 48.0
"""Of 255: an image without content is a covered lens below this mean, a blank scene above."""

_PERCENTS = (2.0, 98.0)
# Rows and columns sampled for statistics: enough for a percentile to one part in a hundred.
_SAMPLED_SIDE = 64
# After as many time constants without a frame the past weighs 0.7 %: it is dropped.
_RESET_AFTER = 5.0


class Normalizer:
    """Map inverse depth to [0, 1] between bounds that follow the scene with a time constant.

    `method`: 'percentile' clips at the 2nd and 98th, so that no single pixel decides;
    'minmax' uses the extremes. `smoothing_s` is the time constant in seconds of the image
    stamps, however irregular; 0 follows each frame at once. A stamp that does not advance counts
    as the nominal frame interval. The past is dropped when time went back (a bag loops), after a
    pause of five time constants, and when the size changes.
    """

    def __init__(self, method: Normalization | str, smoothing_s: float) -> None:
        try:
            self._method = Normalization(method)
        except ValueError:
            known = ', '.join(item.value for item in Normalization)
            raise SettingError(
                f"normalization '{method}' is not known: choose one of {known}"
            ) from None
        if not (math.isfinite(smoothing_s) and smoothing_s >= 0.0):
            raise SettingError(f'smoothing_s is {smoothing_s}: it must be 0 or more seconds')
        self._smoothing_s = smoothing_s
        self.bounds: tuple[float, float] | None = None
        """Inverse depth that became 0 and 1 in the last frame; None before the first."""
        self.fixed: tuple[float, float] | None = None
        """Bounds of every frame to come, where they are known beforehand."""
        self._newest_ns = 0
        self._shape: tuple[int, ...] = ()

    def forget(self) -> None:
        """Let the next frame have its own bounds: it is another scene."""
        self.bounds = None

    def state(self) -> dict[str, Any]:
        """Return what the bounds of the next frame depend on, for JSON."""
        return {
            'bounds': self.bounds,
            'fixed': self.fixed,
            'newest_ns': self._newest_ns,
            'shape': self._shape,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another one returned `state`."""
        self.bounds, self.fixed = (
            (state[name][0], state[name][1]) if state[name] else None
            for name in ('bounds', 'fixed')
        )
        self._newest_ns, self._shape = state['newest_ns'], tuple(state['shape'])

    def update(self, inverse_depth: FloatImage, stamp_ns: int) -> tuple[float, float]:
        """Return the bounds for a frame (H, W) stamped `stamp_ns`: what becomes 0 and 1.

        FrameError('degenerate_network') where `inverse_depth` is not finite or constant; the
        bounds are left unchanged then.
        """
        bounds, before = self._measure(inverse_depth), self.bounds
        if inverse_depth.shape != self._shape or time_went_back(self._newest_ns, stamp_ns):
            before, self._newest_ns = None, stamp_ns
        elapsed_s = interval_s(self._newest_ns, stamp_ns)
        if before is not None and elapsed_s < _RESET_AFTER * self._smoothing_s:
            # A weighted mean of valid bounds, so that the lower stays below the upper.
            kept = math.exp(-elapsed_s / self._smoothing_s)
            bounds = (
                kept * before[0] + (1.0 - kept) * bounds[0],
                kept * before[1] + (1.0 - kept) * bounds[1],
            )
        self._newest_ns = max(stamp_ns, self._newest_ns)
        self.bounds, self._shape = self.fixed or bounds, inverse_depth.shape
        return self.bounds

    def _measure(self, inverse_depth: FloatImage) -> tuple[float, float]:
        """Return the bounds of this frame alone, LEAST_RANGE apart or more."""
        lowest, highest = _checked_range(inverse_depth)
        if self._method is Normalization.PERCENTILE:
            low, high = bounds_of_samples([sampled(inverse_depth)])
            # A small object before an empty sky: only the extremes differ.
            if high - low >= LEAST_RANGE:
                return low, high
        return lowest, highest


def normalized_between(inverse_depth: FloatImage, low: float, high: float) -> FloatImage:
    """Return float32 (H, W) in [0, 1], 1 = nearest: `low` and beyond is 0, `high` is 1."""
    scaled: FloatImage = np.subtract(inverse_depth, np.float32(low))
    np.multiply(scaled, np.float32(1.0 / (high - low)), out=scaled)
    np.clip(scaled, 0.0, 1.0, out=scaled)
    return scaled


def check_image(bgr: BgrImage) -> None:
    """Raise FrameError if the image, uint8 (H, W, 3), has no content.

    'covered_lens' where it is dark, 'constant_image' where it is not. The spread is that of each
    channel by itself: a red wall is as blank as a grey one.
    """
    mean, std = _spread(sampled(bgr))
    if std >= LEAST_IMAGE_STD:
        return
    # A pattern as regular as the sampling looks flat to it: check every pixel before refusing.
    mean, std = _spread(bgr)
    if std >= LEAST_IMAGE_STD:
        return
    what = f'the image varies by {std:.2f} of 255 around {mean:.0f}, less than {LEAST_IMAGE_STD:g}'
    if mean < DARK_LEVEL:
        raise FrameError(
            'covered_lens', f'{what}: uncover the lens, switch on a light or expose longer'
        )
    raise FrameError(
        'constant_image', f'{what}: the camera is overexposed, sends a blank frame or sees nothing'
    )


def _checked_range(inverse_depth: FloatImage) -> tuple[float, float]:
    """Return the least and the greatest value, LEAST_RANGE apart or more."""
    lowest, highest = float(inverse_depth.min()), float(inverse_depth.max())
    # min and max return NaN where there is one.
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        bad = inverse_depth.size - int(np.isfinite(inverse_depth).sum())
        raise FrameError(
            'degenerate_network',
            f"the network's output has {bad} of {inverse_depth.size} values that are not finite: "
            'use precision fp32, or another backend',
        )
    if not LEAST_RANGE <= highest - lowest <= GREATEST_RANGE:
        raise FrameError(
            'degenerate_network',
            f"the network's output is constant or out of range, {lowest:.6g} to {highest:.6g}: "
            'check the weights, then the precision and the image',
        )
    return lowest, highest


def bounds_of_samples(samples: Sequence[npt.NDArray[Any]]) -> tuple[float, float]:
    """Return the 2nd and 98th percentile of what `sampled` returned of one frame or of many."""
    values = np.concatenate([each.ravel() for each in samples])
    low, high = np.percentile(values, _PERCENTS)
    return float(low), float(high)


def sampled(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a contiguous grid of pixels out of `image`, 64 to 127 along a long side."""
    rows = max(1, image.shape[0] // _SAMPLED_SIDE)
    columns = max(1, image.shape[1] // _SAMPLED_SIDE)
    return np.ascontiguousarray(image[::rows, ::columns])


def _spread(bgr: BgrImage) -> tuple[float, float]:
    """Return the mean level and the greatest standard deviation of a channel."""
    mean, std = cv2.meanStdDev(bgr)
    return float(mean.mean()), float(std.max())
