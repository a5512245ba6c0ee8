"""Optimisations of the network for x86 CPUs; its output stays the same up to rounding.

Torch multiplies float32 matrices there with MKL, which on processors of other makers than Intel
reaches less than half of the rate of oneDNN, also part of torch (measured on two cores of an AMD
EPYC with AVX-512: 160 against 360 GFLOP/s), and its attention takes as long in bfloat16 as in
float32.
Convolutions run on oneDNN anyway, fastest with channels last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.token_parallel import TokenParallel, multiply
from depth_anything_ros.model.network.vit import Block, Mlp

__all__ = ['tune_for_cpu']


def tune_for_cpu(network: DepthAnythingV2, dtype: torch.dtype = torch.float32) -> None:
    """Rebuild the float32 `network` in place for inference in `dtype` on the CPU.

    It can no longer be exported, trained or saved.
    """
    encoder = network.pretrained
    blocks = [block for block in encoder.blocks if isinstance(block, Block)]
    through_onednn = _onednn_multiplies(dtype)
    with torch.no_grad():
        # Before rounding to `dtype`, so that a product is rounded once.
        network.fold_scales()
        if through_onednn:
            for block in blocks:
                _fold_temperature(block)
        network.to(dtype)
        network.depth_head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if through_onednn:
            for block in blocks:
                _through_onednn(block)
            network.pretrained = TokenParallel(encoder)  # type: ignore[assignment]


def _fold_temperature(block: Block) -> None:
    """Multiply the 1 / sqrt(width) of attention into what gives the queries."""
    qkv, heads = block.attn.qkv, block.attn.heads
    channels = qkv.in_features
    for parameter in (qkv.weight, qkv.bias):
        parameter[:channels].mul_((channels // heads) ** -0.5)


def _through_onednn(block: Block) -> None:
    """Replace what multiplies matrices by weights in `block`."""
    attention, mlp = block.attn, block.mlp
    attention.qkv = _Linear(attention.qkv)
    attention.proj = _Linear(attention.proj)
    if isinstance(mlp, Mlp):
        mlp.fc1 = _Linear(mlp.fc1, 'gelu')
        mlp.act = nn.Identity()
        mlp.fc2 = _Linear(mlp.fc2)
    else:
        mlp.w12 = _Linear(mlp.w12)
        mlp.w3 = _Linear(mlp.w3)


def _onednn_multiplies(dtype: torch.dtype) -> bool:
    """Return whether `multiply`, not a public operator, exists beside MKL and is correct."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()):  # type: ignore[no-untyped-call]
        return False
    x, weight, bias = torch.ones(3, 8, dtype=dtype), torch.eye(8, dtype=dtype), torch.ones(8)
    try:
        found = multiply(x, weight, bias.to(dtype))
    except (AttributeError, RuntimeError):
        return False
    return bool((found == 2).all())


class _Linear(nn.Linear):
    """A linear layer, with the activation that follows it."""

    def __init__(self, linear: nn.Linear, activation: str = 'none') -> None:
        super().__init__(linear.in_features, linear.out_features, device='meta')
        self.weight = nn.Parameter(linear.weight.detach().contiguous(), requires_grad=False)
        self.bias = nn.Parameter(linear.bias.detach(), requires_grad=False)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return multiply(x.contiguous(), self.weight, self.bias, self.activation)
