"""How much a network computes, and how much this machine could."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from depth_anything_ros.core.preprocess import network_size
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.variants import get_variant
from depth_anything_ros.studies.bench.configuration import card_of_network

__all__ = ['gflop_by_part', 'gflop_of_row', 'million_parameters', 'peak_gflops']

_SIDES = {'cpu': (256, 2048), 'cuda': (8192,)}
"""Sides of the matrices: the last is large enough for the peak. A processor without instructions
for a precision can take minutes for it, and then the side before it counts."""

_MOST_S = 1.0

_PARTS = {
    torch.ops.aten.addmm: 'linear',
    torch.ops.aten.mm: 'linear',
    torch.ops.aten.convolution: 'convolution',
    torch.ops.aten.bmm: 'attention',
}
"""What torch counts; attention is made of products of batches where it is not fused."""

_DTYPES = {
    'fp32': torch.float32,
    'fp16': torch.float16,
    'bf16': torch.bfloat16,
    'int8': torch.int8,
}


def gflop_of_row(
    variant: str, weights: str, size: tuple[int, int], input_size: int
) -> dict[str, float]:
    """Count as `gflop_by_part` does for the network of a row; empty for an ONNX file."""
    card = card_of_network(variant, weights)
    return {} if card.is_onnx else gflop_by_part(card.variant, size, input_size)


@lru_cache
def gflop_by_part(variant: str, size: tuple[int, int], input_size: int) -> dict[str, float]:
    """Count, in 10^9, the operations for one image of `size` (width, height).

    They are those of 'linear', 'convolution', 'attention', or 'rest'. Torch counts them (a
    multiplication and an addition are two) on the meta device, in matrix products, convolutions
    and attention of this package's network. Every backend is held against that count, so one that
    computes more for the same answer gets no credit for it.
    """
    height, width = network_size(size[1], size[0], input_size)
    with torch.device('meta'), torch.inference_mode():
        network = DepthAnythingV2(get_variant(variant)).eval()
        image = torch.empty(1, 3, height, width)
        with FlopCounterMode(display=False) as counter:
            network(image)
    parts: dict[str, float] = {}
    for operator, count in counter.get_flop_counts()['Global'].items():
        part = _PARTS.get(operator, 'rest')
        parts[part] = parts.get(part, 0.0) + count * 1e-9
    return parts


@lru_cache
def million_parameters(variant: str) -> float:
    """Count the parameters of a variant, in 10^6."""
    with torch.device('meta'):
        network = DepthAnythingV2(get_variant(variant))
    return sum(each.numel() for each in network.parameters()) / 1e6


def peak_gflops(device: str, precision: str) -> float | None:
    """Return the best rate over large products of square matrices, in 10^9 operations per second.

    On a CPU also through oneDNN, as a convolution of 1x1: torch.matmul may take a library that
    is slower on this processor. None for a precision that torch does not multiply in there.
    """
    dtype = _DTYPES.get(precision)
    if dtype is None:
        return None
    rates = []
    with torch.inference_mode():
        for product in _products(dtype, device):
            try:
                rates.append(_rate(product, device))
            except (RuntimeError, AttributeError):
                continue
    return max(rates, default=None)


def _products(dtype: torch.dtype, device: str) -> list[Callable[[int], Callable[[], Tensor]]]:
    def integers(side: int) -> Callable[[], Tensor]:
        a = torch.randint(-128, 127, (side, side), dtype=dtype, device=device)
        # Torch has no public product of int8 yet.
        return lambda: torch._int_mm(a, a)

    def matrices(side: int) -> Callable[[], Tensor]:
        a = torch.randn(side, side, device=device).to(dtype)
        return lambda: a @ a

    def convolution(side: int) -> Callable[[], Tensor]:
        a = torch.randn(side, side, device=device).to(dtype)
        image = a.view(1, 1, side, side).permute(0, 3, 1, 2)
        kernel = a.view(side, side, 1, 1).contiguous(memory_format=torch.channels_last)
        return lambda: functional.conv2d(image, kernel)

    if dtype is torch.int8:
        return [integers]
    return [matrices, convolution] if torch.device(device).type == 'cpu' else [matrices]


def _rate(product: Callable[[int], Callable[[], Tensor]], device: str) -> float:
    rate = math.inf
    sides = _SIDES[torch.device(device).type]
    for side in sides:
        gflop = 2e-9 * side**3
        if gflop / rate > _MOST_S:
            break
        # A smaller one only says whether the next takes too long.
        seconds = _MOST_S if side == sides[-1] else 0.1 * _MOST_S
        rate = gflop / _best_s(product(side), device, seconds)
    return rate


def _best_s(multiply: Callable[[], Tensor], device: str, seconds: float) -> float:
    multiply()
    taken: list[float] = []
    while sum(taken) < seconds:
        _synchronize(device)
        start_s = time.perf_counter()
        multiply()
        _synchronize(device)
        taken.append(time.perf_counter() - start_s)
    return min(taken)


def _synchronize(device: str) -> None:
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)
