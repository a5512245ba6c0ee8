"""What metric depth must keep to pass, and what trust means."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from depth_anything_ros.core.errors import SettingError

__all__ = ['ProofLimits', 'Trust']


@dataclass(frozen=True)
class Trust:
    """Depth is trusted as far as a `share` of the samples is within a relative `error`."""

    error: float = 0.1
    share: float = 0.9


def _limit(default: float, text: str, minimum: bool = False) -> float:
    value: float = field(default=default, metadata={'help': text, 'minimum': minimum})
    return value


@dataclass(frozen=True)
class ProofLimits:
    """The limits of every row; the metadata of each field has its `help`."""

    abs_rel: float = _limit(0.2, 'mean |error| / depth')
    bias: float = _limit(0.1, 'median of depth / measured, less 1, either way')
    outliers: float = _limit(0.1, 'share of the samples that stand alone among their own sensor')
    published: float = _limit(0.5, 'least share of images with metric depth', minimum=True)
    within_2_sigma: float = _limit(0.6, 'least share of errors below 2 sigma', minimum=True)
    trust_m: float = _limit(0.0, 'least trusted distance, metres', minimum=True)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not value >= 0.0:
                raise SettingError(
                    f'limit {each.name} is {value:g}: give 0 or more, or inf to allow anything'
                )
