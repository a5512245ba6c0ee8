"""Colour tables against matplotlib's, and how they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.core.colormaps import COLORMAPS, NAN_BGR, colorize
from depth_anything_ros.core.types import COLORMAP_NAMES

# round(255 * colour) of matplotlib 3.11 at rows 0, 64, 128, 192, 255, as blue, green, red.
ROWS = (0, 64, 128, 192, 255)
MATPLOTLIB = {
    'spectral_r': ((162, 79, 94), (164, 208, 137), (190, 254, 255), (81, 140, 248), (66, 1, 158)),
    'viridis': ((84, 1, 68), (139, 82, 59), (140, 145, 33), (98, 201, 94), (37, 231, 253)),
    'plasma': ((135, 8, 13), (168, 3, 126), (120, 71, 204), (64, 149, 248), (33, 249, 240)),
    'magma': ((4, 0, 0), (124, 18, 81), (121, 55, 183), (97, 137, 252), (191, 253, 252)),
    'inferno': ((4, 0, 0), (110, 16, 87), (84, 55, 188), (9, 142, 249), (164, 255, 252)),
    'turbo': ((59, 18, 48), (235, 188, 40), (60, 252, 164), (33, 126, 251), (3, 4, 122)),
    'jet': ((128, 0, 0), (255, 128, 0), (122, 255, 125), (0, 148, 255), (0, 0, 128)),
    'gray': ((0, 0, 0), (64, 64, 64), (128, 128, 128), (192, 192, 192), (255, 255, 255)),
}


def difference(table: np.ndarray, other: np.ndarray) -> int:
    """Return the greatest difference in levels."""
    return int(np.abs(table.astype(int) - other.astype(int)).max())


def test_every_map_is_there() -> None:
    assert tuple(COLORMAPS) == COLORMAP_NAMES
    assert set(COLORMAPS) == set(MATPLOTLIB)


@pytest.mark.parametrize('name', COLORMAPS)
def test_tables_are_matplotlibs_to_one_level(name: str) -> None:
    table = COLORMAPS[name]
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    assert not table.flags.writeable
    assert difference(table[list(ROWS)], np.array(MATPLOTLIB[name])) <= 1


@pytest.mark.parametrize('name', COLORMAPS)
def test_every_row_is_matplotlibs_to_one_level(name: str) -> None:
    matplotlib = pytest.importorskip('matplotlib')
    theirs = matplotlib.colormaps['Spectral_r' if name == 'spectral_r' else name]
    rgb = theirs(np.arange(256), bytes=True)[:, :3]
    assert difference(COLORMAPS[name], rgb[:, ::-1]) <= 1


def test_jet_is_dark_red_near_and_dark_blue_far() -> None:
    near = colorize(np.ones((1, 1), np.float32), COLORMAPS['jet'])
    far = colorize(np.zeros((1, 1), np.float32), COLORMAPS['jet'])
    assert tuple(near[0, 0]) == (0, 0, 128)
    assert tuple(far[0, 0]) == (128, 0, 0)


@pytest.mark.parametrize('name', COLORMAPS)
def test_each_level_gets_its_row(name: str) -> None:
    levels = (np.arange(256, dtype=np.float32) / 255.0).reshape(16, 16)
    picture = colorize(levels, COLORMAPS[name])
    np.testing.assert_array_equal(picture.reshape(256, 3), COLORMAPS[name])


def test_values_beyond_are_clipped() -> None:
    values = np.array([[-np.inf, -0.5, 1.5, np.inf]], np.float32)
    table = COLORMAPS['viridis']
    np.testing.assert_array_equal(colorize(values, table)[0], table[[0, 0, 255, 255]])


@pytest.mark.parametrize('name', COLORMAPS)
def test_nan_has_a_colour_of_its_own(name: str) -> None:
    values = np.full((8, 9), 0.5, np.float32)
    values[2, 3] = np.nan
    picture = colorize(values, COLORMAPS[name])
    assert tuple(picture[2, 3]) == NAN_BGR
    assert (picture == COLORMAPS[name][128]).all(axis=2).sum() == values.size - 1
    # Plasma comes nearest, 98 levels away in one channel: an eye tells them apart.
    apart = np.abs(COLORMAPS[name].astype(int) - NAN_BGR).max(axis=1)
    assert apart.min() > 90


def test_the_input_is_not_written() -> None:
    values = np.random.default_rng(0).random((6, 7), np.float32)
    before = values.copy()
    colorize(values, COLORMAPS['turbo'])
    np.testing.assert_array_equal(values, before)


def test_a_view_that_is_not_contiguous_is_drawn() -> None:
    values = np.random.default_rng(0).random((12, 14), np.float32)[::2, ::-2]
    np.testing.assert_array_equal(
        colorize(values, COLORMAPS['turbo']), colorize(values.copy(), COLORMAPS['turbo'])
    )


@pytest.mark.parametrize('shape', [(1, 1), (4, 1), (1, 4), (3, 5)])
def test_nan_alone_at_any_size(shape: tuple[int, int]) -> None:
    # OpenCV tells a scalar from an image by its shape: none of these may be taken for one.
    picture = colorize(np.full(shape, np.nan, np.float32), COLORMAPS['gray'])
    np.testing.assert_array_equal(picture, np.full((*shape, 3), NAN_BGR))
