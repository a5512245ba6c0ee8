"""One scene as a network sees it, and how far an alignment of it is from the truth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import FloatImage, ReferenceSamples
from depth_anything_ros.metric.alignment import Alignment, AlignmentConfig, ScaleAligner
from lab.claims.alignment_baselines import NotInstalledError, ScaleShift, huber_oracle
from lab.claims.alignment_references import Truth
from lab.claims.alignment_table import MISSING
from lab.world.degradation import Degradation, degraded

__all__ = ['MAX_M', 'MIN_M', 'SceneView', 'Score', 'aligned']

Floats = npt.NDArray[np.float64]

MIN_M, MAX_M = 0.1, 80.0
"""Depths that are judged."""

_STEP = 3
# AbsRel over the oracle's from which a scale is wrong.
_WRONG = 1.5
_KEPT_PERCENT = 80
_REDRAWS = 16


@dataclass(frozen=True)
class Score:
    """One method on one scene."""

    abs_rel: float
    coverage: float
    seconds: float
    flagged: bool = False
    silent: bool = False
    held_out: float = float('nan')
    calibration: Floats | None = None
    mean_sigma: float = float('nan')
    gain_of_drop: float = float('nan')
    gain_if_redrawn: float = float('nan')


def aligned(
    inverse_depth: FloatImage, config: AlignmentConfig, samples: ReferenceSamples
) -> tuple[Alignment, float]:
    """Return the alignment of one frame and the seconds that it took."""
    aligner = ScaleAligner(config)
    start = time.perf_counter()
    found = aligner.update(inverse_depth, samples, 0)
    return found, time.perf_counter() - start


class SceneView:
    """What the network says of one scene, and how alignments are compared with the truth."""

    def __init__(self, of: Truth, gamma: float, seed: int) -> None:
        self._of, self._how, self._seed = of, Degradation(gamma=gamma), seed
        self.inverse_depth = degraded(of.depth_m, self._how, seed, objects=of.objects)
        with np.errstate(invalid='ignore'):
            self._judged = (of.depth_m > MIN_M) & (of.depth_m < MAX_M) & (self.inverse_depth > 0.0)
        self._judged[np.arange(self.inverse_depth.shape[0]) % _STEP != 0] = False
        self._q = self.inverse_depth[self._judged].astype(np.float64)
        self._z = of.depth_m[self._judged].astype(np.float64)

    @cached_property
    def _redrawn(self) -> list[FloatImage]:
        """Return what networks with other errors say of the scene."""
        seeds = (1_000_000 + _REDRAWS * self._seed + draw for draw in range(_REDRAWS))
        of = self._of
        return [degraded(of.depth_m, self._how, seed, objects=of.objects) for seed in seeds]

    def expected_error(self, config: AlignmentConfig, samples: ReferenceSamples) -> Floats:
        """Return the mean |error| / depth of the judged pixels with other errors of the network.

        NaN where none has a depth.
        """
        errors = []
        for inverse_depth in self._redrawn:
            found, _ = aligned(inverse_depth, config, samples)
            depth = found.metric_depth(inverse_depth)[self._judged].astype(np.float64)
            errors.append(np.abs(depth - self._z) / self._z)
        known = np.count_nonzero(np.isfinite(errors), axis=0)
        return np.where(known > 0, np.nansum(errors, axis=0) / np.maximum(known, 1), np.nan)

    @property
    def _least(self) -> float:
        """Return the oracle's AbsRel, 0 where it has none."""
        return self.oracle.abs_rel if isinstance(self.oracle, Score) else 0.0

    @cached_property
    def oracle(self) -> Score | str:
        """Score the best robust state for all pixels."""
        return self.timed(lambda: huber_oracle(self._q, self._z))

    def timed(self, method: Callable[[], ScaleShift]) -> Score | str:
        """Time and score one baseline."""
        start = time.perf_counter()
        try:
            found = method()
        except NotInstalledError:
            return MISSING
        seconds = time.perf_counter() - start
        if not np.isfinite(found).all():
            return 'no_fit'
        with np.errstate(divide='ignore'):
            depth = 1.0 / (found[0] * self._q + found[1])
        known = (depth >= MIN_M) & (depth <= MAX_M)
        if not known.any():
            return 'no_depth'
        error = np.abs(depth - self._z)[known] / self._z[known]
        return Score(float(error.mean()), float(known.mean()), seconds)

    def alignment(self, found: Alignment, seconds: float, expected: Floats | None) -> Score:
        """Score depth and sigma of an accepted alignment; `expected` is from `expected_error`."""
        depth_image = found.metric_depth(self.inverse_depth)
        sigma = found.sigma_of(depth_image)[self._judged].astype(np.float64)
        depth = depth_image[self._judged].astype(np.float64)
        known = np.isfinite(depth)
        depth, sigma, true = depth[known], sigma[known], self._z[known]
        error = np.abs(depth - true)
        third = np.digitize(true, np.percentile(true, (100 / 3, 200 / 3)))
        off = error / sigma
        calibration = [[float(np.mean(off[third == i] < k)) for i in range(3)] for k in (1, 2)]
        relative = error / true
        abs_rel = float(np.mean(relative))
        return Score(
            abs_rel,
            float(known.mean()),
            seconds,
            bool(found.warning),
            not found.warning and abs_rel > _WRONG * self._least,
            found.held_out_abs_rel,
            np.array(calibration),
            float(np.mean(sigma / depth)),
            _gain_without(relative, sigma / depth),
            float('nan') if expected is None else _gain_without(relative, expected[known]),
        )


def _gain_without(error: Floats, doubt: Floats) -> float:
    """Return the relative fall of the mean error (n,) without the fifth of the greatest doubt."""
    kept = error[doubt <= np.nanpercentile(doubt, _KEPT_PERCENT)]
    return 1.0 - float(np.mean(kept)) / float(np.mean(error))
