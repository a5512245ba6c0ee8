"""One layer's output in figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.vit import Attention, Block

__all__ = ['Kind', 'Layer', 'Module', 'effective_rank', 'modules_of', 'outputs_by_channel']

_CONVOLUTIONS = nn.Conv2d, nn.ConvTranspose2d
_CONSTANT = 1e-6
"""Of a layer's standard deviation: a channel that varies less is dead."""


class Kind(str, Enum):
    """What a layer is."""

    CONVOLUTION = 'convolution'
    ATTENTION = 'attention'
    BLOCK = 'block'


@dataclass(frozen=True)
class Module:
    """A layer of the network: its number among those of its kind, from 1, and its name there."""

    kind: Kind
    number: int
    name: str


@dataclass(frozen=True)
class Layer:
    """The output of a layer for one image.

    `order`: when it ran, from 1. `zeros`, `negative`: shares of all values. `dead_channels` do not
    vary over the image, `never_positive_channels` leave nothing behind a ReLU. `mean_norm`: mean
    Euclidean length of a token; `effective_rank`: exp of the entropy of the singular values of
    the patch tokens, both None for convolutions.
    """

    kind: Kind
    number: int
    name: str
    order: int
    parameters: int
    shape: tuple[int, ...]
    dtype: str
    min: float
    max: float
    mean: float
    std: float
    zeros: float
    negative: float
    channels: int
    dead_channels: int
    never_positive_channels: int
    mean_norm: float | None = None
    effective_rank: float | None = None

    @classmethod
    def of(cls, module: Module, order: int, parameters: int, output: Tensor) -> Layer:
        """Measure the output of `module`: (1, channels, h, w) or (1, tokens, channels)."""
        values = outputs_by_channel(output).float()
        spread, mean = torch.std_mean(values, correction=0)
        low, high = values.aminmax(dim=1)
        alive = high - low > _CONSTANT * spread
        norm = rank = None
        if module.kind is not Kind.CONVOLUTION:
            norm = float(values.norm(dim=0).mean())
            rank = effective_rank(values[:, 1:])
        return cls(
            module.kind,
            module.number,
            module.name,
            order,
            parameters,
            tuple(output.shape),
            str(output.dtype).removeprefix('torch.'),
            float(low.min()),
            float(high.max()),
            float(mean),
            float(spread),
            float((values == 0).float().mean()),
            float((values < 0).float().mean()),
            len(values),
            int((~alive).sum()),
            int((high <= 0).sum()),
            norm,
            rank,
        )


def modules_of(network: DepthAnythingV2) -> dict[str, Module]:
    """Return the layers that are measured, by their names, numbered in the network's order."""
    found: dict[str, Module] = {}
    numbers = dict.fromkeys(Kind, 0)
    for name, module in network.named_modules():
        if isinstance(module, _CONVOLUTIONS):
            kind = Kind.CONVOLUTION
        elif isinstance(module, Attention):
            kind = Kind.ATTENTION
        elif isinstance(module, Block):
            kind = Kind.BLOCK
        else:
            continue
        numbers[kind] += 1
        found[name] = Module(kind, numbers[kind], name)
    return found


def outputs_by_channel(output: Tensor) -> Tensor:
    """Return (channels, places) of (1, channels, h, w), or of (1, tokens, channels)."""
    return output[0].flatten(1) if output.dim() == 4 else output[0].T


def effective_rank(values: Tensor) -> float:
    """Return exp(entropy) of the singular values of a matrix (Roy and Vetterli, 2007)."""
    values = values.double()
    square = values @ values.T if len(values) < values.shape[1] else values.T @ values
    singular = torch.linalg.eigvalsh(square).clamp(min=0).sqrt()
    total = singular.sum()
    if total == 0:
        return 0.0
    share = singular / total
    return float(torch.exp(torch.special.entr(share).sum()))
