"""Errors by distance, calibration of sigma, and how far depth can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.core.types import Floats
from depth_anything_ros.studies.prove.judged import NEIGHBOURS, Judged
from depth_anything_ros.studies.prove.limits import Trust

__all__ = ['SIGMAS', 'DistanceBin', 'Figures', 'figures_of']

SIGMAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Of how many sigma the shares of errors within are stated."""

_EDGES_M = np.array(
    [0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, np.inf]
)
# Fewer say nothing of a distance.
_LEAST = 30
# Of a Gaussian: its standard deviation by the median of |x|, and the mean of |x| by it.
_BY_MEDIAN, _MEAN_ABS = 1.4826, math.sqrt(2.0 / math.pi)
# `local` has the noise of the sample, and that of the median of its neighbours.
_LOCAL = math.sqrt(1.0 + math.pi / 2.0 / NEIGHBOURS)
_NAN = float('nan')


@dataclass(frozen=True)
class DistanceBin:
    """The samples between two distances, metres.

    `abs_rel`: mean |error| / distance, without the judge's noise; `measured`: with it. `noise`:
    standard deviation of the judge by its distance. `bias`: median of found / measured, less 1.
    `within`: share within the error of Trust. `sigma`: median of sigma by found depth.
    """

    near_m: float
    far_m: float
    samples: int
    abs_rel: float
    measured: float
    noise: float
    bias: float
    within: float
    sigma: float


@dataclass(frozen=True)
class Figures:
    """What one judge found over all frames; NaN where it judged nothing.

    `within_sigma`: share of errors within each of SIGMAS, of sigma and the judge's noise.
    `outliers`, `hidden`, `unknown`: shares of the places asked for, see Judged. `trust_m`: the
    greatest distance, in steps of the bins, at which and up to which depth can be trusted.
    """

    samples: int
    abs_rel: float
    measured: float
    noise: float
    bias: float
    delta1: float
    within_sigma: tuple[float, ...]
    outliers: float
    hidden: float
    unknown: float
    trust_m: float
    bins: tuple[DistanceBin, ...]


def figures_of(frames: Sequence[Judged], trust: Trust) -> Figures:
    """Sum up the frames."""
    asked = max(1, sum(each.asked for each in frames))
    true, depth, sigma, local = (
        np.concatenate([getattr(each, name) for each in frames] or [np.zeros(0)])
        for name in ('true_m', 'depth_m', 'sigma_m', 'local')
    )
    error, ratio = np.abs(depth - true), depth / true
    place = np.digitize(true, _EDGES_M) - 1
    noise, cleaned, bins = np.zeros(true.size), 0.0, []
    for at in np.unique(place):
        chosen = place == at
        count = int(chosen.sum())
        measured = float(np.mean(error[chosen] / true[chosen]))
        own = _noise(local[chosen]) if count >= _LEAST else 0.0
        noise[chosen] = own
        abs_rel = math.sqrt(max(measured**2 - (_MEAN_ABS * own) ** 2, 0.0))
        cleaned += count * abs_rel
        if count >= _LEAST:
            far_m = min(float(_EDGES_M[at + 1]), float(true[chosen].max()))
            bins.append(
                DistanceBin(
                    float(_EDGES_M[at]),
                    far_m,
                    count,
                    abs_rel,
                    measured,
                    own,
                    float(np.median(ratio[chosen])) - 1.0,
                    float(np.mean(error[chosen] <= trust.error * true[chosen])),
                    float(np.median(sigma[chosen] / depth[chosen])),
                )
            )
    spread = np.hypot(sigma, noise * true)
    return Figures(
        true.size,
        cleaned / true.size if true.size else _NAN,
        _mean(error / true),
        float(np.median(noise)) if true.size else _NAN,
        float(np.median(ratio)) - 1.0 if true.size else _NAN,
        _mean(np.maximum(ratio, 1.0 / ratio) < 1.25),
        tuple(_mean(error < many * spread) for many in SIGMAS),
        sum(each.outliers for each in frames) / asked,
        sum(each.hidden for each in frames) / asked,
        sum(each.unknown for each in frames) / asked,
        _trusted(bins, trust),
        tuple(bins),
    )


def _noise(local: Floats) -> float:
    return float(_BY_MEDIAN * np.median(np.abs(local)) / _LOCAL)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else _NAN


def _trusted(bins: Sequence[DistanceBin], trust: Trust) -> float:
    """Return the farthest end of a bin that holds the share, as do all samples up to it."""
    far_m, good, count = 0.0 if bins else _NAN, 0.0, 0
    for each in bins:
        good, count = good + each.within * each.samples, count + each.samples
        if min(each.within, good / count) >= trust.share:
            far_m = each.far_m
    return far_m
