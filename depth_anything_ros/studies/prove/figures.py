"""What a bag proved: a row for each reference and judge, its limits, and how it comes about."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_anything_ros.bag.compare_results import Limits, limit

if TYPE_CHECKING:
    from depth_anything_ros.studies.prove.judged import Judged

__all__ = ['NEIGHBOURS', 'SIGMAS', 'Proof', 'ProofLimits', 'failures', 'figures_of']

NEIGHBOURS = 6
"""The nearest other samples of the same sensor in the image, with which one is compared."""

SIGMAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Of how many sigma the shares of errors within are stated."""

_EDGES_M = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, np.inf])
# Fewer say nothing of a distance.
_LEAST = 30
# Of a Gaussian: its standard deviation by the median of |x|, and the mean of |x| by it.
_BY_MEDIAN, _MEAN_ABS = 1.4826, math.sqrt(2.0 / math.pi)
# `local` has the noise of the sample, and that of the median of its neighbours.
_LOCAL = math.sqrt(1.0 + math.pi / 2.0 / NEIGHBOURS)


@dataclass(frozen=True)
class ProofLimits(Limits):
    """The limits of every row, and what makes trust; the metadata of each has its `help`."""

    abs_rel: float = limit(0.2, 'mean |error| / depth')
    bias: float = limit(0.1, 'median of depth / measured, less 1, either way')
    outliers: float = limit(0.1, 'share of samples that stand alone among their own sensor')
    published: float = limit(0.5, 'least share of images with metric depth', minimum=True)
    within_2_sigma: float = limit(0.6, 'least share of errors below 2 sigma', minimum=True)
    trust_m: float = limit(0.0, 'least trusted distance, metres', minimum=True)
    trust_error: float = limit(0.1, 'relative error to which depth is trusted')
    trust_share: float = limit(0.9, 'share of samples within it that makes trust', minimum=True)


@dataclass(frozen=True)
class Proof:
    """What one reference gave by one judge: 'held out', 'ground truth', a topic, or none, ''.

    `published`: share of `images` with metric depth; `refused`: the others, by reason. `judged`:
    images that were, `unjudged`: why one was not. `flicker`: core.flicker, the median;
    `tae_percent`: core.flicker, the mean. `ms_p50`, `ms_p95`: of an image on this
    machine, to depth and sigma; `period_ms`: between images of the bag. `abs_rel`: mean |error| /
    distance, without the `noise` of the judge (its relative standard deviation). `bias`: median of
    found / measured depth, less 1. `within_sigma`: share of errors below each of SIGMAS.
    `outliers`: share of the judge's samples that stand alone. `trust_m`: the greatest distance, by
    the ends of `bins`, at which and up to which depth is trusted.
    """

    bag: str
    network: str
    reference: str
    judge: str
    images: int
    judged: int
    unjudged: str
    published: float
    refused: Mapping[str, int]
    flicker: float
    scale_jitter_percent: float
    tae_percent: float
    ms_p50: float
    ms_p95: float
    period_ms: float
    abs_rel: float
    bias: float
    delta1: float
    within_1_sigma: float
    within_2_sigma: float
    outliers: float
    noise: float
    trust_m: float
    within_sigma: Sequence[float]
    bins: Sequence[Mapping[str, float]]


def failures(proof: Proof, limits: ProofLimits) -> Iterator[str]:
    """Return a line for each limit that a row does not keep."""
    where = f'{proof.bag} {proof.reference}, judged by {proof.judge or "nothing"}'
    for each in fields(limits):
        value, bound = getattr(proof, each.name, math.nan), getattr(limits, each.name)
        minimum = each.metadata['minimum']
        # NaN, of what was not judged, is neither.
        if value < bound if minimum else abs(value) > bound:
            side = 'below' if minimum else 'beyond'
            yield f'{where}: {each.name} is {value:.4g}, {side} {bound:g}'
    if proof.published and not proof.judged:
        yield f'{where}: no image could be judged: {proof.unjudged or "no sensor beside it"}'


def figures_of(frames: Sequence[Judged], limits: ProofLimits) -> dict[str, Any]:
    """Return the fields of Proof from `abs_rel` on, over all frames of one judge."""
    some = any(each.true_m.size for each in frames)
    true, depth, sigma, local = (
        np.concatenate([np.full(int(not some), np.nan), *(getattr(each, name) for each in frames)])
        for name in ('true_m', 'depth_m', 'sigma_m', 'local')
    )
    error, ratio = np.abs(depth - true) / true, depth / true
    noise, cleaned, bins, far_m, good, count = np.zeros(true.size), 0.0, [], 0.0, 0.0, 0
    for near_m, end_m in itertools.pairwise(_EDGES_M):
        chosen = (true >= near_m) & (true < end_m)
        size = int(chosen.sum())
        if size >= _LEAST:
            noise[chosen] = _BY_MEDIAN * float(np.median(np.abs(local[chosen]))) / _LOCAL
        measured, own = float(error[chosen].sum()) / max(1, size), noise[chosen].max(initial=0.0)
        abs_rel = math.sqrt(max(measured**2 - (_MEAN_ABS * own) ** 2, 0.0))
        cleaned += size * abs_rel
        if size < _LEAST:
            continue
        within = float(np.mean(error[chosen] <= limits.trust_error))
        good, count, last_m = good + size * within, count + size, float(true[chosen].max())
        if min(within, good / count) >= limits.trust_share:
            far_m = min(float(end_m), last_m)
        bins.append(
            {
                'near_m': float(near_m),
                'far_m': min(float(end_m), last_m),
                'samples': size,
                'abs_rel': abs_rel,
                'with noise': measured,
                'noise': float(own),
                'bias': float(np.median(ratio[chosen])) - 1.0,
                'within': within,
                'sigma': float(np.median(sigma[chosen] / depth[chosen])),
            }
        )
    spread = np.hypot(sigma / true, noise)
    shares = [float(np.mean(error < many * spread)) if some else math.nan for many in SIGMAS]
    return {
        'abs_rel': cleaned / true.size if some else math.nan,
        'bias': float(np.median(ratio)) - 1.0,
        'delta1': float(np.mean(np.maximum(ratio, 1.0 / ratio) < 1.25)) if some else math.nan,
        'within_1_sigma': shares[1],
        'within_2_sigma': shares[3],
        'outliers': sum(x.outliers for x in frames) / max(1, sum(x.asked for x in frames)),
        'noise': float(np.median(noise)) if some else math.nan,
        'trust_m': far_m if some else math.nan,
        'within_sigma': shares,
        'bins': bins,
    }
