"""Depth of two bags against the truth in one of them: whether the other is better or worse."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import cv2
import numpy as np

from depth_anything_ros.bag.comparison.content import Side, compare_content
from depth_anything_ros.bag.comparison.frames import match
from depth_anything_ros.bag.comparison.limits import Limits
from depth_anything_ros.bag.comparison.measures import METRIC, RELATIVE, Measure, measure_of
from depth_anything_ros.bag.comparison.progress import Progress
from depth_anything_ros.bag.comparison.results import Failure, Figure, TruthResult

__all__ = ['is_truth', 'judge_by_truth']

_DEPTH = (METRIC.name, RELATIVE.name)


def is_truth(side: Side) -> bool:
    """Say whether the topic holds metric depth."""
    return _measure(side) == METRIC


def judge_by_truth(
    truth: Side,
    a: Side | None,
    b: Side | None,
    limits: Limits,
    progress: Progress,
) -> tuple[TruthResult, list[Failure]] | None:
    """Judge one topic of either bag or of both, on the frames that all have.

    None for what is no depth, and where it shares no stamps or not the frame of the truth.
    """
    sides = [side for side in (a, b) if side is not None]
    measure = _measure(sides[0])
    frames = {side.frames.label(0).frame_id for side in (truth, *sides)}
    if measure is None or measure.name not in _DEPTH or len(frames) != 1:
        return None
    matches = [match(truth.frames, side.frames) for side in sides]
    common = reduce(np.intersect1d, [places.a for places in matches])
    if not len(common):
        return None
    figures = _against(measure)
    found: list[dict[str, Figure]] = []
    for side, places in zip(sides, matches, strict=True):
        kept = np.isin(places.a, common)
        places = places._replace(a=places.a[kept], b=places.b[kept])
        content = compare_content(truth, side, places, figures, limits, progress)
        found.append({name: tally.figure() for name, tally in content.tallies.items()})
    means = [{name: figure.mean for name, figure in each.items()} for each in found]
    of_a = means[0] if a is not None else None
    of_b = means[-1] if b is not None else None
    result = TruthResult(sides[0].topic, measure.name, len(common), of_a, of_b)
    return result, _worse(result, measure, found[-1], limits)


def _measure(side: Side) -> Measure | None:
    return measure_of(side.topic, side.frames.kind, side.frames.label(0).encoding)


def _against(measure: Measure) -> Callable[[Any, Any], dict[str, float]]:
    """Return the figures of a message of `measure` against one of true depth."""

    def figures(truth: Any, message: Any) -> dict[str, float]:
        depth_m, found = METRIC.values(truth), measure.values(message)
        if depth_m.shape != found.shape:
            size = found.shape[1], found.shape[0]
            depth_m = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return measure.figures(depth_m if measure == METRIC else 1.0 / depth_m, found)

    return figures


def _worse(
    result: TruthResult, measure: Measure, figures: dict[str, Figure], limits: Limits
) -> list[Failure]:
    """Say whether the mean error of B grew by more than its limit."""
    name = measure.error
    if not (result.a and result.b and name in result.a and name in result.b):
        return []
    was, now = result.a[name], result.b[name]
    if now - was <= limits.truth_worse:
        return []
    text = f'{name} against the truth grows from {was:.4g} to {now:.4g}, worst'
    return [Failure(result.topic, 'truth_worse', text, figures[name].worst)]
