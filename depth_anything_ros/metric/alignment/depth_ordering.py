"""Whether the nearer of two samples has the greater inverse depth, by rank: no line is fitted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.metric.alignment.config import OrderingRules
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples, InverseDepthStats

__all__ = ['DepthOrdering', 'far_pairs', 'rising_share']

Ints = npt.NDArray[np.int64]

_PAIRS = 128
_SORTED = 512
_LEAST_TELLING = 12
# Shares of the spread of inverse depth: that of the samples, that of the image.
_LEAST_APART = 0.15
_LEAST_OF_IMAGE = 0.03
# Disparities further apart than the network's error could bring them.
_SURE_OF_IMAGE, _SURE_OF_MEDIAN = 0.25, 0.3
_LEAST_CHANGE = 0.02
# One stray sample, or two, are in many pairs, and must not decide.
_LEAST_EACH = 3
_RISING = 0.5
_FRAMES_TO_TRUST_AGAIN = 8

_DRAWS = np.random.default_rng(20240613).random((2, _PAIRS))


class DepthOrdering:
    """What the frames so far say: a contradiction asks for eight frames that prove otherwise.

    Of a beam each one does, for all of its frames see the same place. A negated scan may agree in
    single frames, where its points fall on the floor before them, and a negated beam while it
    crosses an edge.
    """

    def __init__(self, rules: OrderingRules) -> None:
        self._rules = rules
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._proofs = 0

    @property
    def known(self) -> bool:
        """Return whether enough frames showed that nearer is more inverse depth."""
        return self._proofs >= self._rules.frames

    def contradicted(self, share: float) -> bool:
        """Take in the `rising_share` of a frame, NaN if none; tell whether to refuse it."""
        if share < _RISING:
            rules = self._rules
            doubted = min(self._proofs, rules.frames) - _FRAMES_TO_TRUST_AGAIN
            self._proofs = max(doubted, rules.frames - rules.most_doubt)
        elif share >= self._rules.share:
            self._proofs += 1
        return self._proofs < 0


def far_pairs(q: npt.NDArray[np.float64]) -> tuple[Ints, Ints]:
    """Return indices (m,), (m,) of pairs of small and large inverse depth, well apart."""
    step = q.size // _SORTED + 1
    order = step * np.argsort(q[::step], kind='stable')
    half, last = order.size // 2, order.size - 1
    low = order[(_DRAWS[0] * half).astype(np.int64)]
    high = order[half + (_DRAWS[1] * (order.size - half)).astype(np.int64)]
    # By the spread of the samples: a scan that sees little of it must still tell its sign.
    spread = q[order[int(0.95 * last)]] - q[order[int(0.05 * last)]]
    apart = q[high] - q[low] > _LEAST_APART * spread
    return low[apart], high[apart]


def rising_share(samples: GatedSamples, stats: InverseDepthStats, least_change: float) -> float:
    """Return the share of pairs whose nearer sample has the greater inverse depth.

    Pairs tell where they differ in depth by `least_change` (log) and at least by half of that in
    inverse depth, or so much in inverse depth that they must differ in depth: a negated reference
    may be nearly flat.
    NaN where too few pairs tell, as before a wall or with one beam on one thing.
    """
    q = samples.inverse_depth
    low, high = far_pairs(q)
    change = np.log(samples.depth_m[low] / samples.depth_m[high])
    relief = q[high] - q[low]
    telling = (np.abs(change) > least_change) & (relief > _LEAST_OF_IMAGE * stats.spread)
    telling &= relief > 0.5 * least_change * np.abs(q[high])
    telling |= relief > max(_SURE_OF_IMAGE * stats.spread, _SURE_OF_MEDIAN * abs(stats.median))
    count = int(np.count_nonzero(telling))
    each = min(np.unique(low[telling]).size, np.unique(high[telling]).size)
    if count < _LEAST_TELLING or each < _LEAST_EACH:
        return float('nan')
    return float(np.count_nonzero(change[telling] > _LEAST_CHANGE)) / count
