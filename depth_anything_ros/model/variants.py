"""The variants of Depth Anything V2: a network is a row in this table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from depth_anything_ros.core.errors import SettingError

__all__ = ['ANNOUNCED', 'VARIANTS', 'Checkpoint', 'Variant', 'get_variant']

PATCH_PX = 14
"""Side of the square patch that becomes one token, in pixels of the network's input."""


class Checkpoint(str, Enum):
    """What a checkpoint was trained to predict."""

    RELATIVE = 'relative'
    METRIC_INDOOR = 'metric_indoor'
    METRIC_OUTDOOR = 'metric_outdoor'

    @property
    def max_depth_m(self) -> float | None:
        """Depth in metres at which the metric head saturates; None for relative."""
        return {'metric_indoor': 20.0, 'metric_outdoor': 80.0}.get(self.value)


@dataclass(frozen=True)
class Variant:
    """Architecture of one variant: a DINOv2 ViT and the DPT head on it."""

    name: str
    embed_dim: int
    depth: int
    num_heads: int
    taps: tuple[int, int, int, int]
    features: int
    out_channels: tuple[int, int, int, int]
    swiglu: bool = False
    input_size: int | None = None
    """Shorter side in pixels that the network is pinned to; None where any size will do."""


VARIANTS: dict[str, Variant] = {
    row.name: row
    for row in (
        Variant('vits', 384, 12, 6, (2, 5, 8, 11), 64, (48, 96, 192, 384)),
        Variant('vitb', 768, 12, 12, (2, 5, 8, 11), 128, (96, 192, 384, 768)),
        Variant('vitl', 1024, 24, 16, (4, 11, 17, 23), 256, (256, 512, 1024, 1024)),
        Variant('vitg', 1536, 40, 24, (9, 19, 29, 39), 384, (1536,) * 4, swiglu=True),
        # Ours: trained on synthetic scenes by lab/training, for demonstrations and tests.
        Variant('demo', 144, 6, 3, (1, 2, 4, 5), 32, (24, 32, 48, 64), input_size=126),
    )
}


ANNOUNCED = ('vitg',)
"""Variants whose weights were announced and never released."""


def get_variant(name: str) -> Variant:
    """Return a variant by name; SettingError names those that have weights."""
    try:
        return VARIANTS[name]
    except KeyError:
        known = ', '.join(each for each in VARIANTS if each not in ANNOUNCED)
        raise SettingError(f"variant '{name}' is not known: choose one of {known}") from None
