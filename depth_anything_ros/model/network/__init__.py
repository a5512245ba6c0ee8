"""Depth Anything V2 as a torch module, compatible with the published checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.model.network.dpt import DptHead
from depth_anything_ros.model.network.vit import Block, VisionTransformer
from depth_anything_ros.model.variants import PATCH_PX, Variant

__all__ = ['DepthAnythingV2', 'random_network']

RANDOM_SEED = 42
RANDOM_OUTPUT_BIAS = 0.1
"""Without it random weights give -0.007 to 0.06 on a photograph, over all variants: the last
ReLU passes everything, and half precision still resolves the spread."""


class DepthAnythingV2(nn.Module):
    """One variant of the network (Yang et al., 'Depth Anything V2', 2024).

    `max_depth_m` None makes the relative network, whose output is inverse depth >= 0 of
    unknown scale and shift; a number makes the metric one, whose output is metres below it.
    The state dict is the same for both.
    """

    def __init__(self, variant: Variant, max_depth_m: float | None = None) -> None:
        super().__init__()
        self.variant = variant
        self.max_depth_m = max_depth_m
        self.pretrained = VisionTransformer(variant)
        self.depth_head = DptHead(variant)

    def forward(self, x: Tensor) -> Tensor:
        """Map a normalised RGB image (N, 3, h, w) to (N, h, w); sides are multiples of 14."""
        rows, columns = x.shape[-2] // PATCH_PX, x.shape[-1] // PATCH_PX
        out: Tensor = self.depth_head(self.pretrained(x), rows, columns).squeeze(1)
        if self.max_depth_m is None:
            return functional.relu(out)
        return out.sigmoid() * self.max_depth_m

    def fold_scales(self) -> None:
        """Make inference cheaper by two multiplications of all tokens in each block."""
        for block in self.pretrained.blocks:
            assert isinstance(block, Block)
            block.fold_scales()


def random_network(variant: Variant, max_depth_m: float | None = None) -> DepthAnythingV2:
    """Make a network of seeded random weights, the same on every call, for tests and timing.

    Weights are drawn as DINOv2 draws them before training. The bias of the last convolution
    is raised, since otherwise some variants fall below the last ReLU and give zeros only.
    The caller's random state is left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        network = DepthAnythingV2(variant, max_depth_m).eval()
        nn.init.trunc_normal_(network.pretrained.pos_embed, std=0.02)
        nn.init.normal_(network.pretrained.cls_token, std=1e-6)
        for module in network.pretrained.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        last = network.depth_head.scratch.output_conv2[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.constant_(last.bias, RANDOM_OUTPUT_BIAS)
    return network
