"""The temporal alignment error: 0 for depth that moves as the camera did."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depth_anything_ros.core.flicker import scale_jitter_percent, temporal_alignment_error
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.types import Camera

CAMERA = Camera.from_intrinsics(120, 120, 79.5, 59.5, 160, 120)
WALL = np.full((120, 160), 4.0, np.float32)
FORWARD = Transform(np.eye(3), np.array([0.0, 0.0, -0.5]))


def test_depth_that_moves_as_the_camera_has_none() -> None:
    assert temporal_alignment_error(WALL, WALL - 0.5, FORWARD, CAMERA) == pytest.approx(
        0, abs=1e-6
    )
    # Without the motion half a metre of 3.5 and of 4 m is an error.
    still = temporal_alignment_error(WALL, WALL - np.float32(0.5), IDENTITY, CAMERA)
    assert still == pytest.approx(0.5 * (0.5 / 3.5 + 0.5 / 4.0), rel=1e-4)


def test_unknown_depth_is_left_out_and_nothing_in_common_is_nan() -> None:
    holes = WALL.copy()
    holes[:60] = np.nan
    assert temporal_alignment_error(holes, WALL, IDENTITY, CAMERA) == pytest.approx(0, abs=1e-6)
    turned = Transform(np.diag([-1.0, 1.0, -1.0]), np.zeros(3))
    assert math.isnan(temporal_alignment_error(WALL, WALL, turned, CAMERA))


def test_scale_jitter_is_that_of_the_steps() -> None:
    assert scale_jitter_percent([1.0, 1.1, 1.21, 1.331]) == pytest.approx(0.0, abs=1e-9)
    assert scale_jitter_percent([1.0, 1.02, 1.0, 1.02, 1.0]) == pytest.approx(1.98, rel=0.01)
    assert math.isnan(scale_jitter_percent([1.0, math.nan, 2.0]))
