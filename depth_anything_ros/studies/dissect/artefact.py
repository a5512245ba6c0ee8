"""A published artefact, reproduced: the sign of depth that seemed to depend on the variant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from depth_anything_ros.backends.upstream import upstream_network
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.preprocess import network_input
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.variants import Variant

__all__ = ['EXPLANATION', 'untrained']

_PUBLISHED_SEED = 42
_SIDE_PX = 126

EXPLANATION = (
    'A published dissection of the three variants reports negative depth for Small and Large, '
    'positive depth for Base, a standard deviation of about 0.005, and asks for a correction of '
    'the sign for each variant. Those figures are of networks without a checkpoint, seeded with '
    '42, and read before the last ReLU: the rows below build such networks here. After the ReLU '
    'a negative output is zero everywhere. The sign changes with the seed and with the order in '
    'which code draws its random numbers, so it is not a property of a variant. Released weights '
    'give inverse depth of 0 or more in every variant, larger = nearer: no sign is to be '
    'corrected.'
)


def untrained(
    variants: Sequence[Variant], bgr: BgrImage
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return output before the last ReLU and zeros behind it, by variant, code and seed.

    Of networks without a checkpoint, for an image (H, W, 3). And what could not be built.
    """
    # Small: the sign does not depend on the size.
    image = torch.from_numpy(network_input(bgr, (_SIDE_PX, _SIDE_PX)))[None]
    rows, missing = {}, []
    for variant in variants:
        seeds = (_PUBLISHED_SEED, 0, 1, 2, 3) if variant == variants[0] else (_PUBLISHED_SEED,)
        try:
            title = f"{variant.name}, upstream's code, seed {_PUBLISHED_SEED}"
            rows[title] = _figures(upstream_network, variant, _PUBLISHED_SEED, image)
        except (BackendError, SettingError) as err:
            missing.append(str(err))
        for seed in seeds:
            title = f'{variant.name}, this package, seed {seed}'
            rows[title] = _figures(DepthAnythingV2, variant, seed, image)
    return rows, missing


def _figures(
    build: Callable[[Variant], nn.Module], variant: Variant, seed: int, image: Tensor
) -> dict[str, float]:
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        network = build(variant).eval()
        raw: list[Tensor] = []
        last = [each for each in network.modules() if isinstance(each, nn.Conv2d)][-1]
        # Copied: upstream's ReLU works in place.
        last.register_forward_hook(lambda _, __, out: raw.append(out.clone()))
        zeros = float((network(image) == 0).float().mean())
    low, high = raw[0].aminmax()
    return {
        'min before ReLU': float(low),
        'max before ReLU': float(high),
        'std': float(raw[0].std()),
        'zeros after': zeros,
    }
