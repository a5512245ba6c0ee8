"""What eyes cannot do: which of two things is nearer, edges and thin things, in figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from depth_anything_ros.core.depth_errors import relative_figures
from depth_anything_ros.core.types import BgrImage, FloatImage, Floats, Ints
from depth_anything_ros.studies.depths import normalized
from depth_anything_ros.studies.variants.sheet import write_text

__all__ = [
    'Agreement',
    'Dispute',
    'agreement',
    'disputes',
    'draw_disputes',
    'edge_sharpness',
    'point_pairs',
]

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
class Agreement:
    """One network against the largest on one image, and the detail of its own depth.

    `disputed`: share of pairs of points whose order is the other way round, of those that both
    decide. `edge`: share of the spread by which depth changes within a pixel, at its strongest
    edges. `thin_kept`: share of the largest's thin near things that are there.
    """

    ssi_error: float
    rank_correlation: float
    disputed: float
    edge: float
    thin_kept: float | None


@dataclass(frozen=True)
class Dispute:
    """Two points (x, y) in pixels, and for each network which is nearer: 'A', 'B' or 'alike'."""

    a: tuple[int, int]
    b: tuple[int, int]
    nearer: dict[str, str]


def agreement(inverse_depth: FloatImage, largest: FloatImage) -> Agreement:
    """Judge inverse depth (H, W) against that of the largest network."""
    figures = relative_figures(largest, inverse_depth)
    pairs = point_pairs(largest.shape)
    ours, theirs = (_order(each, pairs) for each in (inverse_depth, largest))
    decided = (ours != 0) & (theirs != 0)
    disputed = float(np.mean((ours != theirs)[decided])) if decided.any() else 0.0
    thin = _thin(largest) > _THIN_STEP
    kept = None
    if thin.any():
        found = (_thin(inverse_depth) > _THIN_STEP / 2).astype(np.uint8)
        found = np.asarray(cv2.dilate(found, np.ones((5, 5), np.uint8)), np.uint8)
        kept = float(np.mean(found[thin]))
    return Agreement(
        figures.get('ssi_error', float('nan')),
        figures.get('rank_correlation', float('nan')),
        disputed,
        edge_sharpness(inverse_depth),
        kept,
    )


def disputes(depths: Mapping[str, FloatImage]) -> list[Dispute]:
    """Return the pairs of points about which networks disagree most clearly, far from each other.

    depths: inverse depth (H, W) by title. A pair counts by the smaller of the two margins.
    """
    pairs = point_pairs(next(iter(depths.values())).shape)
    gaps = np.stack([_gaps(each, pairs) for each in depths.values()])
    clarity = np.minimum(gaps.max(0), -gaps.min(0))
    diagonal = float(np.hypot(*next(iter(depths.values())).shape))
    found: list[Dispute] = []
    for index in np.argsort(-clarity):
        if clarity[index] < _MARGIN or len(found) == _MOST_DISPUTES:
            break
        (ya, xa), (yb, xb) = pairs[index].reshape(2, 2).tolist()
        taken = [point for one in found for point in (one.a, one.b)]
        if any(
            np.hypot(x - u, y - v) < _APART * diagonal
            for x, y in ((xa, ya), (xb, yb))
            for u, v in taken
        ):
            continue
        nearer = {
            title: 'alike' if abs(gap) < _MARGIN else 'A' if gap > 0 else 'B'
            for title, gap in zip(depths, gaps[:, index].tolist(), strict=True)
        }
        found.append(Dispute((xa, ya), (xb, yb), nearer))
    return found


def draw_disputes(bgr: BgrImage, found: Sequence[Dispute]) -> BgrImage:
    """Return the image with the points of each pair, '1A' and '1B'."""
    drawn = bgr.copy()
    scale = max(0.5, bgr.shape[1] / 1000)
    for number, one in enumerate(found, 1):
        cv2.line(drawn, one.a, one.b, (255, 255, 255), max(1, round(2 * scale)), cv2.LINE_AA)
        for letter, (x, y) in (('A', one.a), ('B', one.b)):
            cv2.circle(drawn, (x, y), round(7 * scale), (0, 0, 255), -1, cv2.LINE_AA)
            place = min(x + 8, drawn.shape[1] - round(50 * scale)), max(y - 8, round(24 * scale))
            write_text(drawn, f'{number}{letter}', place, scale)
    return drawn


def point_pairs(shape: tuple[int, ...]) -> Ints:
    """Return pairs of points (N, 4) as y, x, y, x in an image of `shape`, the same every time."""
    random = np.random.default_rng(_SEED)
    sides = np.array([shape[0], shape[1], shape[0], shape[1]])
    pairs = (random.random((2 * _PAIRS, 4)) * sides).astype(np.int64)
    far = np.hypot(pairs[:, 0] - pairs[:, 2], pairs[:, 1] - pairs[:, 3])
    return np.asarray(pairs[far > _APART * np.hypot(shape[0], shape[1])][:_PAIRS], np.int64)


def edge_sharpness(inverse_depth: FloatImage) -> float:
    """Return the mean step between neighbouring pixels over the steepest fiftieth of them."""
    steps = np.hypot(*np.gradient(normalized(inverse_depth))).ravel()
    count = max(1, round(_EDGE_SHARE * steps.size))
    return float(np.partition(steps, -count)[-count:].mean())


def _gaps(inverse_depth: FloatImage, pairs: Ints) -> Floats:
    """Return by how much the first point of each pair is nearer, in shares of the spread."""
    smooth = cv2.blur(normalized(inverse_depth), (5, 5))
    first, second = smooth[pairs[:, 0], pairs[:, 1]], smooth[pairs[:, 2], pairs[:, 3]]
    return np.asarray(first - second, np.float64)


def _order(inverse_depth: FloatImage, pairs: Ints) -> Ints:
    gaps = _gaps(inverse_depth, pairs)
    order = np.sign(gaps) * (np.abs(gaps) >= _MARGIN)
    return np.asarray(order, np.int64)


def _thin(inverse_depth: FloatImage) -> FloatImage:
    """Return what is nearer than all around it and thinner than `_THIN_PX`, as a height."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_THIN_PX, _THIN_PX))
    top = cv2.morphologyEx(normalized(inverse_depth), cv2.MORPH_TOPHAT, kernel)
    return np.asarray(top, np.float32)
