"""Depth against the truth: aligned as published, edges, and which of two points is nearer."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_anything_ros.core.depth_errors import metric_figures
from depth_anything_ros.core.types import FloatImage, Mask
from depth_anything_ros.studies.variants.compare import point_pairs

__all__ = ['Scores', 'aligned_depth', 'judge', 'judge_metric']

_EDGE_STEP = 1.1
"""Ratio of the depths of neighbours that makes an edge."""

_NEAR_EDGE_PX = 2
_ORDER_RATIO = 1.05
"""Points whose depths are closer than that are no pair."""


@dataclass(frozen=True)
class Scores:
    """`edge`: F1 of depth edges within two pixels. `ordinal`: share of pairs of points in order.

    The others are those of core.depth_errors.metric_figures.
    """

    abs_rel: float
    rmse_m: float
    delta1: float
    edge: float | None
    ordinal: float | None


def aligned_depth(
    inverse_depth: FloatImage, truth_m: FloatImage, max_depth_m: float
) -> FloatImage:
    """Return inverse depth (H, W) in metres by the scale and shift that fit the truth best.

    Least squares in inverse depth, over what is judged, as for the published figures; no farther
    than `max_depth_m`. NaN where `truth_m` is.
    """
    judged = np.isfinite(truth_m)
    given, truth = inverse_depth[judged].astype(np.float64), truth_m[judged].astype(np.float64)
    design = np.stack([given, np.ones_like(given)], axis=1)
    scale, shift = np.linalg.lstsq(design, 1.0 / truth, rcond=None)[0]
    depth = np.full(truth_m.shape, np.nan, np.float32)
    depth[judged] = 1.0 / np.maximum(scale * given + shift, 1.0 / max_depth_m)
    return depth


def judge(inverse_depth: FloatImage, truth_m: FloatImage, max_depth_m: float) -> Scores:
    """Score inverse depth of unknown scale and shift after its best alignment."""
    depth_m = aligned_depth(inverse_depth, truth_m, max_depth_m)
    return _scored(depth_m, inverse_depth, truth_m)


def judge_metric(inverse_depth: FloatImage, truth_m: FloatImage, max_depth_m: float) -> Scores:
    """Score inverse depth in 1/m as it is."""
    nearest = np.maximum(inverse_depth, 1.0 / max_depth_m)
    depth_m = np.asarray(1.0 / nearest, np.float32)
    depth_m[np.isnan(truth_m)] = np.nan
    return _scored(depth_m, inverse_depth, truth_m)


def _scored(depth_m: FloatImage, inverse_depth: FloatImage, truth_m: FloatImage) -> Scores:
    figures = metric_figures(truth_m, depth_m)
    return Scores(
        figures['abs_rel'],
        figures['rmse_m'],
        figures['delta1'],
        _edge_f1(depth_m, truth_m),
        _ordinal(inverse_depth, truth_m),
    )


def _edge_f1(depth_m: FloatImage, truth_m: FloatImage) -> float | None:
    found, true = _edges(depth_m), _edges(truth_m)
    if not true.any():
        return None
    if not found.any():
        return 0.0
    precision = float(np.mean(_widened(true)[found]))
    recall = float(np.mean(_widened(found)[true]))
    return 2 * precision * recall / max(precision + recall, 1e-12)


def _edges(depth_m: FloatImage) -> Mask:
    logarithm, edges = np.log(depth_m), np.zeros(depth_m.shape, bool)
    # A difference with NaN is no edge.
    edges[:, 1:] |= np.abs(np.diff(logarithm, axis=1)) > np.log(_EDGE_STEP)
    edges[1:] |= np.abs(np.diff(logarithm, axis=0)) > np.log(_EDGE_STEP)
    return edges


def _widened(edges: Mask) -> Mask:
    kernel = np.ones((2 * _NEAR_EDGE_PX + 1,) * 2, np.uint8)
    return np.asarray(cv2.dilate(edges.astype(np.uint8), kernel) > 0)


def _ordinal(inverse_depth: FloatImage, truth_m: FloatImage) -> float | None:
    pairs = point_pairs(truth_m.shape)
    first, second = (truth_m[pairs[:, i], pairs[:, i + 1]] for i in (0, 2))
    # NaN compares false.
    apart = np.abs(np.log(first / second)) > np.log(_ORDER_RATIO)
    if not apart.any():
        return None
    ours, theirs = (inverse_depth[pairs[:, i], pairs[:, i + 1]] for i in (0, 2))
    return float(np.mean(((ours > theirs) == (first < second))[apart]))
