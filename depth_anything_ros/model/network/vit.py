"""The DINOv2 vision transformer that encodes an image into patch tokens.

Written after Oquab et al., 'DINOv2: Learning Robust Visual Features without Supervision'
(2023) for inference: no drop path, no masking, no registers. Parameter names and shapes are
those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.model.variants import PATCH_PX, Variant

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ['Block', 'LayerScale', 'Mlp', 'VisionTransformer']

TRAINING_GRID = 37
"""Side in patches of the square that the position embedding is stored for (518 / 14)."""

INTERPOLATION_OFFSET = 0.1
"""Patches added to a wanted grid before its scale is taken, as DINOv2 was trained with."""

CACHED_GRIDS = 8
"""Position embeddings kept; a robot has a few cameras, hence a few shapes."""


class Attention(nn.Module):
    """Multi-head self-attention over (N, tokens, channels)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended tokens, (N, tokens, channels) like `x`."""
        batch, tokens, channels = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(attended.transpose(1, 2).reshape(batch, tokens, channels))
        return out


class Mlp(nn.Module):
    """The feed-forward half of a block: expand four times, GELU, contract."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.act: nn.Module = nn.GELU()
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, tokens, channels) to the same shape."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class SwiGlu(nn.Module):
    """The gated feed-forward half that vitg has instead (Shazeer 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Two thirds of the usual width, rounded up to 8, so that the three matrices cost
        # what the two of `Mlp` do.
        hidden = (4 * channels * 2 // 3 + 7) // 8 * 8
        self.w12 = nn.Linear(channels, 2 * hidden)
        self.w3 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, tokens, channels) to the same shape."""
        gate, hidden = self.w12(x).chunk(2, dim=-1)
        out: Tensor = self.w3(functional.silu(gate) * hidden)
        return out


class LayerScale(nn.Module):
    """A learned factor per channel on the output of a residual branch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale (..., channels)."""
        return x * self.gamma


class Block(nn.Module):
    """One transformer block, normalising before each of its two residual branches."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        channels = variant.embed_dim
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = Attention(channels, variant.num_heads)
        self.ls1: nn.Module = LayerScale(channels)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp: Mlp | SwiGlu = SwiGlu(channels) if variant.swiglu else Mlp(channels)
        self.ls2: nn.Module = LayerScale(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, tokens, channels) to the same shape."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out

    @torch.no_grad()
    def fold_scales(self) -> None:
        """Multiply both layer scales into the linear layers before them: for inference only."""
        last = self.mlp.fc2 if isinstance(self.mlp, Mlp) else self.mlp.w3
        for scale, linear in ((self.ls1, self.attn.proj), (self.ls2, last)):
            assert isinstance(scale, LayerScale)
            linear.weight.mul_(scale.gamma[:, None])
            linear.bias.mul_(scale.gamma)
        self.ls1 = self.ls2 = nn.Identity()


class PatchEmbedding(nn.Module):
    """One token per patch of `PATCH_PX` x `PATCH_PX` pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, kernel_size=PATCH_PX, stride=PATCH_PX)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, h, w) to (N, h / 14 * w / 14, channels), row by row."""
        out: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return out


class VisionTransformer(nn.Module):
    """Image to the patch tokens of four depths."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        channels = variant.embed_dim
        self.taps = variant.taps
        self.patch_embed = PatchEmbedding(channels)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, channels))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + TRAINING_GRID**2, channels))
        # Only training used it; the checkpoints hold it, and they load strictly.
        self.mask_token = nn.Parameter(torch.zeros(1, channels))
        self.blocks = nn.ModuleList(Block(variant) for _ in range(variant.depth))
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self._positions: dict[tuple[int, int], Tensor] = {}

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the normalised patch tokens after each tapped block.

        x: (N, 3, h, w) with h and w multiples of `PATCH_PX`. Returns four tensors
        (N, h / 14 * w / 14, channels), shallow to deep.
        """
        tokens = self.embedded(x)
        tapped = []
        for index, block in enumerate(self.blocks[: self.taps[-1] + 1]):
            tokens = block(tokens)
            if index in self.taps:
                tapped.append(self.norm(tokens[:, 1:]))
        return tuple(tapped)

    def embedded(self, x: Tensor) -> Tensor:
        """Return the tokens (N, 1 + h / 14 * w / 14, channels) that the first block takes."""
        height, width = x.shape[-2:]
        if height % PATCH_PX or width % PATCH_PX:
            raise SettingError(
                f'the network takes sides that are multiples of {PATCH_PX}, not {width}x{height}: '
                'size its input with core.preprocess.network_size'
            )
        tokens = self.patch_embed(x)
        cls_token = self.cls_token.expand(tokens.shape[0], -1, -1)
        tokens = torch.cat((cls_token, tokens), dim=1)
        return tokens + self.positions(height // PATCH_PX, width // PATCH_PX)

    def positions(self, rows: int, columns: int) -> Tensor:
        """Return the position embedding (1, 1 + rows * columns, channels) of a grid of patches.

        Interpolating costs milliseconds and depends on the shape alone, so in evaluation it
        is kept. A trace or an export must see the computation instead, and training must
        reach the parameter.
        """
        if self.training or torch.is_grad_enabled() or _is_tracing():
            return self._interpolated(rows, columns)
        kept = self._positions.get((rows, columns))
        if kept is None:
            if len(self._positions) == CACHED_GRIDS:
                del self._positions[next(iter(self._positions))]
            kept = self._positions[rows, columns] = self._interpolated(rows, columns)
        return kept

    def _interpolated(self, rows: int, columns: int) -> Tensor:
        if rows == columns == TRAINING_GRID:
            return self.pos_embed
        # Bicubic in float32 whatever the weights' type: half precision has no kernel for it
        # everywhere, and this runs once.
        embedding = self.pos_embed.float()
        grid = embedding[:, 1:].reshape(1, TRAINING_GRID, TRAINING_GRID, -1).permute(0, 3, 1, 2)
        # The scale, not the size, is given: it sets where the samples fall, and the offset in
        # it is part of what the weights were trained with.
        scale = (
            (rows + INTERPOLATION_OFFSET) / TRAINING_GRID,
            (columns + INTERPOLATION_OFFSET) / TRAINING_GRID,
        )
        grid = functional.interpolate(grid, scale_factor=scale, mode='bicubic', antialias=False)
        patches = grid.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)
        return torch.cat((embedding[:, :1], patches), dim=1).to(self.pos_embed.dtype)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation, forgetting kept position embeddings."""
        self._positions.clear()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Every change of device or type comes through here.
        self._positions.clear()
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._positions.clear()
        super()._load_from_state_dict(*args, **kwargs)


def _is_tracing() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
