"""Run a network once, and measure every layer while its output is there: nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.core.depth_errors import relative_figures
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.vit import Attention, Block
from depth_anything_ros.model.variants import PATCH_PX

__all__ = [
    'Kind',
    'Module',
    'Record',
    'attention_rows',
    'channels_of',
    'effective_rank',
    'figures_of',
    'modules_of',
    'record',
    'stages',
    'token_of',
]

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
class Record:
    """One pass: the figures of each layer that ran, in that order, and what is needed later.

    `before_relu`: lowest and highest value before the last non-linearity. `tapped`: the tokens
    that the head took. `depth`: inverse depth (h, w).
    """

    layers: list[dict[str, Any]]
    never_ran: list[Module]
    before_relu: tuple[float, float]
    tapped: tuple[Tensor, ...]
    depth: FloatImage


def modules_of(network: DepthAnythingV2) -> dict[str, Module]:
    """Return the layers that are measured, by their names, numbered in the network's order."""
    kinds = {nn.Conv2d: Kind.CONVOLUTION, nn.ConvTranspose2d: Kind.CONVOLUTION}
    kinds |= {Attention: Kind.ATTENTION, Block: Kind.BLOCK}
    numbers = dict.fromkeys(Kind, 0)
    found = {}
    for name, module in network.named_modules():
        kind = kinds.get(type(module))
        if kind is not None:
            numbers[kind] += 1
            found[name] = Module(kind, numbers[kind], name)
    return found


def record(
    network: DepthAnythingV2,
    image: Tensor,
    points: Sequence[tuple[float, float]],
    on_output: Callable[[dict[str, Any], Tensor], None],
    on_maps: Callable[[int, Tensor], None],
) -> Record:
    """Run the network on `image` (1, 3, h, w).

    `on_output` sees the figures and the output of every layer, which is overwritten afterwards;
    `on_maps` the number of a block and its attention (heads, points, rows, columns) from `points`,
    shares of width and height.
    """
    rows, columns = image.shape[-2] // PATCH_PX, image.shape[-1] // PATCH_PX
    queries = [token_of(point, rows, columns) for point in points]
    wanted, parts = modules_of(network), dict(network.named_modules())
    layers: list[dict[str, Any]] = []
    kept: dict[str, Any] = {}

    def measured(_: nn.Module, __: Any, output: Tensor, *, module: Module) -> None:
        about = {'kind': module.kind.value, 'number': module.number, 'name': module.name}
        parameters = sum(each.numel() for each in parts[module.name].parameters())
        order = {'order': len(layers) + 1, 'parameters': parameters}
        layers.append(about | order | figures_of(output))
        on_output(layers[-1], output)

    def attended(_: nn.Module, __: Any, qkv: Tensor, *, number: int, heads: int) -> None:
        attention = attention_rows(qkv, heads, queries)[..., 1:]
        on_maps(number, attention.reshape(heads, len(queries), rows, columns))

    with ExitStack() as stack, torch.inference_mode():

        def hook(name: str, see: Callable[..., None]) -> None:
            stack.callback(parts[name].register_forward_hook(see).remove)

        for name, module in wanted.items():
            hook(name, partial(measured, module=module))
            if module.kind is Kind.ATTENTION:
                heads = parts[name].heads
                hook(f'{name}.qkv', partial(attended, number=module.number, heads=heads))
        hook('pretrained', lambda _, __, out: kept.update(tapped=out))
        hook(
            'depth_head',
            lambda _, __, out: kept.update(range=(float(out.min()), float(out.max()))),
        )
        depth = network(image)[0].float().numpy()
    ran = {layer['name'] for layer in layers}
    never_ran = [module for name, module in wanted.items() if name not in ran]
    return Record(layers, never_ran, kept['range'], kept['tapped'], depth)


