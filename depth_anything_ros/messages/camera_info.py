"""Intrinsics between sensor_msgs/CameraInfo and Camera.

Messages are duck-typed, as in `images`. The calibration of a CameraInfo belongs to its full
`width` x `height`; `roi` cuts a window out of that, and binning shrinks the window.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import DISTORTION_COEFFICIENTS, Camera
from depth_anything_ros.messages.buffers import stored

__all__ = ['camera_from_info', 'distortion_doubt', 'fill_camera_info']

# No lens has it, and what is smaller vanishes in the divisions of a projection.
_LEAST_FOCAL_PX = 1e-3


class _Window(NamedTuple):
    """The part of the calibrated frame that the image shows, in full-resolution pixels."""

    x: int
    y: int
    width: int
    height: int
    binning_x: int
    binning_y: int

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the image."""
        return self.width // self.binning_x, self.height // self.binning_y


def camera_from_info(info: Any, width: int, height: int, rectified: bool) -> Camera:
    """Return the intrinsics of an image of `width` x `height` pixels from its camera_info.

    A rectified image has those of P, or of K where P is all zero, and no distortion; any other
    has K and D. ROI and binning are applied. FrameError('bad_camera_info') says what is wrong:
    no calibration, values that are not finite, no positive focal length, a distortion that
    cannot be undone, or a size that is not the image's.
    """
    window = _window(info, width, height)
    fx, fy, cx, cy = _intrinsics(info, rectified)
    distortion = () if rectified else _distortion(info)
    # Binning drops what is left over at the right and bottom, so it divides by whole numbers.
    shown = Camera(
        width * window.binning_x,
        height * window.binning_y,
        fx,
        fy,
        cx - window.x,
        cy - window.y,
        distortion,
        info.distortion_model if distortion else '',
    )
    # image_geometry divides the principal point by the binning; a superpixel's centre lies on
    # a whole number only if half pixels are counted, as scaled() does.
    return shown.scaled(width, height)


def distortion_doubt(info: Any, image_topic: str) -> str:
    """Return why an image taken as rectified looks as if it were not; '' if it does not."""
    if 'image_raw' not in image_topic or not any(info.d):
        return ''
    return (
        f'{image_topic} looks raw and its camera_info has distortion, but rectified is true: set '
        'rectified to false, or take the rectified image'
    )


def fill_camera_info(out: Any, info: Any, width: int, height: int) -> None:
    """Write `info` into `out` for its image resized to `width` x `height`; `info` stays as is.

    K and P follow the size, ROI and binning are spent and reset. An all-zero P becomes K and an
    all-zero R the identity, as for any monocular camera, since most readers look at P only.
    The header is the caller's: it is the image's.
    """
    window = _window(info, width, height, resized=True)
    image_width, image_height = window.image_size
    scale_x = width / (image_width * window.binning_x)
    scale_y = height / (image_height * window.binning_y)
    k = _matrix(info.k, 'K', 3)
    p = _matrix(info.p, 'P', 4)
    if not p.any():
        p[:, :3] = k
    for matrix in (k, p):
        if matrix.any():
            matrix[:2, 2] += 0.5 - window.x, 0.5 - window.y
            matrix[0] *= scale_x
            matrix[1] *= scale_y
            matrix[:2, 2] -= 0.5
    r = _matrix(info.r, 'R', 3)
    out.width, out.height = width, height
    out.distortion_model = info.distortion_model
    out.d = stored(np.array(info.d, np.float64), out.d, 'd')
    out.k = k.ravel()
    out.r = (r if r.any() else np.eye(3)).ravel()
    out.p = p.ravel()
    out.binning_x = out.binning_y = 0
    out.roi.x_offset = out.roi.y_offset = out.roi.width = out.roi.height = 0
    out.roi.do_rectify = False


def _bad(message: str) -> FrameError:
    return FrameError('bad_camera_info', f'camera_info {message}')


