"""Figures of a relative depth map against the truth, after the best affine fit per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.core.depth_errors import metric_figures
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.studies.accuracy.judge import aligned_depth
from lab.training.data import HELD_OUT_SEED, SIZE, draw
from lab.world.scenes import SCENES

__all__ = ['FamilyScore', 'Figures', 'aligned_figures', 'fitted_depth', 'held_out_scores']

MAX_DEPTH_M = 80.0
"""Farther surfaces are not judged, and no prediction may exceed it."""

_MEAN_MAP_SCENES = 200
_MEAN_MAP_SEED = HELD_OUT_SEED + 1_000_000


@dataclass(frozen=True)
class Figures:
    """Mean |error| / truth, and the share of pixels within a factor of 1.25."""

    abs_rel: float
    delta1: float


@dataclass(frozen=True)
class FamilyScore:
    """One family of scenes: the network, and the best map that never looks at the picture."""

    family: str
    images: int
    network: Figures
    mean_map: Figures


def aligned_figures(inverse_depth: FloatImage, depth_m: FloatImage) -> Figures:
    """Fit scale and shift by least squares in inverse depth, then compare depths in metres."""
    found = metric_figures(depth_m, fitted_depth(inverse_depth, depth_m))
    return Figures(found['abs_rel'], found['delta1'])


def fitted_depth(inverse_depth: FloatImage, depth_m: FloatImage) -> FloatImage:
    """Return `inverse_depth` (H, W) in metres, by the scale and shift that fit the truth best.

    Least squares in inverse depth; NaN where the truth is not judged.
    """
    judged = np.where(depth_m < MAX_DEPTH_M, depth_m, np.float32(np.nan))
    return aligned_depth(inverse_depth, judged, MAX_DEPTH_M)


def held_out_scores(
    predict: Callable[[Sequence[BgrImage]], Sequence[FloatImage]], images: int
) -> list[FamilyScore]:
    """Judge `predict` on `images` held-out pictures of each family."""
    scores = []
    for offset, family in enumerate(SCENES):
        samples = [draw(index * len(SCENES) + offset, HELD_OUT_SEED) for index in range(images)]
        outputs = predict([image for image, _ in samples])
        blind = _mean_map(offset)
        scores.append(
            FamilyScore(
                family,
                images,
                _mean([aligned_figures(q, z) for q, (_, z) in zip(outputs, samples, strict=True)]),
                _mean([aligned_figures(blind, z) for _, z in samples]),
            )
        )
    return scores


def _mean(figures: Sequence[Figures]) -> Figures:
    return Figures(
        float(np.mean([each.abs_rel for each in figures])),
        float(np.mean([each.delta1 for each in figures])),
    )


def _mean_map(offset: int) -> FloatImage:
    """Average the inverse depth of many scenes, each relative to its own mean."""
    total = np.zeros((SIZE[1], SIZE[0]), np.float32)
    for index in range(_MEAN_MAP_SCENES):
        inverse = 1.0 / draw(index * len(SCENES) + offset, _MEAN_MAP_SEED)[1]
        total += inverse / inverse.mean()
    return np.asarray(total / _MEAN_MAP_SCENES, np.float32)
