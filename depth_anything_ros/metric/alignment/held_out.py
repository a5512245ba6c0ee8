"""Held-out error: how well the alignment predicts samples that were left out of the fit."""

from __future__ import annotations

from collections import deque

import numpy as np

from depth_anything_ros.metric.alignment.refinement import corrections_at
from depth_anything_ros.metric.alignment.robust_fit import AffineFit, Prior, refit
from depth_anything_ros.metric.alignment.sample_gate import BLOCKS_ALONG, GatedSamples

__all__ = ['HeldOutError']

_FOLDS = 5
_LEAST_SAMPLES = 25
_ITERATIONS = 3
# Once all folds were left out, one in so many calls is measured: it takes as long as the fit.
_EVERY = 3


class HeldOutError:
    """Leaves every fifth block of the image out of a fit, another fifth at each call.

    Whole blocks, because the network's errors at neighbours correlate. Outliers by the fit to the
    rest are not counted, for they are the reference's errors.
    """

    def __init__(self) -> None:
        self._turn = self._calls = 0
        self._sums: deque[tuple[float, int]] = deque(maxlen=_FOLDS)

    def clear(self) -> None:
        """Forget the past folds."""
        self._sums.clear()

    def measure(
        self,
        samples: GatedSamples,
        fit: AffineFit,
        prior: Prior,
        ends: tuple[float, float] | None,
    ) -> float:
        """Return the mean |error| / depth over the last five folds; NaN below 25 samples.

        `ends`: those of `refine`, None without refinement.
        """
        if samples.count < _LEAST_SAMPLES:
            return float('nan')
        self._calls += 1
        if len(self._sums) == _FOLDS and self._calls % _EVERY:
            return self._mean()
        self._turn = (self._turn + 1) % _FOLDS
        fold = (samples.block % BLOCKS_ALONG + 2 * (samples.block // BLOCKS_ALONG)) % _FOLDS
        held = fold == self._turn
        rest = samples.chosen(~held)
        if held.any() and rest.count >= _LEAST_SAMPLES // 2:
            trained = refit(rest, fit.state, prior, _ITERATIONS)
            asked = samples.chosen(held)
            inverse = trained.scale * asked.inverse_depth + trained.shift
            error = np.log(np.maximum(inverse * asked.depth_m, 1e-6))
            inlier = np.abs(error) < trained.cut
            if ends is not None:
                error = error - corrections_at(rest, trained, ends, asked)
            relative = np.abs(np.expm1(-error[inlier]))
            self._sums.append((float(relative.sum()), int(relative.size)))
        return self._mean()

    def _mean(self) -> float:
        total = sum(count for _, count in self._sums)
        return sum(each for each, _ in self._sums) / total if total else float('nan')
