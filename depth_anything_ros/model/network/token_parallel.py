"""The transformer with its tokens shared out among threads of its own.

Torch shares each operation out by itself, and ends it when the last thread is done: some 30 times
per block, were attention to take the way of `multiply`. On a processor that does other things as
well, each of these ends waits for a thread that is not even scheduled. Here a thread takes a few
rows of tokens through half a block, and blocks wait twice.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import torch
from torch import Tensor, nn

from depth_anything_ros.model.network.vit import Block, VisionTransformer

__all__ = ['Multiply', 'TokenParallel']

Multiply = Callable[[Tensor, Tensor], Tensor]
"""Gives x @ weight.T for two contiguous matrices."""

_MOST_ROWS = 256
"""Attention of that many tokens stays within a level-2 cache, nearly: longer parts are slower."""

_LEAST_ROWS = 64
"""Fewer take no longer to compute than Python takes to hand them over."""

_PARTS_PER_THREAD = 2
"""Where there are tokens enough: who is held up leaves the next part to another thread."""

Part = tuple[int, slice]
"""An image of the batch, and some of its tokens."""


class TokenParallel(nn.Module):
    """Does what `encoder` does, for inference on the CPU.

    Its blocks must expect queries that are scaled already. The threads live as long as it does.
    """

    def __init__(self, encoder: VisionTransformer, multiply: Multiply) -> None:
        super().__init__()
        self.encoder = encoder
        blocks = [block for block in encoder.blocks if isinstance(block, Block)]
        self._blocks = blocks[: encoder.taps[-1] + 1]
        self._heads = blocks[0].attn.heads
        self._multiply = multiply
        self._count = torch.get_num_threads()
        self._threads = _single_threads(self._count)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map as VisionTransformer.forward."""
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
                    likeness = self._multiply(query[image, head, rows], key[image, head])
                    attended[:, head] = self._multiply(likeness.softmax(-1), value[image, head])
                own += block.ls1(block.attn.proj(attended.flatten(1)))
                own += block.ls2(block.mlp(block.norm2(own)))

            self._each(project, parts)
            self._each(attend, parts)
            if index in encoder.taps:
                tapped.append(encoder.norm(tokens[:, 1:]))
        return tuple(tapped)

    def _each(self, work: Callable[[Part], None], parts: list[Part]) -> None:
        """Do `work` on every part; the first exception is raised."""
        # The mode belongs to a thread, and without it even views are followed for gradients.
        for _ in self._threads.map(torch.inference_mode()(work), parts):
            pass


def _shares(count: int, threads: int) -> list[slice]:
    """Cut `count` tokens into parts that differ by one at most."""
    wanted = min(_PARTS_PER_THREAD * threads, count // _LEAST_ROWS)
    parts = max(-(-count // _MOST_ROWS), wanted)
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(*edge) for edge in pairwise(edges)]


def _single_threads(count: int) -> ThreadPoolExecutor:
    """Start `count` threads in each of which torch uses that one only."""
    pool = ThreadPoolExecutor(
        count, 'depth_tokens', initializer=torch.set_num_threads, initargs=(1,)
    )
    # A thread is started when no other is idle: each waits until all are there.
    together = Barrier(count)
    for _ in pool.map(lambda _: together.wait(), range(count)):
        pass
    # Part of the setting is the process's, and theirs would be everybody's.
    torch.set_num_threads(count)
    return pool
