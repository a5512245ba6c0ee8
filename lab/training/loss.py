"""How far a predicted inverse depth is from the true one, up to scale and shift."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['demo_loss']

_SCALES = 4
_GRADIENT_SHARE = 1.0
_LOG_SHARE = 1.0
_LOG_FLOOR = 0.05


def demo_loss(output: Tensor, inverse_depth: Tensor) -> Tensor:
    """Compare two batches (N, H, W) of inverse depth.

    Scale-and-shift-invariant L1 after median and mean absolute deviation, plus gradients of
    the difference at four scales (Ranftl et al., 'Towards Robust Monocular Depth Estimation',
    2020, eq. 7 and 11), plus a scale-invariant log error. The last one weighs far surfaces as
    AbsRel does, and ties zero output to infinity, as in the released checkpoints.
    """
    given, wanted = _standardised(output), _standardised(inverse_depth)
    difference = given - wanted
    loss = difference.abs().mean()
    for scale in range(_SCALES):
        step = difference[:, :: 2**scale, :: 2**scale]
        across = (step[:, :, 1:] - step[:, :, :-1]).abs().mean()
        along = (step[:, 1:] - step[:, :-1]).abs().mean()
        loss = loss + _GRADIENT_SHARE * (across + along) / 2
    return loss + _LOG_SHARE * _log_error(output, inverse_depth)


def _standardised(x: Tensor) -> Tensor:
    """Shift by the median and divide by the mean absolute deviation of each image."""
    flat = x.flatten(1)
    centred = x - flat.median(dim=1).values[:, None, None]
    spread = centred.abs().flatten(1).mean(dim=1)
    return centred / spread.clamp(min=1e-4)[:, None, None]


def _log_error(output: Tensor, inverse_depth: Tensor) -> Tensor:
    """Return the mean deviation of the log ratio, both maps relative to their medians."""
    logs = []
    for x in (output, inverse_depth):
        typical = x.flatten(1).mean(dim=1).clamp(min=1e-4)[:, None, None]
        logs.append(torch.log(x / typical + _LOG_FLOOR))
    ratio = (logs[0] - logs[1]).flatten(1)
    return (ratio - ratio.median(dim=1, keepdim=True).values).abs().mean()
