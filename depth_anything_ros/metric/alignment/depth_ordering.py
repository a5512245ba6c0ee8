"""Depth ordering: whether the nearer of two samples has the greater inverse depth.

By rank only, so that no fit is needed. A reference with the wrong frame, unit or sign fails it.
"""

from __future__ import annotations

import numpy as np

from depth_anything_ros.core.types import Floats, Ints
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples, InverseDepthStats

__all__ = ['DepthOrdering', 'far_pairs', 'ordered_share']


_PAIRS = 128
_SORTED = 512
_MIN_INFORMATIVE = 12
# Least difference of a pair in inverse depth: share of the spread of the samples, of the image.
_MIN_APART = 0.15
_MIN_OF_IMAGE = 0.03
# Log change of depth from which the network must order a pair: its error differs between two
# places by 10 %.
_INFORMATIVE_CHANGE = 0.15
# Inverse depths further apart than the network's error could explain.
_SURE_OF_IMAGE, _SURE_OF_MEDIAN = 0.25, 0.3
# Log change of depth from which a pair counts as ordered.
_MIN_CHANGE = 0.02
# One or two outliers are in many pairs, and must not decide.
_MIN_EACH = 3
# Share of ordered pairs below which a frame contradicts the network, and from which it confirms
# it. Outliers order pairs by chance: 30 % of them leave a share of 0.75, or of 0.25 of a reversed
# reference. One that is nothing but noise is no contradiction.
_CONTRADICTED, _CONFIRMED = 0.42, 0.6
# Frames that must confirm after a contradiction: a reversed scan may agree in single frames,
# where its points fall on the ground before an object.
_FRAMES_TO_TRUST_AGAIN = 8

_DRAWS = np.random.default_rng(20240613).random((2, _PAIRS))


class DepthOrdering:
    """What the frames so far show: one that confirms is enough, after a contradiction eight."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._confirmed = 0

    @property
    def known(self) -> bool:
        """Return whether enough frames confirmed that nearer means greater inverse depth."""
        return self._confirmed > 0

    def contradicted(self, share: float) -> bool:
        """Add the `ordered_share` of a frame (NaN if unknown); return whether to refuse it."""
        if share < _CONTRADICTED:
            self._confirmed = 1 - _FRAMES_TO_TRUST_AGAIN
        elif share >= _CONFIRMED:
            self._confirmed += 1
        return self._confirmed < 0


def far_pairs(q: Floats) -> tuple[Ints, Ints]:
    """Return indices (m,), (m,) of pairs of small and large inverse depth `q` (n,), well apart."""
    step = q.size // _SORTED + 1
    order = step * np.argsort(q[::step], kind='stable')
    half, last = order.size // 2, order.size - 1
    low = order[(_DRAWS[0] * half).astype(np.int64)]
    high = order[half + (_DRAWS[1] * (order.size - half)).astype(np.int64)]
    # Relative to the samples: a scan that sees a small part of the spread shows an order too.
    spread = q[order[int(0.95 * last)]] - q[order[int(0.05 * last)]]
    apart = q[high] - q[low] > _MIN_APART * spread
    return low[apart], high[apart]


def ordered_share(samples: GatedSamples, stats: InverseDepthStats) -> float:
    """Return the share of informative pairs whose nearer sample has the greater inverse depth.

    A pair is informative where it differs enough in depth and in inverse depth, or so much in
    inverse depth that it must differ in depth: a reversed reference may be nearly flat.
    NaN where too few pairs are informative, as before a wall.
    """
    q = samples.inverse_depth
    low, high = far_pairs(q)
    change = np.log(samples.depth_m[low] / samples.depth_m[high])
    relief = q[high] - q[low]
    informative = (np.abs(change) > _INFORMATIVE_CHANGE) & (relief > _MIN_OF_IMAGE * stats.spread)
    informative &= relief > 0.5 * _INFORMATIVE_CHANGE * np.abs(q[high])
    informative |= relief > max(_SURE_OF_IMAGE * stats.spread, _SURE_OF_MEDIAN * abs(stats.median))
    count = int(np.count_nonzero(informative))
    each = min(np.unique(low[informative]).size, np.unique(high[informative]).size)
    if count < _MIN_INFORMATIVE or each < _MIN_EACH:
        return float('nan')
    return float(np.count_nonzero(change[informative] > _MIN_CHANGE)) / count
