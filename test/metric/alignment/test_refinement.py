from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from depth_anything_ros.core.types import FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment import Alignment, AlignmentConfig, ScaleAligner
from depth_anything_ros.metric.alignment.config import KIND_RULES
from lab.claims.alignment_references import Truth, truth
from lab.world.degradation import Degradation, degraded, sampled_reference

SIZE = (640, 480)
SCENES = [truth(family, seed, SIZE) for family in ('room', 'road') for seed in (4, 5)]


def seen(scene: Truth, seed: int = 1) -> FloatImage:
    return degraded(scene.depth_m, seed=seed, objects=scene.objects)


def both(
    inverse_depth: FloatImage,
    samples: ReferenceSamples,
    kind: ReferenceKind = ReferenceKind.POINT_CLOUD,
) -> tuple[Alignment, Alignment]:
    plain, refined = (
        ScaleAligner(AlignmentConfig(kind, refinement=refinement)).update(
            inverse_depth, samples, 0
        )
        for refinement in (False, True)
    )
    return plain, refined


def error(found: Alignment, inverse_depth: FloatImage, true: FloatImage) -> FloatImage:
    """Return |error| / depth, NaN where depth is unknown."""
    with np.errstate(invalid='ignore'):
        return np.asarray(np.abs(found.metric_depth(inverse_depth) / true - 1.0), np.float32)


def samples_where(
    scene: Truth, kept: Callable[[np.ndarray], np.ndarray], count: int = 3000, noise: float = 0.01
) -> ReferenceSamples:
    drawn = sampled_reference(scene.depth_m, count, 2, noise=noise)
    chosen = kept(drawn.depth_m)
    return ReferenceSamples(drawn.u[chosen], drawn.v[chosen], drawn.depth_m[chosen])


def test_beyond_the_depths_that_samples_have_it_makes_nothing_worse() -> None:
    beyond, within = [], []
    for scene in SCENES:
        limit = float(np.percentile(scene.depth_m[np.isfinite(scene.depth_m)], 50))
        samples = samples_where(scene, lambda depth, limit=limit: depth < limit)
        inverse_depth = seen(scene)
        far = np.isfinite(scene.depth_m) & (scene.depth_m > limit)
        near = np.isfinite(scene.depth_m) & ~far
        found = both(inverse_depth, samples, ReferenceKind.DEPTH_IMAGE)
        assert all(each.accepted for each in found)
        of = [error(each, inverse_depth, scene.depth_m) for each in found]
        beyond.append([np.nanmean(each[far]) for each in of])
        within.append([np.nanmean(each[near]) for each in of])
    plain, refined = np.array(beyond).T
    assert (refined < plain + 0.01).all()
    assert refined.mean() < 1.01 * plain.mean()
    plain, refined = np.array(within).T
    assert (refined < 0.5 * plain).all()


@pytest.mark.parametrize('count', [50, 500, 5000])
def test_outliers_side_by_side_make_it_no_worse_than_no_refinement(count: int) -> None:
    errors = []
    for seed, scene in enumerate(SCENES):
        inverse_depth = seen(scene)
        drawn = sampled_reference(scene.depth_m, count, seed, 0.3, clustered=True)
        pair = both(inverse_depth, ReferenceSamples(drawn.u, drawn.v, drawn.depth_m))
        errors.append([np.nanmean(error(each, inverse_depth, scene.depth_m)) for each in pair])
    plain, refined = np.array(errors).T
    assert (refined < 1.02 * plain).all()
    assert refined.mean() < 0.95 * plain.mean()


@pytest.mark.parametrize('noise', [0.03, 0.06, 0.12])
def test_the_noise_of_a_sensor_that_states_none_is_not_followed(noise: float) -> None:
    for scene in SCENES[:2]:
        inverse_depth = degraded(
            scene.depth_m, Degradation(error_sigma=0.02), seed=1, objects=scene.objects
        )
        samples = samples_where(scene, lambda depth: depth > 0.0, 500, noise)
        plain, refined = (
            np.nanmean(error(each, inverse_depth, scene.depth_m))
            for each in both(inverse_depth, samples)
        )
        assert refined < 1.1 * plain + 0.002


def test_sigma_is_larger_where_no_sample_is_near_in_place_or_depth() -> None:
    scene = SCENES[0]
    limit = float(np.percentile(scene.depth_m, 50))
    inverse_depth = seen(scene)
    samples = samples_where(scene, lambda depth: depth < limit)
    _, found = both(inverse_depth, samples, ReferenceKind.DEPTH_IMAGE)
    relative = found.sigma(inverse_depth) / found.metric_depth(inverse_depth)
    near, far = scene.depth_m < 0.9 * limit, scene.depth_m > 1.3 * limit
    assert np.nanmedian(relative[far]) > 1.5 * np.nanmedian(relative[near])


def test_a_sensor_that_states_too_little_noise_hides_no_error() -> None:
    """Sigma follows from the residuals; a stated sigma can only explain a part of them."""
    within = []
    for scene in SCENES:
        inverse_depth = seen(scene)
        drawn = sampled_reference(scene.depth_m, 500, 3, noise=0.03)
        samples = ReferenceSamples(
            drawn.u, drawn.v, drawn.depth_m, np.float32(0.001) * drawn.depth_m
        )
        found = ScaleAligner().update(inverse_depth, samples, 0)
        off = error(found, inverse_depth, scene.depth_m)
        with np.errstate(invalid='ignore'):
            bound = found.sigma(inverse_depth) / scene.depth_m
        known = np.isfinite(off) & np.isfinite(bound)
        within.append(np.mean(off[known] < 2.0 * bound[known]))
    assert np.mean(within) > 0.88


def test_a_sample_that_the_fit_calls_infinitely_far_turns_nothing_off() -> None:
    scene = SCENES[2]
    inverse_depth = seen(scene)
    samples = samples_where(scene, lambda depth: depth > 0.0, 500)
    _, whole = both(inverse_depth, samples)
    # A surface that the network puts beyond infinity: its inverse depth is below 0 by the fit.
    beyond = np.float32(-2.0 * abs(whole.shift) / whole.scale - 0.01)
    inverse_depth[200:240, 300:340] = beyond
    u, v = (np.append(each, np.float32(at)) for each, at in ((samples.u, 320), (samples.v, 220)))
    with_one = ReferenceSamples(u, v, np.append(samples.depth_m, np.float32(20.0)))
    plain, refined = both(inverse_depth, with_one)
    assert plain.scale * beyond + plain.shift < 0.0
    of = [np.nanmean(error(each, inverse_depth, scene.depth_m)) for each in (plain, refined)]
    assert of[1] < 0.6 * of[0]


def test_samples_that_share_an_error_do_not_show_that_of_scale_and_shift() -> None:
    scene = SCENES[2]
    inverse_depth = seen(scene)
    samples = samples_where(scene, lambda depth: depth > 0.0, 100)
    found = {
        kind: ScaleAligner(AlignmentConfig(kind)).update(inverse_depth, samples, 0)
        for kind in (ReferenceKind.POINT_CLOUD, ReferenceKind.ODOMETRY)
    }
    at = {kind: each.sigma(inverse_depth) / scene.depth_m for kind, each in found.items()}
    more = np.sqrt(
        np.square(at[ReferenceKind.ODOMETRY]) - np.square(at[ReferenceKind.POINT_CLOUD])
    )
    far = scene.depth_m > 30.0
    # The flat part is KIND_RULES' `alike`; with the distance the doubt of the shift is added.
    alike = KIND_RULES[ReferenceKind.ODOMETRY].alike
    assert np.nanmedian(more[far]) > 1.5 * alike
