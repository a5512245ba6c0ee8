"""A published artefact, reproduced: the sign of depth that seemed to depend on the variant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.preprocess import network_input
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.variants import Variant

__all__ = ['EXPLANATION', 'PUBLISHED_SEED', 'Untrained', 'untrained']

PUBLISHED_SEED = 42
_MORE_SEEDS = 0, 1, 2, 3
_SIDE_PX = 126

EXPLANATION = (
    'A published dissection of the three variants reports negative depth for Small and Large, '
    'positive depth for Base, a standard deviation of about 0.005, and asks for a correction of '
    'the sign for each variant. Those figures are of networks without a checkpoint, seeded with '
    '42, and read before the last ReLU: the rows below build such networks here. After the ReLU '
    'a negative output is zero everywhere. The sign changes with the seed and with the order in '
    'which code draws its random numbers, so it is no property of a variant. Released weights '
    'give inverse depth of 0 or more in every variant, larger = nearer: no sign is to be '
    'corrected.'
)


@dataclass(frozen=True)
class Untrained:
    """A network without a checkpoint: its output before the last ReLU, and zeros behind it."""

    variant: str
    code: str
    seed: int
    min: float
    max: float
    std: float
    zeros: float


def untrained(variants: Sequence[Variant], bgr: BgrImage) -> tuple[list[Untrained], str]:
    """Return the rows of the artefact for an image (H, W, 3), and what could not be built."""
    # Small: the sign does not depend on the size.
    image = torch.from_numpy(network_input(bgr, (_SIDE_PX, _SIDE_PX)))[None]
    rows, missing = [], ''
    for variant in variants:
        try:
            rows.append(_row(variant, 'upstream', PUBLISHED_SEED, image, _upstream))
        except DepthAnythingError as err:
            missing = str(err)
        rows.append(_row(variant, 'this package', PUBLISHED_SEED, image, DepthAnythingV2))
    rows += [
        _row(variants[0], 'this package', seed, image, DepthAnythingV2) for seed in _MORE_SEEDS
    ]
    return rows, missing


def _upstream(variant: Variant) -> nn.Module:
    # Not everybody has upstream's package.
    from depth_anything_ros.backends.upstream import upstream_network

    return upstream_network(variant)


def _row(
    variant: Variant, code: str, seed: int, image: Tensor, build: Callable[[Variant], nn.Module]
) -> Untrained:
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        network = build(variant).eval()
        raw: list[Tensor] = []
        last = [each for each in network.modules() if isinstance(each, nn.Conv2d)][-1]
        # Copied: upstream's ReLU works in place.
        last.register_forward_hook(lambda _, __, out: raw.append(out.clone()))
        depth = network(image)
    low, high = float(raw[0].min()), float(raw[0].max())
    zeros = float((depth == 0).float().mean())
    return Untrained(variant.name, code, seed, low, high, float(raw[0].std()), zeros)
