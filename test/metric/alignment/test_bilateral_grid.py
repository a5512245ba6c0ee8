from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.metric.alignment.bilateral_grid import BilateralGrid, doubled

GRID = BilateralGrid((120, 160), 16, -2.0, 0.25, 9)


def plane(level: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.3 * level + 0.01 * u - 0.02 * v


def plane_on(grid: BilateralGrid) -> np.ndarray:
    _, rows, columns = grid.size
    v, u = np.mgrid[:rows, :columns] * float(grid.spacing_px) - 0.5
    return plane(grid.level_of_nodes[:, None, None], u, v)


def test_what_varies_evenly_is_looked_up_exactly() -> None:
    values = plane_on(GRID)
    random = np.random.default_rng(0)
    u, v = random.integers(0, 160, 50), random.integers(0, 120, 50)
    level = random.uniform(-2.0, 0.0, 50)
    assert GRID.place(u, v, level).at(values) == pytest.approx(plane(level, u, v))
    rows, columns = np.mgrid[:120, :160]
    levels = -1.9 + 0.01 * columns
    image = GRID.image(values.astype(np.float32), np.exp(levels).astype(np.float32))
    # Looked up at every other pixel, half a pixel away, and at 1/32 of a node.
    assert image == pytest.approx(plane(levels, columns, rows), abs=0.03)


def test_beyond_the_levels_their_values_hold_and_unknown_is_far() -> None:
    values = np.broadcast_to(np.arange(9.0, dtype=np.float32)[:, None, None], GRID.size)
    for inverse, expected in ((1e3, 8.0), (1e-5, 0.0), (-1.0, 0.0), (np.nan, 0.0), (np.inf, 8.0)):
        image = GRID.image(values, np.full((120, 160), inverse, np.float32))
        assert image == pytest.approx(expected)


def test_a_sample_adds_to_its_own_place_what_it_says() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        u, v = random.integers(0, 160, 1), random.integers(0, 120, 1)
        placed = GRID.place(u, v, random.uniform(-1.7, -0.3, 1))
        assert placed.at(placed.spread(np.ones(1))) == pytest.approx(placed.own)


def test_a_grid_of_half_the_spacing_has_the_same_values() -> None:
    coarse = BilateralGrid((120, 160), 32, -2.0, 0.25, 9)
    finer = doubled(plane_on(coarse) + 0.5 * (0.01 - 0.02), GRID.size)
    assert finer.shape == GRID.size
    assert finer == pytest.approx(plane_on(GRID) + 0.5 * (0.01 - 0.02))


def test_one_level_is_an_image() -> None:
    grid = BilateralGrid((120, 160), 16, 0.0, 1.0, 1)
    values = np.full(grid.size, 3.0, np.float32)
    assert grid.image(values, np.ones((120, 160), np.float32)) == pytest.approx(3.0)
    placed = grid.place(np.array([3]), np.array([5]), np.array([7.0]))
    assert placed.at(values.astype(np.float64)) == pytest.approx(3.0)


def test_an_image_of_another_size_shows_the_same_view() -> None:
    values = plane_on(GRID).astype(np.float32)
    whole = GRID.image(values, np.full((120, 160), np.exp(-1.0), np.float32))
    half = GRID.image(values, np.full((60, 80), np.exp(-1.0), np.float32))
    assert half == pytest.approx(whole.reshape(60, 2, 80, 2).mean(axis=(1, 3)), abs=0.05)
