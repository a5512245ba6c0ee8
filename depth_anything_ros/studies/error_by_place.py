"""How much could be gained by leaving pixels out, if it were known where the network errs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ['Tally', 'gain_by_itself', 'gain_by_others']

_PLACES = 64
_KEPT = 0.8


@dataclass(frozen=True, eq=False)
class Tally:
    """Number of pixels (64,) and sum of their errors (64,), by place in one scene."""

    count: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]

    @classmethod
    def of(cls, place: npt.NDArray[np.int64], error: npt.NDArray[np.float64]) -> Tally:
        """Sum up errors (n,) at places (n,) below 64."""
        count = np.bincount(place, minlength=_PLACES).astype(np.float64)
        return cls(count, np.bincount(place, error, _PLACES).astype(np.float64))

    def gain(self, known: Tally) -> float:
        """Give the relative fall of the mean error without the fifth that is worst by `known`."""
        order = np.argsort(known.error / np.maximum(known.count, 1.0), kind='stable')
        count, error = self.count[order], self.error[order]
        left = np.clip(_KEPT * count.sum() - (np.cumsum(count) - count), 0.0, count)
        kept = float(error @ (left / np.maximum(count, 1.0))) / float(left.sum())
        return 1.0 - kept * float(count.sum()) / float(error.sum())


def gain_by_itself(scenes: Sequence[Tally]) -> float:
    """Give the mean gain where the true error of each place is known; NaN without a scene."""
    return float(np.mean([each.gain(each) for each in scenes])) if scenes else float('nan')


def gain_by_others(scenes: Sequence[Tally]) -> float:
    """Give the mean gain where each place errs as in the other scenes; NaN below two."""
    if len(scenes) < 2:
        return float('nan')
    count = np.sum([each.count for each in scenes], axis=0)
    error = np.sum([each.error for each in scenes], axis=0)
    gains = [each.gain(Tally(count - each.count, error - each.error)) for each in scenes]
    return float(np.mean(gains))
