"""Flicker: how much depth of what holds still changes from frame to frame.

It is the median |ln ratio| of the inverse depths of two neighbouring frames after the best affine
map from one to the other, on pixels that hardly move. 0.01 means that still surfaces jump by 1 %.
Frames are compared at 160 pixels on the long side, whatever their size. Of metric depth there are
scale jitter, and the temporal alignment error (TAE): does it move as the camera did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from depth_anything_ros.core.geometry.projection import pixels_from_directions, rays_of
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage

__all__ = ['Look', 'alignment_error', 'flicker', 'look_of', 'scale_jitter']

_LONG_SIDE = 160
# Of 255: less change is noise of the camera and of its encoder.
_STILL = 2.0
_LEAST_STILL = 0.05
# Of the 98th percentile: below, an inverse depth without a known shift has no ratio.
_LEAST_NEARNESS = 0.05
_FITS = 3
# In median residuals: beyond, a pixel has moved although its colour has not.
_OUTLIER = 4.0
# For TAE a quarter of the pixels either way says the same, in a sixteenth of the time.
_STRIDE = 4


@dataclass(frozen=True)
class Look:
    """A frame at the size of comparison: uint8 (h, w, 3) BGR and inverse depth (h, w)."""

    bgr: BgrImage
    inverse_depth: FloatImage


def look_of(bgr: BgrImage, inverse_depth: FloatImage) -> Look:
    """Return what of a frame is compared with its neighbours; the two may differ in size."""
    height, width = bgr.shape[:2]
    scale = min(1.0, _LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    depth = cv2.resize(inverse_depth, size, interpolation=cv2.INTER_AREA)
    return Look(np.asarray(small, np.uint8), np.asarray(depth, np.float32))


def flicker(before: Look, now: Look) -> float:
    """Return the flicker between two neighbouring frames; NaN where too little holds still."""
    if before.bgr.shape != now.bgr.shape:
        return float('nan')
    still = cv2.absdiff(before.bgr, now.bgr).max(axis=2) <= _STILL
    least_px = max(2.0, _LEAST_STILL * still.size)
    x, y = before.inverse_depth[still], now.inverse_depth[still]
    used = np.isfinite(x) & np.isfinite(y)
    x, y = x[used].astype(np.float64), y[used].astype(np.float64)
    kept = np.ones(x.size, bool)
    mapped = x
    for _ in range(_FITS):
        if kept.sum() < least_px or np.ptp(x[kept]) <= 0.0:
            return float('nan')
        centred = x[kept] - x[kept].mean()
        # A product by BLAS takes every core, and on a busy machine ten times as long.
        gain = float(np.sum(centred * y[kept]) / np.sum(centred * centred))
        mapped = gain * (x - x[kept].mean()) + y[kept].mean()
        error = np.abs(mapped - y)
        kept = error <= _OUTLIER * max(float(np.median(error)), 1e-12)
    least = _LEAST_NEARNESS * float(np.percentile(y, 98.0))
    near = (mapped > max(least, 0.0)) & (y > max(least, 0.0))
    if near.sum() < least_px:
        return float('nan')
    return float(np.median(np.abs(np.log(y[near] / mapped[near]))))


def scale_jitter(scales: Sequence[float]) -> float:
    """Return the standard deviation of ln(scale_t / scale_t-1) in percent; NaN below two steps.

    `scales` are those of successive frames, NaN where a frame has none.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        steps = np.diff(np.log(np.asarray(scales, np.float64)))
    steps = steps[np.isfinite(steps)]
    return 100.0 * float(np.std(steps)) if steps.size > 1 else float('nan')


def alignment_error(
    before_m: FloatImage, now_m: FloatImage, now_from_before: Transform, camera: Camera
) -> float:
    """Return the TAE of two neighbouring depth images (H, W) in metres, of one `camera`.

    The mean |warped - depth| / depth of one warped into the other by the motion of the camera,
    in both directions, where both are known. Papers on depth of videos print the mean over all
    pairs in percent: Yang et al., 'Depth Any Video', 2024; Chen et al., 'Video Depth Anything',
    2025. NaN where nothing overlaps.
    """
    ways = (before_m, now_m, now_from_before), (now_m, before_m, now_from_before.inverse())
    return float(np.mean([_one_way(*way, camera) for way in ways]))


def _one_way(depth_m: FloatImage, other_m: FloatImage, move: Transform, camera: Camera) -> float:
    z = depth_m[::_STRIDE, ::_STRIDE].ravel()
    x, y = rays_of(camera, _STRIDE).reshape(2, -1) * z
    with np.errstate(all='ignore'):
        x, y, z = move.apply(np.stack([x, y, z], axis=1)).T
        u, v = pixels_from_directions(x / z, y / z, camera)
        seen = (z > 0) & (np.abs(u - 0.5 * (camera.width - 1)) < 0.5 * camera.width)
        seen &= np.abs(v - 0.5 * (camera.height - 1)) < 0.5 * camera.height
    there = other_m[np.rint(v[seen]).astype(np.int64), np.rint(u[seen]).astype(np.int64)]
    error = np.abs(z[seen] - there) / there
    known = error[np.isfinite(error)]
    return float(known.mean()) if known.size else float('nan')
