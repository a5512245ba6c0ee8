"""Types that every layer shares."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import SettingError

__all__ = [
    'COLORMAP_NAMES',
    'DISTORTION_COEFFICIENTS',
    'BgrImage',
    'Camera',
    'DepthEncoding',
    'FloatImage',
    'Floats',
    'Ints',
    'Mask',
    'Normalization',
    'ReferenceKind',
    'ReferenceSamples',
]

COLORMAP_NAMES = ('spectral_r', 'viridis', 'plasma', 'magma', 'inferno', 'turbo', 'jet', 'gray')
"""Names of `colormaps.COLORMAPS`, here so that parameters are listed without OpenCV."""

BgrImage = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, channels blue, green, red."""

FloatImage = npt.NDArray[np.float32]
"""(H, W) float32."""

DISTORTION_COEFFICIENTS = {
    'plumb_bob': (4, 5),
    'rational_polynomial': (8, 12, 14),
    'equidistant': (4,),
}
"""How many cv2.projectPoints and cv2.fisheye take, by names in
sensor_msgs/distortion_models.hpp."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Camera:
    """Pinhole intrinsics in pixels of an image of `width` x `height`.

    Pixel centres lie on whole numbers, x to the right, y down, z along the optical axis
    (REP 103 optical frame). `distortion` holds the coefficients of `distortion_model` as in
    sensor_msgs/CameraInfo and is empty for a rectified image.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    distortion_model: str = ''

    def __post_init__(self) -> None:
        """Raise SettingError for a distortion that is not known."""
        counts = DISTORTION_COEFFICIENTS.get(self.distortion_model, ())
        if self.distortion and len(self.distortion) not in counts:
            known = ', '.join(
                f'{name} ({" or ".join(map(str, counts))})'
                for name, counts in DISTORTION_COEFFICIENTS.items()
            )
            raise SettingError(
                f'a camera cannot have the distortion model {self.distortion_model!r:.40} with '
                f'{len(self.distortion)} coefficients: give one of {known}'
            )

    @classmethod
    def from_intrinsics(
        cls, fx: float, fy: float, cx: float, cy: float, width: int, height: int
    ) -> Camera:
        """Return the camera of a rectified image; focal lengths and centre in pixels.

        SettingError for values that no camera has.
        """
        try:
            usable = min(fx, fy, width, height) > 0 and math.isfinite(fx + fy + cx + cy)
        except TypeError:
            usable = False
        if not usable:
            raise SettingError(
                f'no camera has fx={fx!r}, fy={fy!r}, cx={cx!r}, cy={cy!r} and {width!r} x '
                f'{height!r} pixels: focal lengths and size are positive numbers'
            )
        return cls(width, height, fx, fy, cx, cy)

    def scaled(self, width: int, height: int) -> Camera:
        """Return the intrinsics of the same view resized to `width` x `height` pixels.

        Pixel centres are kept as cv2.resize keeps them: x' + 0.5 = (x + 0.5) * scale.
        """
        scale_x = width / self.width
        scale_y = height / self.height
        return Camera(
            width,
            height,
            self.fx * scale_x,
            self.fy * scale_y,
            (self.cx + 0.5) * scale_x - 0.5,
            (self.cy + 0.5) * scale_y - 0.5,
            self.distortion,
            self.distortion_model,
        )


class Normalization(str, Enum):
    """Which inverse depths become 0 and 1."""

    PERCENTILE = 'percentile'
    MINMAX = 'minmax'


class DepthEncoding(str, Enum):
    """How metric depth is written into an image (REP 118)."""

    METRES = '32FC1'
    MILLIMETRES = '16UC1'


class ReferenceKind(str, Enum):
    """What measures metric depth."""

    DEPTH_IMAGE = 'depth_image'
    POINT_CLOUD = 'point_cloud'
    LASER_SCAN = 'laser_scan'
    GROUND_PLANE = 'ground_plane'
    ODOMETRY = 'odometry'


@dataclass(frozen=True, eq=False)
class ReferenceSamples:
    """Measured depth at some pixels: float32 (N,) each.

    `u`, `v`: pixels of the full-resolution image, pixel centres on whole numbers. `depth_m`:
    depth along Z in metres. `sigma_m`: its standard deviation, where the sensor states one.
    `repeated`: they are those of the samples before, seen again, and no new measurement.
    """

    u: npt.NDArray[np.float32]
    v: npt.NDArray[np.float32]
    depth_m: npt.NDArray[np.float32]
    sigma_m: npt.NDArray[np.float32] | None = None
    repeated: bool = False

    def chosen(self, index: Mask | Ints) -> ReferenceSamples:
        """Return those at `index` (n,), or where a mask (N,) is true."""
        sigma_m = None if self.sigma_m is None else self.sigma_m[index]
        u, v, depth_m = self.u[index], self.v[index], self.depth_m[index]
        return replace(self, u=u, v=v, depth_m=depth_m, sigma_m=sigma_m)
