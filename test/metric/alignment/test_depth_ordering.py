from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from depth_anything_ros.core.types import FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment import AlignmentConfig, ScaleAligner
from lab.claims.alignment_references import (
    CORRUPTIONS,
    REFERENCES,
    ReferenceType,
    corrupted,
    truth,
)
from lab.world.degradation import Degradation, degraded, sampled_reference

PERIOD = 100_000_000
SIZE = (640, 480)


def wall(distance_m: float) -> FloatImage:
    """A wall across most of a view whose borders stay where they are."""
    depth = np.full((240, 320), 4.0, np.float32)
    depth[:, :60] = np.linspace(1.0, 4.0, 60, dtype=np.float32)
    depth[20:220, 64:288] = distance_m
    return depth


V, U = (each.ravel() for each in np.mgrid[68:176:8, 108:216:8])
"""Pixels of the wall, every eighth."""

UNOBSERVED, ASSUMED = ('polarity_unobserved', ''), ('', 'polarity_assumed')
STILL = [2.0] * 8


def facing(aligner: ScaleAligner, distances_m: list[float], factor: float = 1.0) -> list[Any]:
    """Return reason and warning of each frame that sees a wall only, at these distances."""
    results = []
    for frame, distance_m in enumerate(distances_m):
        inverse_depth = degraded(wall(distance_m), Degradation(), 3, frame)
        reference = ReferenceSamples(
            U.astype(np.float32),
            V.astype(np.float32),
            np.full(U.size, distance_m * factor, np.float32),
        )
        found = aligner.update(inverse_depth, reference, frame * PERIOD)
        results.append((found.reason, found.warning))
    return results


def whole(aligner: ScaleAligner, stamp_ns: int, reverse: bool = False) -> str:
    """Return the reason for a frame whose reference covers several depths."""
    depth = wall(2.0)
    drawn = sampled_reference(depth, 400, 0)
    read = 6.0 / drawn.depth_m if reverse else drawn.depth_m
    samples = ReferenceSamples(drawn.u, drawn.v, read)
    return aligner.update(degraded(depth, Degradation(), 3), samples, stamp_ns).reason


def test_a_wall_alone_gives_metric_depth_only_on_trust() -> None:
    aligner = ScaleAligner()
    assert facing(aligner, STILL) == [UNOBSERVED] * 8
    assert aligner.current(7 * PERIOD) is None
    aligner = ScaleAligner(AlignmentConfig(trust_polarity=True))
    assert facing(aligner, STILL) == [ASSUMED] * 8
    assert aligner.current(7 * PERIOD) is not None


def test_a_wall_that_comes_nearer_is_at_one_depth_in_each_frame() -> None:
    towards = [float(each) for each in np.linspace(3.0, 2.0, 8)]
    assert facing(ScaleAligner(), towards) == [UNOBSERVED] * 8


def test_depth_ordering_once_observed_holds_before_a_wall_until_reset() -> None:
    aligner = ScaleAligner()
    assert whole(aligner, -PERIOD) == ''
    assert facing(aligner, STILL) == [('', '')] * 8
    # Nor is it lost when no image came for a while.
    assert whole(aligner, 3600 * PERIOD) == ''
    aligner.reset()
    assert facing(aligner, STILL) == [UNOBSERVED] * 8


def test_trust_does_not_outweigh_a_contradiction() -> None:
    aligner = ScaleAligner(AlignmentConfig(trust_polarity=True))
    assert whole(aligner, -PERIOD, reverse=True) == 'contradicts_network'
    assert facing(aligner, STILL) == [('contradicts_network', '')] * 8
    assert aligner.current(7 * PERIOD) is None


def test_a_contradiction_ends_the_metres_at_once() -> None:
    depth = truth('room', 4, SIZE).depth_m
    inverse_depth = degraded(depth, seed=4)
    aligner = ScaleAligner()
    drawn = sampled_reference(depth, 300, 0)
    aligner.update(inverse_depth, ReferenceSamples(drawn.u, drawn.v, drawn.depth_m), 0)
    assert aligner.current(PERIOD) is not None
    wrong = ReferenceSamples(drawn.u, drawn.v, 9.0 / drawn.depth_m)
    assert aligner.update(inverse_depth, wrong, PERIOD).reason == 'contradicts_network'
    assert aligner.current(PERIOD) is None


@pytest.mark.parametrize('what', REFERENCES, ids=lambda each: each.name)
def test_no_reversed_reference_ever_gives_metric_depth(what: ReferenceType) -> None:
    negation = next(each for each in CORRUPTIONS if each.negated)
    for family, seed in (('room', 3), ('room', 7), ('road', 3)):
        of = truth(family, seed, SIZE)
        samples = corrupted(what.draw(of, seed), negation, of.world.camera, seed)
        aligner = ScaleAligner(AlignmentConfig(what.kind))
        for frame in range(6):
            inverse_depth = degraded(of.depth_m, seed=seed, frame=frame)
            aligner.update(inverse_depth, samples, frame * PERIOD)
            assert aligner.current(frame * PERIOD) is None


def test_a_negated_scan_is_refused() -> None:
    scan = next(each for each in REFERENCES if each.kind is ReferenceKind.LASER_SCAN)
    negated = next(each for each in CORRUPTIONS if each.negated)
    # Rooms in which a line with a slope near 0 fits a negated scan.
    for seed in (15, 16, 27):
        of = truth('room', seed, SIZE)
        samples = corrupted(scan.draw(of, seed), negated, of.world.camera, seed)
        inverse_depth = degraded(of.depth_m, seed=seed)
        found = ScaleAligner(AlignmentConfig(scan.kind)).update(inverse_depth, samples, 0)
        assert found.reason == 'contradicts_network'


def test_a_reference_once_contradicted_has_to_prove_itself() -> None:
    inverse_depth = degraded(truth('room', 4, SIZE).depth_m, seed=4)
    depth = truth('room', 4, SIZE).depth_m
    aligner = ScaleAligner()
    told = []
    for frame in range(12):
        drawn = sampled_reference(depth, 300, frame, 0.1)
        wrong = 9.0 / drawn.depth_m if frame == 2 else drawn.depth_m
        samples = ReferenceSamples(drawn.u, drawn.v, wrong)
        told.append(aligner.update(inverse_depth, samples, frame * PERIOD).accepted)
    assert told == [True] * 2 + [False] * 8 + [True] * 2
