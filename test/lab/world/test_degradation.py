from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.core.types import FloatImage
from lab.world.degradation import Degradation, degraded, sampled_reference
from lab.world.geometry import Array
from lab.world.world import World

CLEAN = Degradation(error_sigma=0.0, blur_px=0.0, noise_sigma=0.0)


def true_depth(family: str, seed: int = 0) -> FloatImage:
    return World(family, seed, size=(320, 240)).picture(1.0)[1]


def fitted(inverse_depth: FloatImage, depth: FloatImage) -> tuple[Array, Array]:
    known = np.isfinite(depth)
    q, z = inverse_depth[known].astype(float), depth[known].astype(float)
    design = np.stack([q, np.ones_like(q)], axis=1)
    # Relative weights: the fit then aims at what AbsRel measures.
    scale, shift = np.linalg.lstsq(design * z[:, None], np.ones_like(z), rcond=None)[0]
    return 1.0 / (scale * q + shift), z


@pytest.mark.parametrize('family', ['room', 'road'])
def test_without_errors_an_affine_fit_gives_back_the_depth(family: str) -> None:
    depth = true_depth(family)
    estimate, truth = fitted(degraded(depth, CLEAN, seed=3), depth)
    near = truth < 40.0
    assert np.allclose(estimate[near], truth[near], rtol=2e-3)


def without_errors(family: str, seed: int) -> tuple[float, float]:
    """Return the shift as share of the far end's inverse depth, and the share of zeros."""
    depth = true_depth(family)
    inverse_depth = degraded(depth, CLEAN, seed)
    positive = inverse_depth > 0.0
    _, shift = np.polyfit(inverse_depth[positive], 1.0 / depth[positive], 1)
    far = np.percentile(1.0 / depth[np.isfinite(depth)], 1.0)
    return shift / far, float(np.mean(~positive & np.isfinite(depth)))


def test_without_sky_the_output_is_zero_anywhere_up_to_the_far_end() -> None:
    shifts, zeros = np.array([without_errors('room', seed) for seed in range(40)]).T
    cut_off = zeros > 0.0
    assert shifts[~cut_off].min() < -0.1
    assert 0.8 < shifts[~cut_off].max() < 1.0
    assert 0.1 < cut_off.mean() < 0.4
    assert zeros.max() <= 0.02
    assert shifts[cut_off].min() > 0.9


def test_under_a_sky_the_output_is_zero_near_infinity() -> None:
    shifts, _ = np.array([without_errors('road', seed) for seed in range(40)]).T
    assert shifts.min() < -0.3
    assert shifts.max() > 0.3
    assert np.abs(shifts).max() < 0.46


def test_a_numbered_object_keeps_its_error_wherever_it_goes() -> None:
    depth = np.full((60, 80), 2.0, np.float32)
    depth[:2] = 20.0
    alone, here, there = np.zeros((3, 60, 80), np.int16)
    here[10:30, 10:30] = there[35:55, 50:70] = 7
    there[10:20, 10:20] = 3
    how = Degradation(blur_px=0.0, noise_sigma=0.0)
    seen = set()
    for seed in range(8):
        without = degraded(depth, how, seed, objects=alone)
        nearer = [
            (degraded(depth, how, seed, objects=each) > without)[each == 7]
            for each in (here, there)
        ]
        seen.add(float(np.concatenate(nearer).mean()))
    assert seen == {0.0, 1.0}


def test_a_surface_keeps_its_error_while_the_camera_moves() -> None:
    how = Degradation(blur_px=0.0, noise_sigma=0.0)
    world = World('room', 2, size=(320, 240))
    before, after = (world.picture(time_s)[1] for time_s in (1.0, 1.1))
    relative = [degraded(depth, how, 2) * depth for depth in (before, after)]
    assert np.corrcoef(relative[0].ravel(), relative[1].ravel())[0, 1] > 0.9


def test_output_is_not_negative_grows_towards_the_viewer_and_is_zero_in_the_sky() -> None:
    depth = true_depth('road')
    inverse_depth = degraded(depth, seed=1)
    assert inverse_depth.dtype == np.float32
    assert inverse_depth.min() == 0.0
    assert (inverse_depth[np.isinf(depth)] == 0.0).all()
    known = np.isfinite(depth)
    assert np.corrcoef(inverse_depth[known], 1.0 / depth[known])[0, 1] > 0.95


def test_a_bare_wall_and_an_empty_sky_have_an_output() -> None:
    wall = degraded(np.full((24, 32), 2.0, np.float32), seed=2)
    assert wall.min() > 0.0
    assert np.isfinite(wall).all()
    assert (degraded(np.full((24, 32), np.inf, np.float32)) == 0.0).all()


def test_frames_jitter_and_seeds_differ() -> None:
    depth = true_depth('room')
    shaky = Degradation(jitter_sigma=0.05)
    first, again, next_one = (degraded(depth, shaky, 0, frame) for frame in (0, 0, 1))
    assert np.array_equal(first, again)
    ratio = float(np.median(next_one / first))
    assert abs(ratio - 1.0) > 1e-3
    assert not np.array_equal(degraded(depth, seed=1), degraded(depth, seed=2))
    assert not np.array_equal(degraded(depth, frame=1), degraded(depth, frame=2))


def test_gamma_is_a_bias_no_affine_fit_undoes() -> None:
    depth = true_depth('room')
    bent = Degradation(error_sigma=0.0, blur_px=0.0, noise_sigma=0.0, gamma=2.0)
    estimate, truth = fitted(degraded(depth, bent), depth)
    assert np.mean(np.abs(estimate - truth) / truth) > 0.02


def test_reference_has_the_noise_and_outliers_asked_for() -> None:
    depth = true_depth('room')
    drawn = sampled_reference(depth, 5000, seed=0, outliers=0.3, noise=0.01)
    truth = depth[drawn.v.astype(int), drawn.u.astype(int)]
    ratio = drawn.depth_m / truth
    assert drawn.outlier.mean() == pytest.approx(0.3, abs=1e-3)
    assert np.std(ratio[~drawn.outlier]) == pytest.approx(0.01, rel=0.05)
    assert (np.abs(ratio[drawn.outlier] - 1.0) > 0.25).all()
    spots = set(zip(drawn.u.tolist(), drawn.v.tolist(), strict=True))
    assert len(spots) == 5000


def test_clustered_outliers_lie_together() -> None:
    depth = true_depth('room')
    drawn = sampled_reference(depth, 1000, seed=0, outliers=0.2, clustered=True)
    assert drawn.outlier.sum() == 200
    assert np.std(drawn.u[drawn.outlier]) < 0.7 * np.std(drawn.u)


def test_more_samples_than_pixels_gives_every_pixel() -> None:
    depth = np.full((4, 5), 2.0, np.float32)
    depth[0, 0] = np.inf
    assert sampled_reference(depth, 100, seed=0).u.size == 19
