"""How much two bags may differ: what `bag compare` allows, and in which direction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from depth_anything_ros.core.errors import SettingError

__all__ = ['CompareLimits', 'beyond', 'is_minimum']

_OFF = math.inf


def _limit(default: float, text: str, minimum: bool = False) -> float:
    value: float = field(default=default, metadata={'help': text, 'minimum': minimum})
    return value


@dataclass(frozen=True)
class CompareLimits:
    """The limits of every frame or topic; the metadata of each field has its `help`.

    Infinity allows anything, and so does 0 where more is better.
    """

    abs_rel: float = _limit(0.01, 'metric depth and scans: mean |error| / depth')
    rmse_m: float = _limit(_OFF, 'metric depth and scans: root mean square error, metres')
    delta1: float = _limit(
        0.98, 'metric depth and scans: least share within a factor of 1.25', minimum=True
    )
    sigma_rel: float = _limit(0.05, 'sigma: mean |difference| / sigma')
    ssi_error: float = _limit(0.05, 'relative depth: rest of the best affine fit, per spread')
    rank_correlation: float = _limit(0.98, "relative depth: least of Spearman's", minimum=True)
    cloud_m: float = _limit(0.1, 'clouds: mean distance to the nearest point, metres')
    cloud_rel: float = _limit(0.01, 'clouds: the same per mean range')
    coverage: float = _limit(
        0.95, 'least share of known pixels, points or beams in common', minimum=True
    )
    missing: float = _limit(0, 'frames of a topic that only A has')
    extra: float = _limit(0, 'frames of a topic that only B has')
    latency_ms: float = _limit(50.0, 'growth of the median from stamp to receipt, ms')
    truth_worse: float = _limit(0.01, 'growth of the mean error against ground truth')

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not value >= 0.0:
                raise SettingError(
                    f'limit {each.name} is {value:g}: give 0 or more, or inf to allow anything'
                )


def is_minimum(name: str) -> bool:
    """Return whether the limit of that name is the least allowed, and not the most."""
    return bool(CompareLimits.__dataclass_fields__[name].metadata['minimum'])


def beyond(name: str, value: float, limit: float) -> bool:
    """Return whether a figure breaks its limit."""
    return value < limit if is_minimum(name) else value > limit
