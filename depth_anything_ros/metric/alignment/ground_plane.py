"""Which samples of a floor show the floor, and what they err by together.

A ground plane is known for every pixel, whatever stands in front of it. Along a floor the
inverse depth rises in proportion to the inverse depth of the plane, at one rate; along a wall it
hardly does, along a table faster.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.metric.alignment.robust_fit import inverse_2x2, middle
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples
from depth_anything_ros.metric.alignment.scale_filter import Bias

__all__ = ['common_error', 'on_ground_plane']

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# A rate is measured to where the plane has risen by that share, within these of the longer side.
_RISE = 0.03
_REACH_LEAST, _REACH_MOST = 1 / 80, 1 / 16
_TRACKS = (-0.4, 0.0, 0.4)
# Less than that share is no rise, as before a camera that looks straight down.
_LEAST_RISE = 0.01
_LEAST_SAMPLES = 12
_ALIKE = np.log(1.35)
"""The network's error differs along the image, and changes the rate by less than that (log)."""
_PLANES = 3
# Nothing lies below the floor: more than that share of samples so far below it (log).
_BELOW, _BELOW_SHARE = 0.3, 0.2


def common_error(samples: GatedSamples) -> Bias:
    """Return what the inverse depths of all samples err by together.

    A wrong height multiplies them all, a tilt of the camera adds to them all: their variance is
    a^2 + b^2 z^2 in shares of the depth z.
    """
    square = np.square(samples.depth_m)
    order = np.argsort(square)
    near, far = order[: order.size // 2 + 1], order[order.size // 2 :]
    (near_m2, near_variance), (far_m2, far_variance) = (
        (middle(square[part]), middle(samples.variance[part])) for part in (near, far)
    )
    added = max(far_variance - near_variance, 0.0) / max(far_m2 - near_m2, 1e-6 * far_m2)
    return Bias(
        factor=float(np.sqrt(max(near_variance - added * near_m2, 0.0))),
        shift=float(np.sqrt(added)),
    )


def on_ground_plane(inverse_depth: FloatImage, samples: GatedSamples) -> Mask:
    """Tell which samples (n,) of a ground plane show it in the inverse depth (H, W).

    They are those with the commonest rate of inverse depth over inverse depth, unless many others
    would then lie below the floor, as under a table: the next commonest is tried. No sample
    where none of the first three will do.
    """
    inverse = 1.0 / samples.depth_m
    gradient = _gradient(samples, inverse)
    per_px, longer = float(np.hypot(*gradient)), max(inverse_depth.shape)
    # So far apart the plane has risen by its whole inverse depth.
    whole_px = middle(inverse) / max(per_px, 1e-12)
    least_px, most_px = _REACH_LEAST * longer, _REACH_MOST * longer
    if most_px < _LEAST_RISE * whole_px:
        return np.ones(samples.count, np.bool_)
    reach_px = min(max(_RISE * whole_px, least_px), most_px)
    rate = _rise_along(inverse_depth, samples, reach_px * gradient / per_px) / (reach_px * per_px)
    left = np.isfinite(rate) & (rate != 0.0)
    size = np.log(np.abs(rate), where=left, out=np.zeros(rate.size))
    for _ in range(_PLANES):
        if np.count_nonzero(left) < _LEAST_SAMPLES:
            break
        plane = left & (np.abs(size - _commonest(size[left])) < _ALIKE)
        middling = middle(rate[plane])
        plane &= rate * middling > 0.0
        shift = middle(inverse[plane] - samples.inverse_depth[plane] / middling)
        ratio = (samples.inverse_depth / middling + shift) * samples.depth_m
        if np.mean(ratio < np.exp(-_BELOW)) < _BELOW_SHARE:
            return np.asarray(plane)
        left &= ~plane
    return np.zeros(samples.count, np.bool_)


def _gradient(samples: GatedSamples, inverse: Floats) -> Floats:
    """Return the gradient (2,) of the inverse depth (n,) over u and v, by least squares."""
    place = np.stack([samples.u - samples.u.mean(), samples.v - samples.v.mean()])
    # Half a pixel of spread keeps a single row or column of samples solvable.
    spread = place @ place.T + 0.25 * samples.count * np.eye(2)
    return np.asarray(inverse_2x2(spread) @ (place @ (inverse - inverse.mean())))


def _rise_along(inverse_depth: FloatImage, samples: GatedSamples, way: Floats) -> Floats:
    """Return half the change of inverse depth (n,) from `way` (2,) pixels behind to as far ahead.

    NaN where it is unknown.
    """
    height, width = inverse_depth.shape
    change = np.zeros(samples.count)
    for beside in _TRACKS:
        for ahead in (1.0, -1.0):
            u = np.rint(samples.u + ahead * way[0] - beside * way[1]).astype(np.int64)
            v = np.rint(samples.v + ahead * way[1] + beside * way[0]).astype(np.int64)
            inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
            there = inverse_depth[np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)]
            change += ahead * np.where(inside & (there != 0.0), there, np.nan)
    return change / (2.0 * len(_TRACKS))


def _commonest(values: Floats) -> float:
    """Return the middle of those values that have the most others within `_ALIKE`."""
    ordered = np.sort(values)
    around = np.searchsorted(ordered, ordered + _ALIKE) - np.searchsorted(
        ordered, ordered - _ALIKE
    )
    best = ordered[int(np.argmax(around))]
    return middle(ordered[np.abs(ordered - best) < _ALIKE])
