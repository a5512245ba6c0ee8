"""Which samples of a ground plane show the ground, and the error that they share.

A ground plane is known for every pixel, whatever stands in front of it. Along the ground the
network's inverse depth rises in proportion to the inverse depth of the plane, at one rate; along
a wall it hardly does, along a table faster.
"""

from __future__ import annotations

import numpy as np

from depth_anything_ros.core.types import FloatImage, Floats, Mask
from depth_anything_ros.metric.alignment.robust_fit import inverse_2x2, upper_median
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples
from depth_anything_ros.metric.alignment.scale_filter import Bias

__all__ = ['on_ground_plane', 'shared_error']


# A rate is measured over the distance in which 1 / z of the plane rises by this share, within
# these bounds in longer sides of the image.
_RISE = 0.03
_MIN_REACH, _MAX_REACH = 1 / 80, 1 / 16
_TRACKS = (-0.4, 0.0, 0.4)
# Least rise within the greatest distance; less, as for a camera that looks straight down.
_MIN_RISE = 0.01
_MIN_SAMPLES = 12
_RATE_TOLERANCE = np.log(1.35)
"""The network's error varies along the image and changes the rate by less than this (log)."""
_PLANES = 3
# Nothing lies below the ground: no more than this share of samples may lie this far (log) below.
_BELOW, _BELOW_SHARE = 0.3, 0.2


def shared_error(samples: GatedSamples) -> Bias:
    """Return the standard deviations of the error that all samples share.

    A wrong height multiplies their inverse depths, a tilt of the camera adds to them: the
    relative variance is a^2 + b^2 z^2 at depth z.
    """
    square = np.square(samples.depth_m)
    order = np.argsort(square)
    near, far = order[: order.size // 2 + 1], order[order.size // 2 :]
    (near_m2, near_variance), (far_m2, far_variance) = (
        (upper_median(square[part]), upper_median(samples.variance[part])) for part in (near, far)
    )
    added = max(far_variance - near_variance, 0.0) / max(far_m2 - near_m2, 1e-6 * far_m2)
    return Bias(
        factor=float(np.sqrt(max(near_variance - added * near_m2, 0.0))),
        shift=float(np.sqrt(added)),
    )


def on_ground_plane(inverse_depth: FloatImage, samples: GatedSamples) -> Mask:
    """Return which samples (n,) of a ground plane show it in the inverse depth (H, W).

    They are those with the most common rate, the rise of the network's inverse depth over that
    of the plane, unless many others would then lie below the ground, as under a table: then the
    next most common rate is tried, three at most.
    """
    inverse = 1.0 / samples.depth_m
    gradient = _gradient(samples, inverse)
    per_px, longer = float(np.hypot(*gradient)), max(inverse_depth.shape)
    # Distance in which 1 / z of the plane doubles.
    whole_px = upper_median(inverse) / max(per_px, 1e-12)
    least_px, most_px = _MIN_REACH * longer, _MAX_REACH * longer
    if most_px < _MIN_RISE * whole_px:
        return np.ones(samples.count, np.bool_)
    reach_px = min(max(_RISE * whole_px, least_px), most_px)
    rate = _rise_along(inverse_depth, samples, reach_px * gradient / per_px) / (reach_px * per_px)
    left = np.isfinite(rate) & (rate != 0.0)
    size = np.log(np.abs(rate), where=left, out=np.zeros(rate.size))
    for _ in range(_PLANES):
        if np.count_nonzero(left) < _MIN_SAMPLES:
            break
        plane = left & (np.abs(size - _most_common(size[left])) < _RATE_TOLERANCE)
        rate_there = upper_median(rate[plane])
        plane &= rate * rate_there > 0.0
        shift = upper_median(inverse[plane] - samples.inverse_depth[plane] / rate_there)
        ratio = (samples.inverse_depth / rate_there + shift) * samples.depth_m
        if np.mean(ratio < np.exp(-_BELOW)) < _BELOW_SHARE:
            return np.asarray(plane)
        left &= ~plane
    return np.zeros(samples.count, np.bool_)


def _gradient(samples: GatedSamples, inverse: Floats) -> Floats:
    """Return the gradient (2,) of the inverse depth (n,) over u and v, by least squares."""
    place = np.stack([samples.u - samples.u.mean(), samples.v - samples.v.mean()])
    # Half a pixel of added spread keeps a single row or column of samples solvable.
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


def _most_common(values: Floats) -> float:
    """Return the median of the values around the one with the most others in tolerance."""
    ordered = np.sort(values)
    around = np.searchsorted(ordered, ordered + _RATE_TOLERANCE) - np.searchsorted(
        ordered, ordered - _RATE_TOLERANCE
    )
    best = ordered[int(np.argmax(around))]
    return upper_median(ordered[np.abs(ordered - best) < _RATE_TOLERANCE])
