"""Whether the images of a camera are dark, blown out, blurred, or the same again and again."""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum

import numpy as np

from depth_anything_ros.core.parameters import HealthParameters
from depth_anything_ros.core.types import BgrImage

__all__ = ['CameraHealth', 'Cause']

_WINDOW = 30
"""Images, of which a cause is told while half have it."""

_HISTORY, _LEAST_HISTORY = 300, 30
"""Sharp images that the usual sharpness is taken from, and the fewest that say what is usual."""

_ROWS = 32
_SATURATED = 250
_STEEPEST = 50
"""One pixel of so many, the steepest, tells how sharp edges are."""


class Cause(str, Enum):
    """What is wrong with an image that can be used all the same."""

    DARK = 'dark'
    BLOWN_OUT = 'blown_out'
    BLURRED = 'blurred'
    FROZEN = 'frozen'


_TEXTS = {
    Cause.DARK: 'images are dark: more light, or a longer exposure',
    Cause.BLOWN_OUT: 'images are blown out: a shorter exposure',
    Cause.BLURRED: 'images are blurred beside earlier ones: clean or focus the lens, shorten the '
    'exposure',
    Cause.FROZEN: 'the camera sends one image again and again: restart its driver, unless it is a '
    'simulated one that stands still',
}


class CameraHealth:
    """Follows the images of one camera. Not for several threads at once."""

    def __init__(self) -> None:
        self._before: BgrImage | None = None
        self._sharpness: deque[float] = deque(maxlen=_HISTORY)
        self._usual = 0.0
        self._last: deque[frozenset[Cause]] = deque(maxlen=_WINDOW)
        self.counts: Counter[str] = Counter()
        """Images with each cause."""

    def update(self, bgr: BgrImage, limits: HealthParameters) -> bool:
        """Judge the next image, uint8 (H, W, 3); return whether it is the one before again.

        `bgr` must not change afterwards.
        """
        if not limits.enabled:
            self._before = None
            self._last.clear()
            return False
        frozen = self._before is not None and _equal(bgr, self._before)
        self._before = bgr
        causes = frozenset(self._causes(bgr, limits)) | ({Cause.FROZEN} if frozen else set())
        self._last.append(causes)
        self.counts.update(cause.value for cause in causes)
        return frozen

    def problem(self) -> str:
        """Return what is wrong with half of the last images or more; '' for nothing."""
        last = list(self._last)
        often = Counter(cause for causes in last for cause in causes)
        found = [cause for cause in Cause if often[cause] * 2 >= max(len(last), _WINDOW // 2)]
        return '; '.join(_TEXTS[cause] for cause in found)

    def _causes(self, bgr: BgrImage, limits: HealthParameters) -> list[Cause]:
        # Whole rows, since blur is seen between neighbours; green has most of the light.
        rows = bgr[:: max(1, bgr.shape[0] // _ROWS), :, 1]
        found = []
        if np.median(rows) < limits.dark_below:
            found.append(Cause.DARK)
        if np.mean(rows >= _SATURATED) > limits.blown_out_above:
            found.append(Cause.BLOWN_OUT)
        sharpness = _sharpness(rows)
        if sharpness < limits.blurred_below * self._usual:
            found.append(Cause.BLURRED)
        elif not found:
            self._sharpness.append(sharpness)
            if len(self._sharpness) >= _LEAST_HISTORY:
                self._usual = float(np.median(self._sharpness))
        return found


def _sharpness(rows: np.ndarray) -> float:
    """Return the second differences at the steepest places by the first differences there.

    About .7 for sharp images and .3 to .5 for compressed ones; a Gaussian blur of 1 pixel leaves
    two fifths of it, one of 2 pixels a fifth, whatever the contrast.
    """
    level = rows.astype(np.float32)
    slope = np.abs(level[:, 2:] - level[:, :-2]).ravel()
    bend = np.abs(level[:, 2:] - 2.0 * level[:, 1:-1] + level[:, :-2]).ravel()
    count = slope.size // _STEEPEST
    if not count:
        return 0.0
    steepest = np.argpartition(slope, -count)[-count:]
    return float(bend[steepest].mean() / (slope[steepest].mean() + 1.0))


def _equal(bgr: BgrImage, before: BgrImage) -> bool:
    if bgr.shape != before.shape:
        return False
    # Nearly every pair differs in the first rows.
    return np.array_equal(bgr[:2], before[:2]) and np.array_equal(bgr, before)
