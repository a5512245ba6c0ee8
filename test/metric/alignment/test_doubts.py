from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
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
from lab.world.camera import depth_image, view_of
from lab.world.degradation import Degradation, degraded, sampled_reference
from lab.world.world import World

PERIOD = 100_000_000
SIZE = (640, 480)
BEAM = (slice(100, 140, 4), slice(140, 180, 4))


def wall(distance_m: float) -> FloatImage:
    """A wall across the middle of a view whose borders stay where they are."""
    depth = np.full((240, 320), 4.0, np.float32)
    depth[:, :60] = np.linspace(1.0, 4.0, 60, dtype=np.float32)
    depth[60:180, 100:220] = distance_m
    return depth


def reading(depth_m: float) -> ReferenceSamples:
    v, u = (each.ravel().astype(np.float32) for each in np.mgrid[BEAM])
    return ReferenceSamples(u, v, np.full(u.size, depth_m, np.float32))


def drive(
    aligner: ScaleAligner, way_m: npt.NDArray[np.float64], read: Callable[[float], float]
) -> list[tuple[str, str]]:
    """Return reason and warning of each frame on the way towards a wall."""
    told = []
    for frame, distance_m in enumerate(way_m):
        inverse_depth = degraded(wall(distance_m), Degradation(), 3, frame)
        found = aligner.update(inverse_depth, reading(read(distance_m)), frame * PERIOD)
        told.append((found.reason, found.warning))
    return told


TOWARDS = np.linspace(3.0, 2.0, 10)


STILL = np.full(8, 2.0)
UNOBSERVED, ASSUMED = ('polarity_unobserved', ''), ('', 'polarity_assumed')


def as_read(distance_m: float) -> float:
    return distance_m


def negated(distance_m: float) -> float:
    return 6.0 / distance_m


def test_a_beam_that_moves_shows_a_negated_reference() -> None:
    for trusts in (False, True):
        aligner = ScaleAligner(AlignmentConfig(ReferenceKind.RANGE, trust_polarity=trusts))
        told = drive(aligner, TOWARDS, negated)
        assert told[-1][0] == 'contradicts_network'
        assert aligner.current(10 * PERIOD) is None
        # Nor is it taken on trust once it stands, or after a gap.
        assert {reason for reason, _ in drive(aligner, STILL, negated)} <= {
            'contradicts_network',
            'too_few_samples',
        }
        stamp = 3600 * PERIOD
        for frame in range(8):
            inverse_depth = degraded(wall(2.0), Degradation(), 3, frame)
            found = aligner.update(inverse_depth, reading(3.0), stamp + frame * PERIOD)
            assert not found.accepted


def test_a_beam_that_moves_is_believed_and_stays_so_when_it_stops() -> None:
    aligner = ScaleAligner(AlignmentConfig(ReferenceKind.RANGE))
    told = drive(aligner, np.append(TOWARDS, np.full(15, 2.0)), as_read)
    assert UNOBSERVED in told[:9]
    assert told[9:] == [('', '')] * 16
    # Neither does it lose that when no image came for a while.
    again = drive(aligner, STILL, as_read)
    assert again[4:] == [('', '')] * 4


def test_a_beam_that_stands_is_silent_unless_it_is_trusted() -> None:
    for read in (as_read, negated):
        aligner = ScaleAligner(AlignmentConfig(ReferenceKind.RANGE))
        assert drive(aligner, STILL, read)[4:] == [UNOBSERVED] * 4
        assert aligner.current(8 * PERIOD) is None
    aligner = ScaleAligner(AlignmentConfig(ReferenceKind.RANGE, trust_polarity=True))
    assert drive(aligner, STILL, as_read)[4:] == [ASSUMED] * 4
    assert aligner.current(8 * PERIOD) is not None


def test_reset_forgets_what_was_observed() -> None:
    aligner = ScaleAligner(AlignmentConfig(ReferenceKind.RANGE))
    assert drive(aligner, np.append(TOWARDS, STILL), as_read)[-1] == ('', '')
    aligner.reset()
    assert drive(aligner, STILL, as_read)[-1] == UNOBSERVED


@pytest.mark.parametrize('stray_m', [1.0, 3.5])
@pytest.mark.parametrize('strays', [(4,), (3, 6)])
def test_stray_readings_do_not_decide(stray_m: float, strays: tuple[int, ...]) -> None:
    aligner = ScaleAligner(AlignmentConfig(ReferenceKind.RANGE))
    for frame in range(10):
        stray = frame in strays
        inverse_depth = degraded(wall(1.8 if stray else 2.0), Degradation(), 3, frame)
        found = aligner.update(inverse_depth, reading(stray_m if stray else 2.0), frame * PERIOD)
    assert (found.reason, found.warning) == UNOBSERVED


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


UNTRUSTED = [each for each in REFERENCES if not each.trusts]


