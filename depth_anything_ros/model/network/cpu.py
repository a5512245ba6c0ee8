"""What makes the network fast on an x86 CPU; its results stay the same to rounding.

Torch multiplies float32 matrices there with MKL, which on other makers' processors stays
below half of what oneDNN, also within torch, reaches (measured on an AMD Zen 5: 160 against
360 GFLOP/s on two cores). Convolutions run on oneDNN anyway, and want channels last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.vit import Attention, Block, LayerScale, Mlp

__all__ = ['tune_for_cpu']

SCORES_PER_CHUNK = 2**20
"""Attention scores computed at a time: 4 MB in float32, so that they stay in the cache."""


def tune_for_cpu(network: DepthAnythingV2) -> None:
    """Rebuild `network` in place for inference on the CPU, after its last change of type.

    It can no longer be exported, trained or saved.
    """
    blocks = [module for module in network.pretrained.modules() if isinstance(module, Block)]
    with torch.no_grad():
        for block in blocks:
            _fold_scales(block)
        network.depth_head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not _onednn_multiplies(network.pretrained.pos_embed.dtype):
            return
        for block in blocks:
            _through_onednn(block)


def _fold_scales(block: Block) -> None:
    """Multiply both layer scales into the linear layers before them."""
    last = block.mlp.fc2 if isinstance(block.mlp, Mlp) else block.mlp.w3
    for scale, linear in ((block.ls1, block.attn.proj), (block.ls2, last)):
        assert isinstance(scale, LayerScale)
        linear.weight.mul_(scale.gamma[:, None])
        linear.bias.mul_(scale.gamma)
    block.ls1 = block.ls2 = nn.Identity()


def _through_onednn(block: Block) -> None:
    """Replace what multiplies matrices in `block`."""
    attention, mlp = block.attn, block.mlp
    attention.qkv = _Linear(attention.qkv)
    attention.proj = _Linear(attention.proj)
    # In bfloat16 scores would be rounded to 8 bits; torch's attention keeps them in float32.
    if attention.qkv.weight.dtype == torch.float32:
        block.attn = _Attention(attention)
    if isinstance(mlp, Mlp):
        mlp.fc1 = _Linear(mlp.fc1, 'gelu')
        mlp.act = nn.Identity()
        mlp.fc2 = _Linear(mlp.fc2)
    else:
        mlp.w12 = _Linear(mlp.w12)
        mlp.w3 = _Linear(mlp.w3)


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = 'none') -> Tensor:
    """Give x @ weight.T + bias, through oneDNN; `activation` is 'none' or 'gelu'.

    This is the operator that torch.compile chooses for a frozen linear layer. It needs
    contiguous operands: for others it falls to a reference loop, hundreds of times slower.
    """
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], 'none')
    return out


def _onednn_multiplies(dtype: torch.dtype) -> bool:
    """Whether `_multiply` exists here, beside MKL, and is right; it is no public name."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()):  # type: ignore[no-untyped-call]
        return False
    x, weight, bias = torch.ones(3, 8, dtype=dtype), torch.eye(8, dtype=dtype), torch.ones(8)
    try:
        found = _multiply(x, weight, bias.to(dtype))
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
        return _multiply(x.contiguous(), self.weight, self.bias, self.activation)


class _Attention(Attention):
    """Self-attention, head by head and some rows at a time."""

    def __init__(self, attention: Attention) -> None:
        channels, heads = attention.proj.in_features, attention.heads
        with torch.device('meta'):
            super().__init__(channels, heads)
        self.qkv = attention.qkv
        self.proj = attention.proj
        # The softmax wants scores over the root of a head's channels: into the weights, once.
        scale = (channels // heads) ** -0.5
        self.qkv.weight[:channels] *= scale
        self.qkv.bias[:channels] *= scale

    def forward(self, x: Tensor) -> Tensor:
        """Give the attended tokens, (N, tokens, channels) like `x`."""
        batch, tokens, channels = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        query, key = query.contiguous(), key.contiguous()
        value = value.transpose(-2, -1).contiguous()
        attended = x.new_empty(batch, tokens, self.heads, channels // self.heads)
        chunks = -(-tokens * tokens // SCORES_PER_CHUNK)
        rows = -(-tokens // chunks)
        for item in range(batch):
            for head in range(self.heads):
                for start in range(0, tokens, rows):
                    part = slice(start, start + rows)
                    scores = _multiply(query[item, head, part], key[item, head], None)
                    answer = _multiply(scores.softmax(-1), value[item, head], None)
                    attended[item, part, head] = answer
        out: Tensor = self.proj(attended.flatten(2))
        return out
