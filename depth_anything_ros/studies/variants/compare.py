"""What eyes cannot do: which of two things is nearer, edges and thin things, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from depth_anything_ros.core.depth_errors import relative_figures
from depth_anything_ros.core.types import FloatImage, Floats, Ints
from depth_anything_ros.studies.inputs import normalized

__all__ = ['Dispute', 'agreement', 'disputes', 'edge_sharpness', 'point_pairs']

_PAIRS = 4_000
_SEED = 7
_APART = 0.1
"""Of the image's diagonal: points nearer to each other make no pair."""

_MARGIN = 0.05
"""Of the spread of inverse depth: a pair that differs less is a draw."""

_EDGE_SHARE = 0.02
_THIN_PX = 9
_THIN_STEP = 0.1
_MOST_DISPUTES = 4


@dataclass(frozen=True)
class Dispute:
    """Two points (x, y) in pixels, and for each network which is nearer: 'A', 'B' or 'alike'."""

    a: tuple[int, int]
    b: tuple[int, int]
    nearer: dict[str, str]


def agreement(inverse_depth: FloatImage, largest: FloatImage) -> dict[str, float]:
    """Judge inverse depth (H, W) against that of the largest network; NaN where undefined.

    `ssi error` and `rank correlation` as in core.depth_errors. `disputed`: share of pairs of
    points whose order is the other way round, of those that both decide. `edge`: as
    `edge_sharpness`. `thin kept`: share of the largest's thin near things that are there.
    """
    figures = relative_figures(largest, inverse_depth)
    pairs = point_pairs(largest.shape)
    ours, theirs = (_order(each, pairs) for each in (inverse_depth, largest))
    decided = (ours != 0) & (theirs != 0)
    thin = _thin(largest) > _THIN_STEP
    there = (_thin(inverse_depth) > _THIN_STEP / 2).astype(np.uint8)
    found = np.asarray(cv2.dilate(there, np.ones((5, 5), np.uint8)))
    return {
        'ssi error': figures['ssi_error'],
        'rank correlation': figures['rank_correlation'],
        'disputed': float(np.mean((ours != theirs)[decided])) if decided.any() else np.nan,
        'edge': edge_sharpness(inverse_depth),
        'thin kept': float(np.mean(found[thin])) if thin.any() else np.nan,
    }


def disputes(depths: Mapping[str, FloatImage]) -> list[Dispute]:
    """Return the pairs of points about which networks disagree most clearly, far from each other.

    depths: inverse depth (H, W) by title. A pair counts by the smaller of the two margins.
    """
    shape = next(iter(depths.values())).shape
    pairs = point_pairs(shape)
    gaps = np.stack([_gaps(each, pairs) for each in depths.values()])
    clarity = np.minimum(gaps.max(0), -gaps.min(0))
    taken = np.empty((0, 2))
    found: list[Dispute] = []
    for index in np.argsort(-clarity):
        if clarity[index] < _MARGIN or len(found) == _MOST_DISPUTES:
            break
        points = pairs[index].reshape(2, 2)
        apart = np.linalg.norm(taken[:, None] - points, axis=-1)
        if (apart < _APART * np.hypot(shape[0], shape[1])).any():
            continue
        taken = np.vstack([taken, points])
        nearer = {
            title: 'alike' if abs(gap) < _MARGIN else 'A' if gap > 0 else 'B'
            for title, gap in zip(depths, gaps[:, index].tolist(), strict=True)
        }
        (ya, xa), (yb, xb) = points.tolist()
        found.append(Dispute((xa, ya), (xb, yb), nearer))
    return found


def point_pairs(shape: tuple[int, ...]) -> Ints:
    """Return pairs of points (N, 4) as y, x, y, x in an image of `shape`, the same every time."""
    random = np.random.default_rng(_SEED).random((2 * _PAIRS, 4))
    pairs = np.asarray(random * [*shape, *shape], np.int64)
    far = np.hypot(pairs[:, 0] - pairs[:, 2], pairs[:, 1] - pairs[:, 3])
    return np.asarray(pairs[far > _APART * np.hypot(shape[0], shape[1])][:_PAIRS])


def edge_sharpness(inverse_depth: FloatImage) -> float:
    """Return the mean step between neighbouring pixels over the steepest fiftieth of them.

    In shares of the spread of inverse depth.
    """
    steps = np.hypot(*np.gradient(normalized(inverse_depth))).ravel()
    count = max(1, round(_EDGE_SHARE * steps.size))
    return float(np.partition(steps, -count)[-count:].mean())


def _gaps(inverse_depth: FloatImage, pairs: Ints) -> Floats:
    """Return by how much the first point of each pair is nearer, in shares of the spread."""
    smooth = np.asarray(cv2.blur(normalized(inverse_depth), (5, 5)), np.float64)
    gaps: Floats = smooth[pairs[:, 0], pairs[:, 1]] - smooth[pairs[:, 2], pairs[:, 3]]
    return gaps


def _order(inverse_depth: FloatImage, pairs: Ints) -> Floats:
    gaps = _gaps(inverse_depth, pairs)
    return np.sign(gaps) * (np.abs(gaps) >= _MARGIN)


def _thin(inverse_depth: FloatImage) -> FloatImage:
    """Return what is nearer than all around it and thinner than `_THIN_PX`, as a height."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_THIN_PX, _THIN_PX))
    top = cv2.morphologyEx(normalized(inverse_depth), cv2.MORPH_TOPHAT, kernel)
    return np.asarray(top, np.float32)
