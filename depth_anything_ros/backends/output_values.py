"""What a network gives, of any kind, as inverse depth: larger = nearer, 0 where unknown."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.model.card import Card, Output

__all__ = ['inverse_depth_of', 'inverse_of_metres']

_NEAREST = 0.01
"""Least relative depth, of the median: nearer than that inverse depth grows no more."""

_MOST_LOG = 30.0


def inverse_depth_of(values: FloatImage, card: Card, shrunk: float) -> FloatImage:
    """Return the inverse depth (H, W) for an output (H, W) that is what `card` says.

    `shrunk`: size of the network's input by that of the image, to which the values belong. Where
    metres depend on the focal length, the result is 1/m for a focal length of one pixel.
    """
    output = Output(card.output)
    if output is Output.RELATIVE_INVERSE_DEPTH:
        return values
    if output is Output.METRIC_DEPTH:
        factor = shrunk / card.focal_constant if card.focal_constant else 1.0
        return inverse_of_metres(values * np.float32(factor))
    if output is Output.METRIC_INVERSE_DEPTH:
        return np.where(np.isfinite(values) & (values > 0), values, np.float32(0.0))
    finite = np.isfinite(values)
    if output is Output.LOG_DEPTH:
        return np.where(finite, np.exp(-np.clip(values, -_MOST_LOG, _MOST_LOG)), np.float32(0.0))
    median = float(np.median(values[finite])) if finite.any() else 0.0
    least = np.float32(max(_NEAREST * median, 1e-6))
    return np.where(finite, 1.0 / np.maximum(values, least), np.float32(0.0))


def inverse_of_metres(metres: FloatImage) -> FloatImage:
    """Return 1/z per pixel in 1/m, 0 where `metres` is not finite and positive."""
    known = np.isfinite(metres) & (metres > 0)
    return np.divide(1.0, metres, out=np.zeros_like(metres), where=known)
