"""Odometry's metres against a known height of the camera: slip and a wrong scale show there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import Camera, FloatImage, ReferenceKind
from depth_anything_ros.metric.alignment import Alignment, AlignmentConfig
from depth_anything_ros.metric.alignment.ground_plane import on_ground_plane
from depth_anything_ros.metric.alignment.robust_fit import upper_median
from depth_anything_ros.metric.alignment.sample_gate import cell_px, gate, inverse_depth_stats
from depth_anything_ros.metric.samples import Gate, samples_from_ground
from depth_anything_ros.metric.scale import reason_text

__all__ = ['check_camera_height']

# |log| between the ground's depth by odometry and by the height of the camera.
_MOST_APART = 0.15
# Ground whose depth follows from the height within this relative sigma, and least samples of it.
_SURE, _LEAST_SAMPLES = 0.08, 12


def check_camera_height(
    inverse_depth: FloatImage,
    alignment: Alignment,
    camera: Camera,
    height_m: float,
    up: npt.NDArray[np.float64],
) -> None:
    """Raise FrameError('height_disagrees') where the ground is not `height_m` below the camera.

    `inverse_depth` (H, W) as `alignment` and `camera` describe it; `up` (3,) is the unit vector
    away from the ground in the optical frame. Where no ground is seen nothing is known.
    """
    stats = inverse_depth_stats(inverse_depth)
    if stats is None:
        return
    config = AlignmentConfig(
        ReferenceKind.GROUND_PLANE,
        min_depth_m=alignment.min_depth_m,
        max_depth_m=max(alignment.max_depth_m, 2.0 * alignment.min_depth_m),
    )
    limits = Gate(config.min_depth_m, config.max_depth_m)
    stride = cell_px((camera.height, camera.width))
    ground = samples_from_ground(height_m, up, camera, limits, stride)
    samples = gate(inverse_depth, ground, stats, config)
    if samples.count < _LEAST_SAMPLES:
        return
    samples = samples.chosen(on_ground_plane(inverse_depth, samples))
    samples = samples.chosen(samples.variance < _SURE**2)
    if samples.count < _LEAST_SAMPLES:
        return
    inverse = alignment.scale * samples.inverse_depth + alignment.shift
    apart = upper_median(np.log(np.maximum(inverse, 1e-6) * samples.depth_m))
    if abs(apart) > _MOST_APART:
        raise FrameError('height_disagrees', reason_text('height_disagrees'))
