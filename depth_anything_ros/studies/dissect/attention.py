"""Where the tokens of a block look: maps of chosen points, and figures of every head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ['HeadFigures', 'PointMaps', 'attention_rows', 'head_figures', 'token_of']

_SAMPLED = 64
"""Queries that the figures are means of: all would be a matrix of tokens by tokens for a head."""


@dataclass(frozen=True)
class HeadFigures:
    """One head of one block, mean over sampled queries.

    `entropy`: of the attention, 0 for one token, 1 for all alike. `distance_patches`: expected
    distance from the query's patch to those attended. `class_token`: share on the class token.
    """

    head: int
    entropy: float
    distance_patches: float
    class_token: float


@dataclass(frozen=True, eq=False)
class PointMaps:
    """Attention (heads, points, rows, columns) of the patches at some points in a block."""

    block: int
    maps: Tensor


def token_of(point: tuple[float, float], rows: int, columns: int) -> int:
    """Return the token of the patch at `point`, shares of width and height from the top left."""
    x, y = (min(max(each, 0.0), 1.0) for each in point)
    return 1 + min(int(y * rows), rows - 1) * columns + min(int(x * columns), columns - 1)


def attention_rows(qkv: Tensor, heads: int, queries: list[int]) -> Tensor:
    """Return softmax(q k / sqrt(width)), (heads, queries, tokens), of some queries only.

    qkv: (1, tokens, 3 * channels), as the layer before the attention puts it out.
    """
    tokens = qkv.shape[1]
    query, key, _ = qkv[0].float().reshape(tokens, 3, heads, -1).permute(1, 2, 0, 3)
    scores = query[:, queries] @ key.transpose(1, 2) * query.shape[-1] ** -0.5
    attention: Tensor = scores.softmax(dim=-1)
    return attention


def head_figures(qkv: Tensor, heads: int, rows: int, columns: int) -> list[HeadFigures]:
    """Return the figures of each head."""
    patches = rows * columns
    chosen = torch.linspace(0, patches - 1, min(_SAMPLED, patches)).round().long()
    attention = attention_rows(qkv, heads, (1 + chosen).tolist())
    entropy = torch.special.entr(attention).sum(-1) / torch.log(torch.tensor(1.0 + patches))
    y, x = (each.flatten().float() for each in _grid(rows, columns))
    apart = torch.hypot(y[chosen, None] - y, x[chosen, None] - x)
    on_patches = attention[..., 1:]
    distance = (on_patches * apart).sum(-1) / on_patches.sum(-1).clamp(min=1e-12)
    figures = torch.stack([entropy, distance, attention[..., 0]]).mean(-1)
    return [HeadFigures(index + 1, *map(float, each)) for index, each in enumerate(figures.T)]


def _grid(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
    return y, x
