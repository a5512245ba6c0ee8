from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.metric.alignment.texture import texture_variance

FAR_M = 80.0
SHAPE = (48, 64)


def sigma(depth: FloatImage) -> FloatImage:
    return np.sqrt(texture_variance(depth, FAR_M))


def test_a_plane_has_no_texture() -> None:
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    plane = (0.05 + 0.002 * column + 0.004 * row).astype(np.float32)
    # 6 px: as far as the border of the image is felt.
    assert float(sigma(1.0 / plane)[6:-6, 6:-6].max()) < 1e-5


def test_the_blur_of_an_edge_is_told_on_both_sides() -> None:
    true = np.broadcast_to(np.where(np.arange(SHAPE[1]) < 32, 0.5, 0.125), SHAPE)
    blurred = cv2.GaussianBlur(true, (0, 0), 1.5).astype(np.float32)
    error = np.abs(np.log(blurred / true))[24]
    told = sigma(1.0 / blurred)[24]
    # Beside the edge the depth is wrong by a factor of two.
    assert float(error.max()) > 0.7
    assert (error < 2.5 * told + 1e-6).all()
    # Where the error is under a tenth of a percent, little is said of it.
    assert float(told[error < 1e-5].max()) < 0.01


def test_a_pixel_that_stands_out_is_in_doubt() -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal(SHAPE)
    told = sigma((4.0 * np.exp(noise)).astype(np.float32))
    assert 0.009 < float(np.sqrt(np.mean(np.square(told)))) < 0.011
    assert float(np.corrcoef(told.ravel(), np.abs(noise).ravel())[0, 1]) > 0.9


def test_beside_the_unknown_lies_an_edge() -> None:
    depth = np.full(SHAPE, 4.0, np.float32)
    depth[:, 40:] = np.nan
    told = sigma(depth)[24]
    assert float(told[39]) > 0.3
    assert float(told[:32].max()) < 1e-5


def test_it_is_the_same_wherever_its_arrays_lie_in_memory() -> None:
    random = np.random.default_rng(1)
    depth = (1.0 / random.normal(0.1, 0.01, (120, 160))).astype(np.float32)
    told = sigma(depth)
    for _ in range(200):
        others = [np.empty(random.integers(1000, 400_000), np.uint8) for _ in range(3)]
        assert (sigma(depth) == told).all(), len(others)
