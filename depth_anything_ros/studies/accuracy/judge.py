"""Depth against the truth: aligned as published, edges, and which of two points is nearer."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.core.depth_errors import metric_figures
from depth_anything_ros.core.types import FloatImage, Mask
from depth_anything_ros.studies.variants.compare import point_pairs

__all__ = ['aligned_depth', 'judge']

_EDGE_STEP = 1.1
"""Ratio of the depths of neighbours that makes an edge."""

_NEAR_EDGE_PX = 2
_ORDER_RATIO = 1.05
"""Points whose depths are closer than that are no pair."""


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


def judge(
    inverse_depth: FloatImage, truth_m: FloatImage, max_depth_m: float, is_metric: bool = False
) -> dict[str, float]:
    """Score inverse depth (H, W) after its best alignment; with `is_metric`, 1/m as it is.

    As core.depth_errors.metric_figures, and `edge`: F1 of depth edges within two pixels,
    `ordinal`: share of pairs of points in order. NaN where undefined.
    """
    if is_metric:
        depth_m = np.asarray(1.0 / np.maximum(inverse_depth, 1.0 / max_depth_m), np.float32)
        depth_m[np.isnan(truth_m)] = np.nan
    else:
        depth_m = aligned_depth(inverse_depth, truth_m, max_depth_m)
    figures = metric_figures(truth_m, depth_m)
    return {
        'AbsRel': figures['abs_rel'],
        'RMSE m': figures['rmse_m'],
        'delta1': figures['delta1'],
        'edge': _edge_f1(depth_m, truth_m),
        'ordinal': _ordinal(inverse_depth, truth_m),
    }


def _edge_f1(depth_m: FloatImage, truth_m: FloatImage) -> float:
    found, true = _edges(depth_m), _edges(truth_m)
    if not true.any():
        return np.nan
    kernel = np.ones((2 * _NEAR_EDGE_PX + 1,) * 2, np.uint8)
    near_true, near_found = (
        np.asarray(cv2.dilate(each.astype(np.uint8), kernel)) > 0 for each in (true, found)
    )
    precision = float(np.mean(near_true[found])) if found.any() else 0.0
    recall = float(np.mean(near_found[true]))
    return 2 * precision * recall / max(precision + recall, 1e-12)


def _edges(depth_m: FloatImage) -> Mask:
    logarithm, edges = np.log(depth_m), np.zeros(depth_m.shape, bool)
    # A difference with NaN is not an edge.
    edges[:, 1:] |= np.abs(np.diff(logarithm, axis=1)) > np.log(_EDGE_STEP)
    edges[1:] |= np.abs(np.diff(logarithm, axis=0)) > np.log(_EDGE_STEP)
    return edges


def _ordinal(inverse_depth: FloatImage, truth_m: FloatImage) -> float:
    ya, xa, yb, xb = point_pairs(truth_m.shape).T
    first, second = truth_m[ya, xa], truth_m[yb, xb]
    # NaN compares false.
    apart = np.abs(np.log(first / second)) > np.log(_ORDER_RATIO)
    in_order = (inverse_depth[ya, xa] > inverse_depth[yb, xb]) == (first < second)
    return float(np.mean(in_order[apart])) if apart.any() else np.nan
