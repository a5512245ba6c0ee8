"""The transformer with its tokens distributed over threads of its own.

Torch parallelises each operation and waits for all threads at its end: some 30 times per block if
attention used `multiply`. On a busy processor each of these waits is for a thread that is not
scheduled. Here a thread takes a few rows of tokens through half a block, so a block waits twice.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import torch
from torch import Tensor, nn

from depth_anything_ros.model.network.vit import Block, VisionTransformer

__all__ = ['TokenParallel', 'multiply']

_MOST_ROWS = 256
"""Attention of this many tokens nearly fits in a level-2 cache: longer parts are slower."""

_LEAST_ROWS = 64
"""Fewer take less time to compute than Python takes to pass them to a thread."""

_PARTS_PER_THREAD = 2
"""With enough tokens, so that the parts of a delayed thread go to the others."""

Part = tuple[int, slice]
"""An image of the batch, and some of its tokens."""


def multiply(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = 'none'
) -> Tensor:
    """Return x @ weight.T + bias, through oneDNN; `activation` is 'none' or 'gelu'.

    This is the operator that torch.compile chooses for a frozen linear layer. `weight` must
    be contiguous: a strided one took 500 times as long.
    """
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], 'none')
    return out


class TokenParallel(nn.Module):
    """The same function as `encoder`, for inference on the CPU.

    Its blocks must expect queries that are already scaled. The threads live as long as it does.
    """

    def __init__(self, encoder: VisionTransformer) -> None:
        super().__init__()
        self.encoder = encoder
        blocks = [block for block in encoder.blocks if isinstance(block, Block)]
        self._blocks = blocks[: encoder.taps[-1] + 1]
        self._heads = blocks[0].attn.heads
        self._count = torch.get_num_threads()
        self._threads = _single_threads(self._count)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the same as VisionTransformer.forward."""
        encoder = self.encoder
        tokens = encoder.embedded(x)
        batch, count, channels = tokens.shape
        heads, width = self._heads, channels // self._heads
        query, key = tokens.new_empty(2, batch, heads, count, width)
        value = tokens.new_empty(batch, heads, width, count)
        parts = [(image, rows) for image in range(batch) for rows in _shares(count, self._count)]
        tapped = []
        for index, block in enumerate(self._blocks):

            def project(part: Part, block: Block = block) -> None:
                image, rows = part
                projected = block.attn.qkv(block.norm1(tokens[image, rows]))
                own = projected.reshape(-1, 3, heads, width).permute(1, 2, 0, 3)
                query[image, :, rows], key[image, :, rows] = own[0], own[1]
                value[image, :, :, rows] = own[2].transpose(1, 2)

            def attend(part: Part, block: Block = block) -> None:
                image, rows = part
                own = tokens[image, rows]
                attended = torch.empty_like(own).reshape(-1, heads, width)
                for head in range(heads):
                    likeness = multiply(query[image, head, rows], key[image, head])
                    attended[:, head] = multiply(likeness.softmax(-1), value[image, head])
                own += block.ls1(block.attn.proj(attended.flatten(1)))
                own += block.ls2(block.mlp(block.norm2(own)))

            self._each(project, parts)
            self._each(attend, parts)
            if index in encoder.taps:
                tapped.append(encoder.norm(tokens[:, 1:]))
        return tuple(tapped)

    def _each(self, work: Callable[[Part], None], parts: list[Part]) -> None:
        """Run `work` on every part and wait; the first exception is raised."""
        # The mode is per thread; without it even views are tracked for gradients.
        for _ in self._threads.map(torch.inference_mode()(work), parts):
            pass


def _shares(count: int, threads: int) -> list[slice]:
    """Return slices of `count` tokens whose lengths differ by one at most."""
    wanted = min(_PARTS_PER_THREAD * threads, count // _LEAST_ROWS)
    parts = max(-(-count // _MOST_ROWS), wanted)
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(*edge) for edge in pairwise(edges)]


def _single_threads(count: int) -> ThreadPoolExecutor:
    """Return a pool of `count` running threads, in each of which torch uses one thread."""
    pool = ThreadPoolExecutor(
        count, 'depth_tokens', initializer=torch.set_num_threads, initargs=(1,)
    )
    # A pool starts a thread when no other is idle, so each waits until all have started.
    together = Barrier(count)
    for _ in pool.map(lambda _: together.wait(), range(count)):
        pass
    # Part of this setting is of the whole process: restore it.
    torch.set_num_threads(count)
    return pool
