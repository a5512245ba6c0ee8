"""One turn of a planar scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ['PlanarScan']


@dataclass(frozen=True, eq=False)
class PlanarScan:
    """Ranges in metres, float32 (N,), at even bearings about z; x is forward.

    By REP 117: +inf where nothing is within range, -inf where something is too near to measure,
    NaN where nothing is known. `bearing_min_rad` and `step_rad` may be negative.
    """

    ranges_m: npt.NDArray[np.float32]
    bearing_min_rad: float
    step_rad: float
    min_m: float
    max_m: float

    @property
    def bearings_rad(self) -> npt.NDArray[np.float64]:
        """The bearing (N,) of each range."""
        numbers = np.arange(self.ranges_m.size, dtype=np.float64)
        return self.bearing_min_rad + self.step_rad * numbers

    def points(self) -> npt.NDArray[np.float32]:
        """Return the points (M, 3) float32 of the finite ranges, in the scanner's frame."""
        known = np.flatnonzero(np.isfinite(self.ranges_m))
        bearings, ranges = self.bearings_rad[known], self.ranges_m[known]
        columns = (ranges * np.cos(bearings), ranges * np.sin(bearings), np.zeros(known.size))
        return np.stack(columns, axis=1).astype(np.float32)
