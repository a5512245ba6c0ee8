"""The readings of a range cone, which see one thing each and are matched over some time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.core.types import FloatImage, ReferenceSamples
from depth_anything_ros.metric.alignment.config import AlignmentConfig
from depth_anything_ros.metric.alignment.sample_gate import BLOCKS_ALONG, GatedSamples
from depth_anything_ros.metric.alignment.scale_filter import Carry

__all__ = ['RangeReadings']

_KEPT = 10
_WINDOW_NS = 2_000_000_000
# The nearest return, but not a single noisy pixel.
_NEAREST_PERCENT = 98.0


@dataclass(frozen=True)
class _Reading:
    inverse_depth: float
    depth_m: float
    variance: float
    u: int
    v: int
    stamp_ns: int


class RangeReadings:
    """The last readings, at most ten and two seconds old.

    The samples of one reading are the pixels inside the cone, each with the depth that it would
    have at the range that was read. It is matched to the nearest thing that the network sees
    among them.

    While they all see one depth, they fix the level alone: away from their inverse depth the
    sigma is that of the prior of the shift.
    """

    def __init__(self) -> None:
        self._readings: deque[_Reading] = deque(maxlen=_KEPT)

    def clear(self) -> None:
        """Forget them."""
        self._readings.clear()

    def carry(self, carry: Carry, stamp_ns: int) -> None:
        """Turn the inverse depths into those of the frame at `stamp_ns` and drop the old."""
        kept = [each for each in self._readings if stamp_ns - each.stamp_ns <= _WINDOW_NS]
        if carry.certain:
            kept = [
                _Reading(
                    (each.inverse_depth - carry.offset) / carry.gain,
                    each.depth_m,
                    each.variance,
                    each.u,
                    each.v,
                    each.stamp_ns,
                )
                for each in kept
            ]
        self._readings = deque(kept, maxlen=_KEPT)

    def add(
        self,
        inverse_depth: FloatImage,
        samples: ReferenceSamples,
        stamp_ns: int,
        config: AlignmentConfig,
    ) -> bool:
        """Take in one reading; False for one without a usable pixel or depth."""
        height, width = inverse_depth.shape
        depth = np.asarray(samples.depth_m, np.float64)
        usable = (depth > config.min_depth_m) & (depth < config.max_depth_m)
        usable &= (samples.u >= -0.5) & (samples.u < width - 0.5)
        usable &= (samples.v >= -0.5) & (samples.v < height - 0.5)
        u = np.floor(samples.u[usable] + 0.5).astype(np.int64)
        v = np.floor(samples.v[usable] + 0.5).astype(np.int64)
        q = inverse_depth[v, u]
        valid = np.isfinite(q) & (q > 0.0)
        if not valid.any():
            return False
        u, v, q, depth = u[valid], v[valid], q[valid], depth[usable][valid]
        # Each pixel has the depth it would have at the range that was read: the true one is where
        # the network sees the scene come nearest to that.
        reach = q * depth
        place = int(np.argmin(np.abs(reach - np.percentile(reach, _NEAREST_PERCENT))))
        read = float(depth[place])
        sigma = 0.0 if samples.sigma_m is None else float(samples.sigma_m[usable][valid].min())
        variance = (sigma / read) ** 2 if np.isfinite(sigma) else 0.0
        reading = _Reading(float(q[place]), read, variance, int(u[place]), int(v[place]), stamp_ns)
        self._readings.append(reading)
        return True

    def gathered(self, shape: tuple[int, int]) -> GatedSamples:
        """Return the readings as samples of the present frame."""
        readings = list(self._readings)
        u = np.array([each.u for each in readings], np.int64)
        v = np.array([each.v for each in readings], np.int64)
        # One place: more readings of it tell no more about the network's error.
        return GatedSamples(
            np.array([each.inverse_depth for each in readings]),
            np.array([each.depth_m for each in readings]),
            np.array([each.variance for each in readings]),
            u,
            v,
            np.full(u.size, BLOCKS_ALONG // 2, np.int64),
            shape,
        )