def figures_of(output: Tensor) -> dict[str, Any]:
    """Return figures of (1, channels, h, w), or of tokens (1, 1 + patches, channels).

    `zeros`, `negative`: shares of all values. `dead_channels` do not vary over the image,
    `never_positive_channels` leave nothing behind a ReLU. Of tokens: the mean Euclidean length,
    and the effective rank of the patch tokens; else None.
    """
    values = channels_of(output).float()
    spread, mean = torch.std_mean(values, correction=0)
    low, high = values.aminmax(dim=1)
    is_tokens = output.dim() == 3
    return {
        'shape': list(output.shape),
        'dtype': str(output.dtype).removeprefix('torch.'),
        'min': float(low.min()),
        'max': float(high.max()),
        'mean': float(mean),
        'std': float(spread),
        'zeros': float((values == 0).float().mean()),
        'negative': float((values < 0).float().mean()),
        'channels': len(values),
        'dead_channels': int((high - low <= _CONSTANT * spread).sum()),
        'never_positive_channels': int((high <= 0).sum()),
        'mean_length': float(values.norm(dim=0).mean()) if is_tokens else None,
        'effective_rank': effective_rank(values[:, 1:]) if is_tokens else None,
    }


def channels_of(output: Tensor) -> Tensor:
    """Return (channels, places) of (1, channels, h, w), or of (1, tokens, channels)."""
    return output[0].flatten(1) if output.dim() == 4 else output[0].T


def effective_rank(values: Tensor) -> float:
    """Return exp(entropy) of the singular values of a matrix (Roy and Vetterli, 2007)."""
    values = values.double()
    square = values @ values.T if len(values) < values.shape[1] else values.T @ values
    singular = torch.linalg.eigvalsh(square).clamp(min=0).sqrt()
    share = singular / singular.sum().clamp(min=1e-300)
    return float(torch.exp(torch.special.entr(share).sum()))


def token_of(point: tuple[float, float], rows: int, columns: int) -> int:
    """Return the token of the patch at `point`, shares of width and height from the top left."""
    x, y = point
    return 1 + min(int(y * rows), rows - 1) * columns + min(int(x * columns), columns - 1)


def attention_rows(qkv: Tensor, heads: int, queries: list[int]) -> Tensor:
    """Return softmax(q k / sqrt(width)), (heads, queries, tokens), of some queries only.

    qkv: (1, tokens, 3 * channels), as the layer before the attention puts it out.
    """
    query, key, _ = qkv[0].float().reshape(qkv.shape[1], 3, heads, -1).permute(1, 2, 0, 3)
    scores = query[:, queries] @ key.transpose(1, 2) * query.shape[-1] ** -0.5
    attention: Tensor = scores.softmax(dim=-1)
    return attention


def stages(
    network: DepthAnythingV2,
    image: Tensor,
    whole: Record,
    on_depth: Callable[[str, FloatImage], None],
) -> list[dict[str, Any]]:
    """Run the head again, each time without one tap or one fusion stage, as `removed` names it.

    A tap without its level adds zeros to the path; a fusion stage without its two residual units
    only adds its level and resizes. Figures: core.depth_errors.relative_figures to the whole.
    """
    removals = {
        f'tap {level} (block {tap + 1})': [f'layer{level}_rn']
        for level, tap in enumerate(network.variant.taps, 1)
    }
    for level in (4, 3, 2, 1):
        units = [f'refinenet{level}.resConfUnit{unit}.conv2' for unit in (1, 2)]
        removals[f'fusion {level}'] = units
    encoder, found = network.pretrained, []
    network.pretrained = _Known(whole.tapped)  # type: ignore[assignment]
    try:
        for title, names in removals.items():
            with ExitStack() as stack, torch.inference_mode():
                for name in names:
                    module = network.depth_head.scratch.get_submodule(name)
                    hook = module.register_forward_hook(lambda _, __, out: torch.zeros_like(out))
                    stack.callback(hook.remove)
                depth = network(image)[0].float().numpy()
            on_depth(title, depth)
            found.append({'removed': title, **relative_figures(whole.depth, depth)})
    finally:
        network.pretrained = encoder
    return found


class _Known(nn.Module):
    """Stands for the encoder, whose tokens are known."""

    def __init__(self, tapped: tuple[Tensor, ...]) -> None:
        super().__init__()
        self._tapped = tapped

    def forward(self, _: Tensor) -> tuple[Tensor, ...]:
        return self._tapped