def _window(info: Any, width: int, height: int, resized: bool = False) -> _Window:
    """Find what the image shows; unless it was `resized`, its size must be explained."""
    full = int(info.width), int(info.height)
    if min(full) <= 0:
        raise _bad(f'has no size ({full[0]} x {full[1]}): the driver must fill width and height')
    if min(width, height) <= 0:
        raise _bad(f'cannot describe an image of {width} x {height} pixels')
    roi = info.roi
    binning = max(1, int(info.binning_x)), max(1, int(info.binning_y))
    window = _Window(
        int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height), *binning
    )
    if window[:4] == (0, 0, 0, 0):
        window = _Window(0, 0, *full, *binning)
    if (
        min(window[:2]) < 0
        or min(window.image_size) <= 0
        or window.x + window.width > full[0]
        or window.y + window.height > full[1]
    ):
        raise _bad(
            f'has a ROI of {window.width} x {window.height} at ({window.x}, {window.y}) with '
            f'binning {binning[0]} x {binning[1]}, which does not fit its {full[0]} x {full[1]}: '
            'the ROI counts pixels of the full frame'
        )
    # Drivers exist that report the binning of the sensor beside a calibration of the binned
    # image. K goes with width and height, so an image of just that size needs nothing more.
    if (width, height) == full and window[:4] == (0, 0, *full):
        return window._replace(binning_x=1, binning_y=1)
    if not resized and (width, height) != window.image_size:
        raise _bad(
            f'is for {full[0]} x {full[1]} pixels (ROI and binning leave '
            f'{window.image_size[0]} x {window.image_size[1]}), but the image has '
            f'{width} x {height}: take the calibration of this image, in ROS the camera_info '
            'topic beside it, or calibrate at this size'
        )
    return window


def _matrix(values: Any, name: str, columns: int) -> npt.NDArray[np.float64]:
    """Copy row-major `values` to float64 (3, columns)."""
    matrix = np.array(values, np.float64)
    if matrix.size != 3 * columns:
        raise _bad(f'has {matrix.size} values in {name}, not {3 * columns}')
    return matrix.reshape(3, columns)


def _intrinsics(info: Any, rectified: bool) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy of the full frame."""
    name, matrix = 'K', _matrix(info.k, 'K', 3)
    if rectified:
        p = _matrix(info.p, 'P', 4)
        if p.any():
            name, matrix = 'P', p
    if not matrix.any():
        raise _bad(f'is not calibrated ({name} is all zero): calibrate the camera')
    fx, fy = float(matrix[0, 0]), float(matrix[1, 1])
    cx, cy = float(matrix[0, 2]), float(matrix[1, 2])
    if not all(map(math.isfinite, (fx, fy, cx, cy))):
        raise _bad(
            f'has values in {name} that are not finite (fx {fx:g}, fy {fy:g}, cx {cx:g}, '
            f'cy {cy:g}): calibrate the camera again'
        )
    if min(fx, fy) < _LEAST_FOCAL_PX:
        raise _bad(
            f'has focal lengths in {name} that are not positive (fx {fx:g}, fy {fy:g}): '
            'calibrate the camera again'
        )
    return fx, fy, cx, cy


def _distortion(info: Any) -> tuple[float, ...]:
    """Return the coefficients of D, or nothing where they distort nothing."""
    coefficients = tuple(float(value) for value in info.d)
    if not all(map(math.isfinite, coefficients)):
        raise _bad(f'has values in D that are not finite {coefficients}: calibrate again')
    # All zero is a pinhole, but for a fisheye, which bends by the angle itself.
    if not any(coefficients) and info.distortion_model != 'equidistant':
        return ()
    known = DISTORTION_COEFFICIENTS.get(info.distortion_model)
    if known is None:
        raise _bad(
            f'has the distortion model {info.distortion_model[:40]!r}, which is not supported: '
            f'rectify the image first, or use one of {", ".join(DISTORTION_COEFFICIENTS)}'
        )
    if len(coefficients) not in known:
        raise _bad(
            f'has {len(coefficients)} values in D, but {info.distortion_model} takes '
            f'{" or ".join(map(str, known))}: calibrate again'
        )
    return coefficients
