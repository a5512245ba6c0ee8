"""Run a network once, and measure every layer while its output is there: nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.core.depth_errors import relative_figures
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.vit import Attention
from depth_anything_ros.model.variants import PATCH_PX
from depth_anything_ros.studies.dissect.attention import (
    HeadFigures,
    PointMaps,
    attention_rows,
    head_figures,
    token_of,
)
from depth_anything_ros.studies.dissect.layer import Layer, Module, modules_of

__all__ = ['Record', 'Stage', 'record', 'stages']

OnOutput = Callable[[Layer, Tensor], None]
OnMaps = Callable[[PointMaps], None]


@dataclass
class Record:
    """What one pass through the network measured, in the order of running.

    `before_relu`: lowest and highest value before the last non-linearity.
    """

    layers: list[Layer] = field(default_factory=list)
    heads: list[list[HeadFigures]] = field(default_factory=list)
    never_ran: list[Module] = field(default_factory=list)
    before_relu: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Stage:
    """Depth without one part of the head, against that of the whole network.

    `ssi_error` and `rank_correlation` as in core.depth_errors.relative_figures.
    """

    removed: str
    ssi_error: float
    rank_correlation: float


def record(
    network: DepthAnythingV2,
    image: Tensor,
    points: Sequence[tuple[float, float]],
    on_output: OnOutput,
    on_maps: OnMaps,
) -> tuple[Record, tuple[Tensor, ...], FloatImage]:
    """Return the record of `image` (1, 3, h, w), the tapped tokens, and the inverse depth (h, w).

    `on_output` sees the output of every layer, which is overwritten afterwards; `on_maps` the
    attention of each block from `points`, shares of width and height.
    """
    rows, columns = image.shape[-2] // PATCH_PX, image.shape[-1] // PATCH_PX
    queries = [token_of(point, rows, columns) for point in points]
    found = Record()
    wanted = modules_of(network)
    tapped: list[tuple[Tensor, ...]] = []
    parts = dict(network.named_modules())

    def measured(module: Module) -> Callable[..., None]:
        def hook(layer: nn.Module, _: Any, output: Tensor) -> None:
            parameters = sum(each.numel() for each in layer.parameters())
            one = Layer.of(module, len(found.layers) + 1, parameters, output)
            found.layers.append(one)
            on_output(one, output)

        return hook

    def attended(heads: int) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, qkv: Tensor) -> None:
            found.heads.append(head_figures(qkv, heads, rows, columns))
            attention = attention_rows(qkv, heads, queries)[..., 1:]
            maps = attention.reshape(heads, len(queries), rows, columns)
            on_maps(PointMaps(len(found.heads), maps))

        return hook

    def last(_: nn.Module, __: Any, output: Tensor) -> None:
        found.before_relu = float(output.min()), float(output.max())

    with ExitStack() as stack, torch.inference_mode():
        hooks = [parts[name].register_forward_hook(measured(one)) for name, one in wanted.items()]
        for module in parts.values():
            if isinstance(module, Attention):
                hooks.append(module.qkv.register_forward_hook(attended(module.heads)))
        hooks.append(network.depth_head.register_forward_hook(last))
        hooks.append(
            network.pretrained.register_forward_hook(lambda _, __, out: tapped.append(out))
        )
        for hook in hooks:
            stack.callback(hook.remove)
        depth = network(image)[0].float().numpy()
    ran = {layer.name for layer in found.layers}
    found.never_ran = [module for name, module in wanted.items() if name not in ran]
    return found, tapped[0], depth


def stages(
    network: DepthAnythingV2,
    image: Tensor,
    tapped: tuple[Tensor, ...],
    whole: FloatImage,
    on_depth: Callable[[str, FloatImage], None],
) -> list[Stage]:
    """Run the head again, each time without one tap or one fusion stage.

    A tap without its level adds zeros to the path; a fusion stage without its two residual units
    only adds its level and resizes. `tapped` and `whole` are what `record` returned.
    """
    encoder, found = network.pretrained, []
    network.pretrained = _Kept(tapped)  # type: ignore[assignment]
    try:
        for title, names in _removals(network):
            with ExitStack() as stack, torch.inference_mode():
                for name in names:
                    hook = network.get_submodule(name).register_forward_hook(_nothing)
                    stack.callback(hook.remove)
                depth = network(image)[0].float().numpy()
            on_depth(title, depth)
            figures = relative_figures(whole, depth)
            found.append(Stage(title, figures['ssi_error'], figures['rank_correlation']))
    finally:
        network.pretrained = encoder
    return found


def _removals(network: DepthAnythingV2) -> list[tuple[str, list[str]]]:
    scratch = 'depth_head.scratch.'
    taps = [
        (f'tap {level} (block {tap + 1})', [f'{scratch}layer{level}_rn'])
        for level, tap in enumerate(network.variant.taps, 1)
    ]
    fusions = [
        (
            f'fusion {level}',
            [f'{scratch}refinenet{level}.resConfUnit{unit}.conv2' for unit in (1, 2)],
        )
        for level in (4, 3, 2, 1)
    ]
    return taps + fusions


def _nothing(_: nn.Module, __: Any, output: Tensor) -> Tensor:
    return torch.zeros_like(output)


class _Kept(nn.Module):
    """Stands for the encoder, whose tokens are known."""

    def __init__(self, tapped: tuple[Tensor, ...]) -> None:
        super().__init__()
        self._tapped = tapped

    def forward(self, _: Tensor) -> tuple[Tensor, ...]:
        return self._tapped
