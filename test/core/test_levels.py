"""Levels of 16 bits to 8: what is stretched, what is not, and what stays from image to image."""

from __future__ import annotations

import numpy as np
import pytest
from rig import picture

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.core.normalization import check_image

SCENE = picture(640, 480, seed=1)[..., 0].astype(float) / 255


def between(low: float, high: float) -> np.ndarray:
    return np.round(low + SCENE * (high - low)).astype(np.uint16)


@pytest.mark.parametrize(('low', 'high'), [(7000, 8020), (0, 1023), (0, 4095), (30000, 60000)])
def test_a_small_part_of_the_range_is_stretched_and_said(low: int, high: int) -> None:
    levels = Levels()
    eight = levels.eight_bits(between(low, high))
    assert np.abs(eight - SCENE * 255).max() < 12
    said = [int(word) for word in levels.note.split() if word.isdigit()][:2]
    assert said == pytest.approx([low, high], abs=0.05 * (high - low))


def test_a_wide_image_is_not_stretched() -> None:
    levels = Levels()
    deep = between(2000, 60000)
    np.testing.assert_array_equal(levels.eight_bits(deep), np.round(deep * (255 / 65535)))
    assert levels.note == ''


def test_noise_of_a_covered_lens_is_not_stretched() -> None:
    levels = Levels()
    dark = np.random.default_rng(0).integers(0, 40, (480, 640), np.uint16)
    with pytest.raises(FrameError, match='uncover the lens'):
        check_image(np.dstack([levels.eight_bits(dark)] * 3))
    assert np.ptp(levels.eight_bits(between(0, 1023))) > 250


def test_bounds_stay_until_the_scene_leaves_them() -> None:
    levels = Levels()
    first = levels.eight_bits(between(7000, 8000))
    bounds = levels.bounds
    hot = between(7000, 8000)
    hot[:90] = 20000
    assert (levels.eight_bits(hot)[90:] == first[90:]).all()
    assert levels.bounds == bounds
    levels.eight_bits(between(7400, 8200))
    assert levels.bounds == bounds
    levels.eight_bits(between(9000, 9900))
    assert levels.bounds == pytest.approx((9000, 9900), abs=60)
    levels.eight_bits(between(9300, 9600))
    assert levels.bounds == pytest.approx((9300, 9600), abs=20)


def test_every_colour_of_a_mosaic_counts() -> None:
    mosaic = np.full((512, 512), 100, np.uint16)
    mosaic[1::2, 1::2] = 4000
    levels = Levels()
    levels.eight_bits(mosaic)
    assert levels.bounds == (100, 4000)


def test_alpha_does_not_count() -> None:
    deep = np.dstack([between(100, 900)] * 3 + [np.full(SCENE.shape, 65535, np.uint16)])
    levels = Levels()
    assert np.ptp(levels.eight_bits(deep)[..., :3]) > 250
    assert levels.bounds is not None and levels.bounds[1] < 1000
