"""Rigid transforms between frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError, SettingError

__all__ = ['IDENTITY', 'Transform', 'extrinsics_from_text', 'interpolated']

_Matrix = npt.NDArray[np.float64]

# Float32 and text lose less of the unit length than this.
_NORM_TOLERANCE = 1e-2
_LAST = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Transform:
    """x_target = rotation (3, 3) @ x_source + translation (3,), float64, metres.

    Name one `target_from_source`, so that `a_from_b @ b_from_c` is a_from_c.
    """

    rotation: _Matrix
    translation: _Matrix

    @classmethod
    def from_quaternion(
        cls, quaternion: Sequence[float], translation: Sequence[float]
    ) -> Transform:
        """Build from (x, y, z, w) and (x, y, z); FrameError('bad_transform') if invalid."""
        turn = np.array(quaternion, np.float64)
        shift = np.array(translation, np.float64)
        norm = math.hypot(*turn)
        if not (abs(norm - 1.0) < _NORM_TOLERANCE and np.isfinite(shift).all()):
            raise FrameError(
                'bad_transform',
                f'quaternion {turn.tolist()} with translation {shift.tolist()} is not a rigid '
                'transform: the quaternion must have length 1 and every value be finite',
            )
        x, y, z, w = (turn / norm).tolist()
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        return cls(rotation, shift)

    @classmethod
    def from_matrix(cls, matrix: npt.NDArray[Any]) -> Transform:
        """Build from a homogeneous matrix (4, 4); SettingError if it moves no rigid body."""
        try:
            whole = np.array(matrix, np.float64)
        except (TypeError, ValueError) as err:
            raise SettingError(
                f'a transform cannot be a {type(matrix).__name__}: give an array (4, 4)'
            ) from err
        if whole.shape != (4, 4) or not np.isfinite(whole).all():
            raise SettingError(
                f'a transform of shape {whole.shape} cannot be used: give a finite array (4, 4)'
            )
        rotation = whole[:3, :3]
        off = max(np.abs(rotation @ rotation.T - np.eye(3)).max(), np.abs(whole[3] - _LAST).max())
        if off > _NORM_TOLERANCE or np.linalg.det(rotation) < 0.0:
            raise SettingError(
                f'the transform {np.round(whole, 3).tolist()} is not rigid: its left upper 3 x 3 '
                'must be a rotation, and its last row 0 0 0 1'
            )
        return cls(rotation, whole[:3, 3])

    @property
    def matrix(self) -> _Matrix:
        """Return the homogeneous matrix (4, 4)."""
        whole = np.eye(4)
        whole[:3, :3], whole[:3, 3] = self.rotation, self.translation
        return whole

    @property
    def quaternion(self) -> tuple[float, float, float, float]:
        """Return (x, y, z, w) of the rotation, w >= 0."""
        (a, b, c), (d, e, f), (g, h, i) = self.rotation.tolist()
        # Four times the outer product of the quaternion with itself; its largest row is safe to
        # divide. Source: Shepperd, 'Quaternion from rotation matrix', 1978.
        product = np.array(
            [
                [1 + a - e - i, b + d, c + g, h - f],
                [b + d, 1 - a + e - i, f + h, c - g],
                [c + g, f + h, 1 - a - e + i, d - b],
                [h - f, c - g, d - b, 1 + a + e + i],
            ]
        )
        row = product[int(product.diagonal().argmax())]
        x, y, z, w = (row / np.copysign(np.linalg.norm(row), row[3])).tolist()
        return x, y, z, w

    def __matmul__(self, other: Transform) -> Transform:
        """Chain: a_from_b @ b_from_c."""
        shift = self.rotation @ other.translation + self.translation
        return Transform(self.rotation @ other.rotation, shift)

    def inverse(self) -> Transform:
        """Return source_from_target."""
        return Transform(self.rotation.T, -self.rotation.T @ self.translation)

    def apply(self, points: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return `points` (N, 3) in the target frame, float32; NaN where one is not finite.

        The result lies column by column in memory, which is how projections read it.
        """
        columns = np.ascontiguousarray(points.T, np.float32)
        # inf - inf is NaN, as wanted.
        with np.errstate(invalid='ignore', over='ignore'):
            moved = self.rotation.astype(np.float32) @ columns
            moved += self.translation.astype(np.float32)[:, None]
        result: npt.NDArray[np.float32] = moved.T
        return result


IDENTITY = Transform(np.eye(3), np.zeros(3))
"""Both frames are one."""


def extrinsics_from_text(text: str) -> Transform | None:
    """Return the transform of 'x y z roll pitch yaw', metres and radians; None for ''.

    Angles are about fixed axes, as --roll --pitch --yaw of static_transform_publisher. Raises
    SettingError.
    """
    if not text.strip():
        return None
    try:
        values = [float(word) for word in text.replace(',', ' ').split()]
    except ValueError:
        values = []
    if len(values) != 6 or not all(map(math.isfinite, values)):
        raise SettingError(f"'{text}': give six numbers, x y z roll pitch yaw")
    # Imported where it is needed: the command line lists parameters without OpenCV.
    import cv2

    turns = [
        cv2.Rodrigues(angle * axis)[0] for angle, axis in zip(values[3:], np.eye(3), strict=True)
    ]
    return Transform(turns[2] @ turns[1] @ turns[0], np.array(values[:3]))


def interpolated(first: Transform, second: Transform, fraction: float) -> Transform:
    """Return the transform at `fraction` (0 to 1) of the way from `first` to `second`.

    Translations linearly, rotations along the shortest arc at an even rate (slerp).
    """
    import cv2

    arc = cv2.Rodrigues(first.rotation.T @ second.rotation)[0]
    turned = first.rotation @ cv2.Rodrigues(arc * fraction)[0]
    shift = (1.0 - fraction) * first.translation + fraction * second.translation
    return Transform(turned, shift)
