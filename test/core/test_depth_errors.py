from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from depth_anything_ros.core.depth_errors import (
    cloud_figures,
    metric_figures,
    relative_figures,
    scan_figures,
    sigma_figures,
)

Array = np.ndarray[Any, Any]
NAN = np.nan


def image(values: Any) -> Array:
    return np.atleast_2d(np.asarray(values, np.float32))


def random(seed: int, shape: tuple[int, ...] = (48, 64)) -> Array:
    return np.random.default_rng(seed).uniform(1.0, 9.0, shape).astype(np.float32)


def spearman(first: Array, second: Array) -> float:
    """Pearson's correlation of ranks, each the mean of the places that equal values may have."""
    ranks = []
    for values in (first.ravel(), second.ravel()):
        ascending = np.sort(values)
        low, high = (np.searchsorted(ascending, values, side) for side in ('left', 'right'))
        ranks.append((low + high) / 2)
    return float(np.corrcoef(*ranks)[0, 1])


def test_metric_figures_are_those_of_the_literature() -> None:
    figures = metric_figures(image([1.0, 2.0, 4.0, 5.0]), image([1.1, 2.0, 3.0, 7.0]))
    assert figures['abs_rel'] == pytest.approx((0.1 + 0.0 + 0.25 + 0.4) / 4)
    assert figures['rmse_m'] == pytest.approx(np.sqrt((0.01 + 1.0 + 4.0) / 4))
    # 4 / 3 and 7 / 5 are beyond 1.25, either way.
    assert figures['delta1'] == 0.5
    assert figures['coverage'] == 1.0


def test_unknown_pixels_count_as_coverage_only() -> None:
    figures = metric_figures(image([1.0, 2.0, NAN, NAN]), image([1.0, NAN, 3.0, NAN]))
    assert figures['coverage'] == pytest.approx(1 / 3)
    assert figures['abs_rel'] == 0.0
    apart = metric_figures(image([1.0, NAN]), image([NAN, 1.0]))
    assert apart == {'coverage': 0.0}
    assert metric_figures(image([NAN, NAN]), image([NAN, np.inf])) == {'coverage': 1.0}


def test_sigma_is_compared_by_itself() -> None:
    figures = sigma_figures(image([0.1, 0.2, NAN]), image([0.2, 0.1, 0.3]))
    assert figures == {'coverage': pytest.approx(2 / 3), 'sigma_rel': pytest.approx(0.75)}
    assert sigma_figures(image([NAN]), image([1.0])) == {'coverage': 0.0}


def test_beams_are_compared_where_finite_and_in_kind_elsewhere() -> None:
    def beams(*values: float) -> Array:
        return np.array(values, np.float32)

    inf = np.inf
    figures = scan_figures(
        beams(2.0, 4.0, inf, inf, NAN, NAN, -inf, 1.0),
        beams(2.2, 4.0, inf, -inf, NAN, inf, -inf, NAN),
    )
    assert figures['abs_rel'] == pytest.approx(0.05)
    assert figures['rmse_m'] == pytest.approx(np.sqrt(0.04 / 2))
    assert figures['delta1'] == 1.0
    assert figures['coverage'] == 5 / 8
    assert scan_figures(beams(0.0, inf), beams(0.0, inf)) == {'coverage': 1.0}


@pytest.mark.parametrize(('scale', 'shift'), [(1.0, 0.0), (0.01, 5.0), (300.0, -20.0)])
def test_relative_figures_know_neither_scale_nor_shift(scale: float, shift: float) -> None:
    inverse_depth = random(0)
    figures = relative_figures(inverse_depth, (scale * inverse_depth + shift).astype(np.float32))
    assert figures['ssi_error'] < 1e-3
    assert figures['rank_correlation'] == pytest.approx(1.0, abs=1e-4)


def test_the_error_is_what_least_squares_leaves() -> None:
    inverse_depth, other = random(1), random(1) + 0.5 * random(2)
    design = np.stack([other.ravel(), np.ones(other.size)], axis=1).astype(float)
    given = inverse_depth.ravel().astype(float)
    fit, *_ = np.linalg.lstsq(design, given, rcond=None)
    rest = np.sqrt(np.mean((design @ fit - given) ** 2)) / given.std()
    assert relative_figures(inverse_depth, other)['ssi_error'] == pytest.approx(rest, rel=1e-6)


def test_upside_down_is_as_wrong_as_unrelated() -> None:
    inverse_depth = random(3)
    figures = relative_figures(inverse_depth, -inverse_depth)
    assert figures['ssi_error'] == 1.0
    assert figures['rank_correlation'] == pytest.approx(-1.0)
    assert relative_figures(inverse_depth, random(4))['ssi_error'] > 0.99
    constant = relative_figures(inverse_depth, np.ones_like(inverse_depth))
    assert (constant['ssi_error'], constant['rank_correlation']) == (1.0, 0.0)
    both = relative_figures(np.zeros_like(inverse_depth), np.ones_like(inverse_depth))
    assert (both['ssi_error'], both['rank_correlation']) == (0.0, 1.0)


def test_ranks_share_ties_and_ignore_a_monotonous_curve() -> None:
    first = np.round(random(5), 0)
    second = np.round(first + random(6), 0)
    expected = spearman(first, second)
    assert relative_figures(first, second)['rank_correlation'] == pytest.approx(expected)
    figures = relative_figures(random(7), random(7) ** 9)
    assert figures['rank_correlation'] == pytest.approx(1.0)
    assert figures['ssi_error'] > 0.3


def test_large_images_are_ranked_by_a_part() -> None:
    first = random(8, (400, 500))
    second = first + random(9, (400, 500))
    expected = spearman(first, second)
    assert relative_figures(first, second)['rank_correlation'] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize('sizes', [(1, 1), (2, 7), (9, 3), (500, 5000)])
def test_clouds_are_as_far_as_their_nearest_points(sizes: tuple[int, int]) -> None:
    first, second = random(10, (sizes[0], 3)), random(11, (sizes[1], 3))
    apart = np.linalg.norm(first[:, None].astype(float) - second, axis=-1)
    ways = apart.min(axis=0).mean(), apart.min(axis=1).mean()
    figures = cloud_figures(first, second)
    # Of 5000 points every second is asked for.
    assert figures['cloud_m'] == pytest.approx(np.mean(ways), rel=0.02)
    assert figures['coverage'] == min(sizes) / max(sizes)
    ranges = np.linalg.norm(first.astype(float), axis=1)
    assert figures['cloud_rel'] == pytest.approx(figures['cloud_m'] / ranges.mean())


def test_clouds_may_have_holes_or_nothing() -> None:
    first = random(12, (300, 3))
    holed = first.copy()
    holed[::3, 1] = NAN
    same = {'coverage': 1.0, 'cloud_m': 0.0, 'cloud_rel': 0.0}
    assert cloud_figures(first, first) == same
    origin = np.zeros((3, 3), np.float32)
    assert cloud_figures(origin, origin) == same
    figures = cloud_figures(holed, first[::-1])
    assert figures['coverage'] == pytest.approx(2 / 3)
    assert 0.0 < figures['cloud_m'] < 1.0
    none = np.full((4, 3), NAN, np.float32)
    assert cloud_figures(none, first) == {'coverage': 0.0}
    assert cloud_figures(none, none[:0]) == {'coverage': 1.0}
