from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.core.types import FloatImage
from lab.world.degradation import Degradation, degraded, sampled_reference
from lab.world.geometry import Array
from lab.world.world import World

CLEAN = Degradation(bias_sigma=0.0, blur_px=0.0, noise_sigma=0.0)


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


def test_the_oracle_is_left_with_the_error_of_the_real_network() -> None:
    errors = []
    for seed in range(12):
        depth = true_depth('room', seed)
        estimate, truth = fitted(degraded(depth, seed=seed), depth)
        errors.append(float(np.mean(np.abs(estimate - truth) / truth)))
    # alignment.md: .052 with sigma_b = .06, Depth Anything V2's own figure on NYU.
    assert 0.035 < np.mean(errors) < 0.07


def test_output_is_not_negative_grows_towards_the_viewer_and_is_zero_in_the_sky() -> None:
    depth = true_depth('road')
    inverse_depth = degraded(depth, seed=1)
    assert inverse_depth.dtype == np.float32
    assert inverse_depth.min() == 0.0
    assert (inverse_depth[np.isinf(depth)] == 0.0).all()
    known = np.isfinite(depth)
    assert np.corrcoef(inverse_depth[known], 1.0 / depth[known])[0, 1] > 0.95


def test_frames_jitter_and_seeds_differ() -> None:
    depth = true_depth('room')
    shaky = Degradation(jitter_sigma=0.05)
    first, again, next_one = (degraded(depth, shaky, 0, frame) for frame in (0, 0, 1))
    assert np.array_equal(first, again)
    ratio = float(np.median(next_one / first))
    assert abs(ratio - 1.0) > 1e-3
    assert not np.array_equal(degraded(depth, seed=1), degraded(depth, seed=2))


def test_gamma_is_a_bias_no_affine_fit_undoes() -> None:
    depth = true_depth('room')
    bent = Degradation(bias_sigma=0.0, blur_px=0.0, noise_sigma=0.0, gamma=2.0)
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