@pytest.mark.parametrize('what', UNTRUSTED, ids=lambda each: each.name)
def test_no_negated_reference_ever_gives_metres(what: ReferenceType) -> None:
    negation = next(each for each in CORRUPTIONS if each.negated)
    for family, seed in (('room', 3), ('room', 7), ('road', 3)):
        of = truth(family, seed, SIZE)
        readings = corrupted(what.draw(of, seed), negation, of.world.camera, seed)
        aligner = ScaleAligner(AlignmentConfig(what.kind))
        for frame in range(max(6, len(readings))):
            before = len(readings) - 1 - frame
            seen = of.before(before) if what.drives else of.depth_m
            inverse_depth = degraded(seen, seed=seed, frame=frame)
            aligner.update(inverse_depth, readings[max(before, 0)], frame * PERIOD)
            assert aligner.current(frame * PERIOD) is None


def test_a_negated_scan_is_refused() -> None:
    scan = next(each for each in REFERENCES if each.kind is ReferenceKind.LASER_SCAN)
    negated = next(each for each in CORRUPTIONS if each.negated)
    # Rooms in which a line with a slope near 0 fits a negated scan.
    for seed in (15, 16, 27):
        of = truth('room', seed, SIZE)
        samples = corrupted(scan.draw(of, seed), negated, of.world.camera, seed)[0]
        inverse_depth = degraded(of.depth_m, seed=seed)
        found = ScaleAligner(AlignmentConfig(scan.kind)).update(inverse_depth, samples, 0)
        assert found.reason == 'contradicts_network'


@pytest.mark.parametrize('count', [50, 500])
@pytest.mark.parametrize('family', ['room', 'road'])
def test_a_region_of_outliers_is_flagged_and_scattered_ones_are_not(
    family: str, count: int
) -> None:
    for seed in range(5):
        depth = truth(family, seed, SIZE).depth_m
        inverse_depth = degraded(depth, seed=seed)
        for clustered, share in ((True, 0.3), (True, 0.45), (False, 0.3)):
            drawn = sampled_reference(depth, count, seed, share, clustered=clustered)
            samples = ReferenceSamples(drawn.u, drawn.v, drawn.depth_m)
            found = ScaleAligner().update(inverse_depth, samples, 0)
            if clustered:
                assert not found.accepted or found.warning
            else:
                assert found.warning == ''
                # Among 50 samples, outliers may hide for a frame which way the others go.
                assert found.accepted or (count, found.reason) == (50, 'polarity_unobserved')


def test_sigma_grows_beyond_the_depths_that_samples_show() -> None:
    depth = truth('road', 2, SIZE).depth_m
    inverse_depth = degraded(depth, seed=2)
    drawn = sampled_reference(depth, 2000, 2)
    near = drawn.depth_m < 12.0
    samples = ReferenceSamples(drawn.u[near], drawn.v[near], drawn.depth_m[near])
    whole = ReferenceSamples(drawn.u, drawn.v, drawn.depth_m)
    far = (depth > 30.0) & np.isfinite(depth)
    relative = []
    for reference in (samples, whole):
        found = ScaleAligner().update(inverse_depth, reference, 0)
        metric = found.metric_depth(inverse_depth)
        relative.append(float(np.nanmedian(found.sigma_of(metric)[far] / metric[far])))
    assert relative[0] > 1.3 * relative[1]


def test_a_plane_is_no_edge() -> None:
    rows = np.linspace(0.2, 1.0, 240, dtype=np.float32)[:, None]
    inverse_depth = np.repeat(rows, 320, axis=1)
    edge = inverse_depth.copy()
    edge[:, 160:] += 0.5
    v, u = (each.ravel() for each in np.mgrid[8:240:16, 8:320:16])
    reference = ReferenceSamples(
        u.astype(np.float32), v.astype(np.float32), 1.0 / inverse_depth[v, u]
    )
    found = ScaleAligner().update(inverse_depth, reference, 0)
    sigma = found.sigma(inverse_depth) / found.metric_depth(inverse_depth)
    inside = slice(4, -4), slice(4, -4)
    assert float(sigma[inside].max()) < 1.5 * float(np.median(sigma))
    sigma = found.sigma(edge) / found.metric_depth(edge)
    assert float(sigma[100, 158:162].max()) > 4.0 * float(np.median(sigma))


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


def test_a_jump_is_not_followed_because_the_robot_drives() -> None:
    world = World('room', 1, size=(320, 240))
    aligner = ScaleAligner()
    reasons = []
    for frame in range(14):
        time_s = 0.2 * frame
        view = view_of(world.scene.at(time_s), world.camera, world.camera_pose(time_s))
        depth = depth_image(view)
        inverse_depth = degraded(depth, seed=1, frame=frame)
        drawn = sampled_reference(depth, 500, frame)
        factor = np.float32(1.3 if frame >= 8 else 1.0)
        samples = ReferenceSamples(drawn.u, drawn.v, drawn.depth_m * factor)
        reasons.append(aligner.update(inverse_depth, samples, frame * PERIOD).reason)
    assert reasons[:8] == [''] * 8
    assert reasons[8:11] == ['jump'] * 3
    assert reasons[11:] == [''] * 3
