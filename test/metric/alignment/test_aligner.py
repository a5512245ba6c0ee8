from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.types import FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment import AlignmentConfig, ScaleAligner
from depth_anything_ros.metric.alignment.sample_gate import inverse_depth_stats
from lab.claims.alignment_baselines import huber_oracle
from lab.world.camera import depth_image, view_of
from lab.world.degradation import Degradation, degraded, sampled_reference
from lab.world.world import World

MS = 1_000_000
PERIOD = 100 * MS


def true_depth(family: str = 'room', seed: int = 0, width: int = 320) -> FloatImage:
    world = World(family, seed, size=(width, width * 3 // 4))
    return depth_image(view_of(world.scene.at(1.0), world.camera, world.camera_pose(1.0)))


PLAIN = AlignmentConfig(refinement=False)

ROOM = true_depth()
ROAD = true_depth('road')


def samples(
    depth: FloatImage, count: int = 500, seed: int = 0, outliers: float = 0.3, factor: float = 1.0
) -> ReferenceSamples:
    drawn = sampled_reference(depth, count, seed, outliers)
    return ReferenceSamples(drawn.u, drawn.v, drawn.depth_m * np.float32(factor))


def abs_rel(given: FloatImage, depth: FloatImage) -> float:
    known = np.isfinite(given) & np.isfinite(depth)
    assert known.mean() > 0.5
    return float(np.mean(np.abs(given[known] - depth[known]) / depth[known]))


def best_abs_rel(inverse_depth: FloatImage, depth: FloatImage) -> float:
    """Return the error of the best scale and shift for all pixels."""
    known = np.isfinite(depth) & (inverse_depth > 0.0)
    q, z = inverse_depth[known].astype(float), depth[known].astype(float)
    scale, shift = huber_oracle(q, z)
    return float(np.mean(np.abs(1.0 / (scale * q + shift) - z) / z))


def at_rows(depth: FloatImage, rows: slice, columns: slice) -> ReferenceSamples:
    v, u = np.mgrid[rows, columns]
    u, v = u.ravel(), v.ravel()
    return ReferenceSamples(u.astype(np.float32), v.astype(np.float32), depth[v, u])


@pytest.mark.parametrize('depth', [ROOM, ROAD], ids=['room', 'road'])
@pytest.mark.parametrize('count', [50, 500])
def test_outliers_do_not_matter(depth: FloatImage, count: int) -> None:
    ratios = []
    for seed in range(4):
        inverse_depth = degraded(depth, seed=seed)
        found = ScaleAligner(PLAIN).update(inverse_depth, samples(depth, count, seed), 0)
        assert found.accepted
        assert found.reason == ''
        assert 0.5 < found.inlier_ratio < 0.8
        error = abs_rel(found.metric_depth(inverse_depth), depth)
        ratios.append(error / best_abs_rel(inverse_depth, depth))
    assert np.mean(ratios) < (1.15 if count == 50 else 1.05)


def test_held_out_error_is_that_of_the_image_and_unknown_for_few_samples() -> None:
    inverse_depth = degraded(ROOM, seed=1)
    told = []
    for config in (PLAIN, AlignmentConfig()):
        aligner = ScaleAligner(config)
        for frame in range(5):
            found = aligner.update(inverse_depth, samples(ROOM, 500, frame), frame * PERIOD)
        told.append((found.held_out_abs_rel, abs_rel(found.metric_depth(inverse_depth), ROOM)))
    (plain, plain_error), (refined, refined_error) = told
    assert plain == pytest.approx(plain_error, rel=0.35)
    # A pixel has nearer samples than one whose whole block is left out.
    assert refined_error < refined < plain
    few = ScaleAligner().update(inverse_depth, samples(ROOM, 20, outliers=0.0), 0)
    assert few.accepted
    assert np.isnan(few.held_out_abs_rel)


@pytest.mark.parametrize('refinement', [False, True], ids=['robust', 'refined'])
@pytest.mark.parametrize('depth', [ROOM, ROAD], ids=['room', 'road'])
def test_sigma_says_how_large_the_error_is(depth: FloatImage, refinement: bool) -> None:
    inside = []
    for seed in range(6):
        inverse_depth = degraded(depth, seed=seed)
        aligner = ScaleAligner(AlignmentConfig(refinement=refinement))
        reference = samples(depth, 500, seed)
        stated = replace(reference, sigma_m=np.float32(0.01) * reference.depth_m)
        found = aligner.update(inverse_depth, stated, 0)
        metric, sigma = found.metric_depth(inverse_depth), found.sigma(inverse_depth)
        assert (np.isnan(metric) == np.isnan(sigma)).all()
        known = np.isfinite(metric) & np.isfinite(depth)
        off = np.abs(metric[known] - depth[known]) / sigma[known]
        inside.append([np.mean(off < 1.0), np.mean(off < 2.0)])
    one, two = np.mean(inside, axis=0)
    assert 0.60 < one < 0.80
    assert 0.88 < two < 0.985


def test_refinement_halves_the_error() -> None:
    room = true_depth(width=640)
    errors, held_out = [], []
    for seed in range(4):
        inverse_depth = degraded(room, seed=seed)
        both = [
            ScaleAligner(config).update(inverse_depth, samples(room, 500, seed), 0)
            for config in (PLAIN, AlignmentConfig())
        ]
        errors.append([abs_rel(each.metric_depth(inverse_depth), room) for each in both])
        held_out.append([each.held_out_abs_rel for each in both])
    plain, refined = np.mean(errors, axis=0)
    assert refined < 0.5 * plain
    plain, refined = np.mean(held_out, axis=0)
    assert refined < 0.8 * plain


def test_refinement_stays_off_for_a_scan() -> None:
    config = AlignmentConfig(ReferenceKind.LASER_SCAN, refinement=True)
    inverse_depth = degraded(ROOM, seed=2)
    found = ScaleAligner(config).update(
        inverse_depth, at_rows(ROOM, slice(150, 151), slice(0, 320)), 0
    )
    assert found.accepted
    assert found.refinement is None


def test_a_scan_row_leaves_the_slope_to_the_prior_where_its_wall_is_flat() -> None:
    inverse_depth = degraded(ROOM, seed=3)
    flat = np.full_like(ROOM, 2.0)
    row = at_rows(flat, slice(120, 121), slice(0, 320, 2))
    # The wall in that row, the room everywhere else.
    rows = slice(110, 131)
    gain = float(np.median(inverse_depth * ROOM))
    bias = np.random.default_rng(0).normal(1.0, 0.05, inverse_depth[rows].shape)
    inverse_depth[rows] = (gain / 2.0 * bias).astype(np.float32)
    config = AlignmentConfig(ReferenceKind.LASER_SCAN, edge_share=1.0, trust_polarity=True)
    found = ScaleAligner(config).update(inverse_depth, row, 0)
    assert found.accepted
    assert found.shift == pytest.approx(0.0, abs=0.05)
    assert 1.0 / (found.scale * gain / 2.0 + found.shift) == pytest.approx(2.0, rel=0.05)


def negations() -> list[FloatImage]:
    far = np.float32(ROOM.max() + ROOM.min())
    return [far - ROOM, 1.0 / ROOM, np.square(2.0 / ROOM)]


@pytest.mark.parametrize('wrong', negations(), ids=['mirrored', 'inverse', 'inverse square'])
@pytest.mark.parametrize('count', [50, 500, 5000])
@pytest.mark.parametrize('outliers', [0.0, 0.3])
def test_a_negated_reference_is_never_accepted(
    wrong: FloatImage, count: int, outliers: float
) -> None:
    for seed in range(3):
        inverse_depth = degraded(ROOM, seed=seed)
        aligner = ScaleAligner()
        for frame in range(4):
            reference = samples(wrong, count, seed * 4 + frame, outliers)
            found = aligner.update(inverse_depth, reference, frame * PERIOD)
            assert not found.accepted
            # Among few samples with outliers, a second rising line may be what stops it.
            assert found.reason == 'contradicts_network' or outliers > 0.0
            assert np.isnan(found.metric_depth(inverse_depth)).all()
        assert aligner.current(4 * PERIOD) is None


def test_negative_depths_are_no_samples() -> None:
    inverse_depth = degraded(ROOM, seed=0)
    found = ScaleAligner().update(inverse_depth, samples(ROOM, factor=-1.0), 0)
    assert found.reason == 'too_few_samples'


def test_two_hypotheses_that_share_the_samples_are_ambiguous() -> None:
    inverse_depth = degraded(ROOM, seed=0)
    reference = samples(ROOM, 1000, outliers=0.0)
    half = reference.u < 160
    doubled = np.where(half, reference.depth_m, reference.depth_m * 1.8).astype(np.float32)
    found = ScaleAligner().update(inverse_depth, replace(reference, depth_m=doubled), 0)
    assert found.reason == 'ambiguous'


def test_samples_that_agree_on_nothing_are_refused() -> None:
    random = np.random.default_rng(0)
    inverse_depth = degraded(ROOM, seed=0)
    reference = samples(ROOM, 500)
    noise = random.uniform(0.5, 20.0, 500).astype(np.float32)
    found = ScaleAligner().update(inverse_depth, replace(reference, depth_m=noise), 0)
    assert not found.accepted
    assert found.reason in ('poor_fit', 'ambiguous', 'contradicts_network', 'polarity_unobserved')


def test_nearly_half_outliers_among_few_samples_are_refused_or_flagged() -> None:
    # At full size: in a smaller image the thinning already outvotes some of the outliers.
    depths = [true_depth(family, width=640) for family in ('room', 'road')]
    for seed in range(12):
        depth = depths[seed % 2]
        inverse_depth = degraded(depth, seed=seed)
        found = ScaleAligner().update(inverse_depth, samples(depth, 50, seed, outliers=0.45), 0)
        assert not found.accepted or found.warning == 'few_inliers'


def test_a_reference_scaled_in_mid_run_is_named_and_never_followed_silently() -> None:
    inverse_depth = degraded(ROOM, seed=4)
    aligner = ScaleAligner()
    depth_before = []
    for frame in range(6):
        found = aligner.update(inverse_depth, samples(ROOM, 500, frame), frame * PERIOD)
        depth_before.append(float(np.nanmedian(found.metric_depth(inverse_depth))))
    reasons = []
    for frame in range(6, 12):
        stamp = frame * PERIOD
        found = aligner.update(inverse_depth, samples(ROOM, 500, frame, factor=1.3), stamp)
        reasons.append(found.reason)
        now = aligner.current(stamp)
        if not found.accepted and now is not None:
            held = float(np.nanmedian(now.metric_depth(inverse_depth)))
            assert held == pytest.approx(depth_before[-1], rel=0.03)
        if len(reasons) == 3:
            # Silence between both scales.
            assert now is None
    assert reasons == ['jump', 'jump', 'jump', '', '', '']
    depth_after = float(np.nanmedian(found.metric_depth(inverse_depth)))
    assert depth_after == pytest.approx(1.3 * depth_before[-1], rel=0.05)


def test_an_alignment_expires_and_comes_back() -> None:
    config = AlignmentConfig(hold_s=0.5)
    inverse_depth = degraded(ROOM, seed=5)
    aligner = ScaleAligner(config)
    assert aligner.current(0) is None
    aligner.update(inverse_depth, samples(ROOM), 0)
    nothing = ReferenceSamples(*np.zeros((3, 0), np.float32))
    for stamp in range(0, 500 * MS, PERIOD):
        assert aligner.update(inverse_depth, nothing, stamp).reason == 'too_few_samples'
        assert aligner.current(stamp) is not None
    assert aligner.current(500 * MS) is not None
    assert aligner.current(501 * MS) is None
    # Plugged in again after ten seconds: back with the first reference.
    again = aligner.update(inverse_depth, samples(ROOM, seed=1), 10_000 * MS)
    assert again.accepted
    assert aligner.current(10_000 * MS) is not None


def test_reset_forgets() -> None:
    inverse_depth = degraded(ROOM, seed=5)
    aligner = ScaleAligner()
    aligner.update(inverse_depth, samples(ROOM), 0)
    aligner.reset()
    assert aligner.current(0) is None
    assert aligner.update(inverse_depth, samples(ROOM, factor=2.0), PERIOD).accepted


def test_a_loop_of_the_bag_starts_afresh() -> None:
    inverse_depth = degraded(ROOM, seed=5)
    aligner = ScaleAligner()
    aligner.update(inverse_depth, samples(ROOM), 60_000 * MS)
    assert aligner.update(inverse_depth, samples(ROOM, factor=2.0), 0).accepted


def test_a_late_frame_keeps_the_scale() -> None:
    inverse_depth = degraded(ROOM, seed=5)
    aligner = ScaleAligner()
    aligner.update(inverse_depth, samples(ROOM), 60_000 * MS)
    aligner.follow(inverse_depth, 59_600 * MS)
    assert aligner.current(59_600 * MS) is not None
    aligner.follow(inverse_depth, 58_999 * MS)
    assert aligner.current(59_600 * MS) is None


def test_what_the_network_changes_between_frames_is_carried_over() -> None:
    shaky = Degradation(jitter_sigma=0.05)
    aligner = ScaleAligner()
    aligner.update(degraded(ROOM, shaky, 6, 0), samples(ROOM), 0)
    for frame in range(1, 4):
        inverse_depth = degraded(ROOM, shaky, 6, frame)
        aligner.follow(inverse_depth, frame * PERIOD)
        carried = aligner.current(frame * PERIOD)
        assert carried is not None
        best = best_abs_rel(inverse_depth, ROOM)
        assert abs_rel(carried.metric_depth(inverse_depth), ROOM) < 1.2 * best


def test_constant_or_broken_inverse_depth_is_named() -> None:
    for value in (0.0, 3.0, np.nan, np.inf):
        inverse_depth = np.full(ROOM.shape, value, np.float32)
        assert (
            ScaleAligner().update(inverse_depth, samples(ROOM), 0).reason == 'degenerate_network'
        )


def test_sky_stays_unknown() -> None:
    inverse_depth = degraded(ROAD, seed=7)
    found = ScaleAligner().update(inverse_depth, samples(ROAD), 0)
    assert np.isnan(found.metric_depth(inverse_depth)[np.isinf(ROAD)]).all()


def test_uncertain_samples_weigh_less() -> None:
    inverse_depth = degraded(ROOM, Degradation(error_sigma=0.01), seed=8)
    reference = samples(ROOM, 400, outliers=0.0)
    off = np.arange(400) % 2 == 0
    depth = np.where(off, reference.depth_m * 1.12, reference.depth_m).astype(np.float32)
    sigma = np.where(off, 0.2 * depth, 0.005 * depth).astype(np.float32)
    found = ScaleAligner().update(
        inverse_depth, replace(reference, depth_m=depth, sigma_m=sigma), 0
    )
    told = abs_rel(found.metric_depth(inverse_depth), ROOM)
    blind = ScaleAligner().update(inverse_depth, replace(reference, depth_m=depth), 0)
    assert told < 0.5 * abs_rel(blind.metric_depth(inverse_depth), ROOM)


def test_thresholds_are_checked() -> None:
    with pytest.raises(SettingError, match='hold_s'):
        AlignmentConfig(hold_s=0.0)
    with pytest.raises(SettingError, match='min_depth_m'):
        AlignmentConfig(min_depth_m=90.0)


def test_a_hundred_thousand_samples_are_thinned() -> None:
    v, u = (each.ravel().astype(np.float32) for each in np.mgrid[0:240, 0:320])
    inverse_depth = degraded(ROOM, seed=9)
    found = ScaleAligner(AlignmentConfig(ReferenceKind.DEPTH_IMAGE)).update(
        inverse_depth, ReferenceSamples(u, v, ROOM.ravel()), 0
    )
    assert found.accepted
    # At most one per 16 px cell.
    assert found.inliers <= 20 * 15


def shuffled(reference: ReferenceSamples, order: npt.NDArray[np.int64]) -> ReferenceSamples:
    return ReferenceSamples(reference.u[order], reference.v[order], reference.depth_m[order])


def test_order_and_duplicates_do_not_matter() -> None:
    inverse_depth = degraded(ROOM, seed=10)
    reference = samples(ROOM, 2000)
    order = np.random.default_rng(0).permutation(2000)
    again = np.concatenate([order, order[:700], order[:100]])
    first = ScaleAligner().update(inverse_depth, reference, 0)
    second = ScaleAligner().update(inverse_depth, shuffled(reference, again), 0)
    assert (first.scale, first.shift) == (second.scale, second.shift)
    assert first.inliers == second.inliers


@pytest.mark.parametrize('kind', [ReferenceKind.LASER_SCAN, ReferenceKind.POINT_CLOUD])
def test_a_shift_of_half_the_level_is_found_indoors(kind: ReferenceKind) -> None:
    """Without a sky, 0 may lie just behind the far wall, as real networks have it."""
    true = (1.0 / ROOM).astype(np.float32)
    shift = np.float32(0.95 * true.min())
    inverse_depth = (true - shift) * np.float32(20.0)
    bias = np.exp(0.02 * np.sin(np.arange(ROOM.shape[1]) / 20.0)).astype(np.float32)
    inverse_depth *= bias
    if kind is ReferenceKind.LASER_SCAN:
        reference = at_rows(ROOM, slice(120, 121), slice(0, 320, 2))
    else:
        reference = samples(ROOM, 30, outliers=0.0)
    found = ScaleAligner(AlignmentConfig(kind)).update(inverse_depth, reference, 0)
    assert found.accepted and not found.warning
    assert found.shift == pytest.approx(shift, rel=0.25)
    assert abs_rel(found.metric_depth(inverse_depth), ROOM) < 0.05


def test_a_network_trained_in_metres_knows_its_shift_before_a_wall() -> None:
    """Samples at one depth say nothing of the shift; the training of the network does."""
    true = (1.0 / np.maximum(ROOM, 2.0)).astype(np.float32)
    v, u = (each.astype(np.float32) for each in np.nonzero(ROOM < 2.0))
    flat = ReferenceSamples(u, v, np.full(u.size, 2.0, np.float32))
    config = AlignmentConfig(trust_polarity=True, max_relative_sigma=10.0)
    known, unknown = (
        ScaleAligner(replace(config, zero_is_infinite=each)).update(true, flat, 0)
        for each in (True, False)
    )
    assert known.covariance is not None and unknown.covariance is not None
    assert known.covariance[1, 1] < 0.2 * unknown.covariance[1, 1]


def test_sky_ties_the_shift_to_zero_and_a_cut_off_far_end_does_not() -> None:
    sky = inverse_depth_stats(degraded(ROAD, seed=1))
    assert sky is not None and sky.sky
    cut = np.maximum(1.0 / ROOM - np.percentile(1.0 / ROOM, 2.0), 0.0).astype(np.float32)
    far_end = inverse_depth_stats(cut)
    assert (cut == 0.0).mean() > 0.015
    assert far_end is not None and not far_end.sky
    whole = inverse_depth_stats((1.0 / ROOM).astype(np.float32))
    assert whole is not None and not whole.sky


def test_depth_that_the_scale_leaves_unsure_is_unknown() -> None:
    """A near reference in a room says nothing of the far wall: no number is better than any."""
    depth = np.tile(np.geomspace(0.5, 50.0, 240, dtype=np.float32)[::-1, None], (1, 320))
    inverse_depth = (1.0 / depth - 0.9 / 50.0).astype(np.float32)
    noise = np.random.default_rng(0).normal(1.0, 0.04, depth.shape).astype(np.float32)
    near = at_rows(depth, slice(205, 240, 4), slice(0, 320, 8))
    found = ScaleAligner().update(inverse_depth * noise, near, 0)
    assert found.accepted
    metric, sigma = found.metric_depth(inverse_depth), found.sigma(inverse_depth)
    assert np.isnan(metric[0]).all()
    assert np.isfinite(metric[-20:]).all()
    config = AlignmentConfig()
    known = np.isfinite(metric)
    assert np.nanmax(metric) < config.max_depth_m
    assert np.median(sigma[known] / metric[known]) < 2.0 * config.max_relative_sigma
