"""PointCloud2 with any fields to points, and points with colour and sigma to PointCloud2.

Messages are duck-typed, as in `images`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.messages.buffers import bytes_of, stored
from depth_anything_ros.metric.cloud import Cloud

__all__ = ['CloudWriter', 'cloud_from_message', 'points_from_cloud', 'sigma_from_cloud']

MAX_POINTS = 50_000_000
"""Points beyond which a cloud is taken for a damaged message."""

# By the constants of sensor_msgs/PointField.
_TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_FLOAT32 = 7
_COVARIANCE = ('cov_xx', 'cov_xy', 'cov_xz', 'cov_yy', 'cov_yz', 'cov_zz')


def points_from_cloud(msg: Any) -> npt.NDArray[np.float32]:
    """Return x, y, z of every point, row by row, as a new float32 (height * width, 3).

    Any layout and numeric type of the three fields is taken, in either byte order; NaN stays.
    FrameError says what is wrong. The result lies column by column in memory, which is how
    projections read it.
    """
    return _columns(msg, ('x', 'y', 'z')).T


def cloud_from_message(msg: Any) -> Cloud:
    """Return the points (N, 3), with the colours of a field `rgb`; FrameError as above."""
    points = points_from_cloud(msg)
    if not any(field.name == 'rgb' for field in msg.fields):
        return Cloud(points)
    packed = np.ascontiguousarray(_columns(msg, ('rgb',))[0])
    return Cloud(points, packed.view(np.uint8).reshape(-1, 4)[:, :3])


def sigma_from_cloud(
    msg: Any, points: npt.NDArray[np.float32], origin: npt.NDArray[Any]
) -> npt.NDArray[np.float32] | None:
    """Return the standard deviation of each of `points` along its ray from `origin`, in metres.

    By the field `sigma`, or by `cov_xx` to `cov_zz`, the upper half of a covariance; None in a
    cloud without either, NaN where a value is negative or not finite.
    """
    names = {str(field.name) for field in msg.fields}
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        if 'sigma' in names:
            sigma = _columns(msg, ('sigma',))[0]
        elif names.issuperset(_COVARIANCE):
            xx, xy, xz, yy, yz, zz = _columns(msg, _COVARIANCE)
            x, y, z = (points - origin.astype(np.float32)).T
            variance = x * (x * xx + 2.0 * (y * xy + z * xz)) + y * (y * yy + 2.0 * z * yz)
            sigma = np.sqrt((variance + z * z * zz) / (x * x + y * y + z * z))
        else:
            return None
        return np.where((sigma >= 0.0) & np.isfinite(sigma), sigma, np.float32(np.nan))


def _columns(msg: Any, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Return some fields of every point, float32 (fields, points)."""
    height, width = int(msg.height), int(msg.width)
    if height * width > MAX_POINTS:
        raise FrameError(
            'bad_size',
            f'the cloud has {height} x {width} points, more than the limit of {MAX_POINTS}: look '
            'for a damaged message',
        )
    point_step, row_step = int(msg.point_step), int(msg.row_step)
    fields = [_field(msg, name, point_step) for name in names]
    if not height * width:
        return np.empty((len(names), 0), np.float32)
    if height == 1:
        # Of a single row the length is known, and not every driver says it.
        row_step = width * point_step
    data = bytes_of(msg.data)
    needed = (height - 1) * row_step + width * point_step
    if row_step < width * point_step or data.size < needed:
        raise FrameError(
            'bad_data_size',
            f'the cloud of {height} x {width} points of {point_step} bytes, row_step {row_step}, '
            f'takes {needed} bytes and has {data.size}: its driver must set row_step and '
            'point_step to match what it sends',
        )
    # Only now, as a damaged message may promise far more points than it has.
    columns = np.empty((len(names), height, width), np.float32)
    # A double beyond float32 becomes infinite, and is left out as such; a signalling NaN is a NaN.
    with np.errstate(over='ignore', invalid='ignore'):
        for column, (offset, kind) in zip(columns, fields, strict=True):
            column[:] = np.ndarray((height, width), kind, data, offset, (row_step, point_step))
    return columns.reshape(len(names), height * width)


def _field(msg: Any, name: str, point_step: int) -> tuple[int, str]:
    """Return the offset and type of a field; a count of 0 means 1 to many drivers."""
    for field in msg.fields:
        if field.name == name:
            kind = _TYPES.get(int(field.datatype))
            if kind is None:
                raise FrameError(
                    'bad_fields', f"field '{name}' has the unknown datatype {field.datatype}"
                )
            offset = int(field.offset)
            if offset + int(kind[1]) > point_step:
                raise FrameError(
                    'bad_fields',
                    f"field '{name}' at byte {offset} does not fit into points of {point_step} "
                    'bytes: its driver must set point_step',
                )
            return offset, ('>' if msg.is_bigendian else '<') + kind
    names = ', '.join(repr(str(field.name)[:20]) for field in list(msg.fields)[:20]) or 'none'
    raise FrameError(
        'bad_fields', f"the cloud has no field '{name}' (it has {names}): x, y and z are needed"
    )


class CloudWriter:
    """Writes clouds of one layout: x, y, z, then rgb and sigma where wanted, all FLOAT32.

    `point_field` is the class sensor_msgs/PointField of the messages to fill. Colour is packed
    into `rgb` as PCL and RViz read it. One thread may use a writer: it keeps its buffer.
    """

    def __init__(self, point_field: Callable[..., Any], *, color: bool, sigma: bool) -> None:
        names = ['x', 'y', 'z', *(['rgb'] if color else []), *(['sigma'] if sigma else [])]
        self._fields = [
            point_field(name=name, offset=4 * place, datatype=_FLOAT32, count=1)
            for place, name in enumerate(names)
        ]
        self._color, self._sigma = color, sigma
        self._buffer = np.zeros((0, 0, len(names)), np.float32)

    def fill(self, msg: Any, cloud: Cloud) -> None:
        """Write `cloud` into `msg`; everything but the header is set.

        An organised cloud stays so, with NaN. The cloud must have what the layout asks for.
        """
        *size, _ = cloud.points.shape
        height, width = size if cloud.is_organised else (1, *size)
        shape = height, width, len(self._fields)
        if self._buffer.shape != shape:
            self._buffer = np.zeros(shape, np.float32)
        planes = [cloud.points.reshape(height, width, 3)]
        if self._color:
            if cloud.bgr is None:
                raise ValueError('the layout has colours, and the cloud has none')
            planes.append(_packed(cloud.bgr.reshape(height, width, 3)))
        if self._sigma:
            if cloud.sigma_m is None:
                raise ValueError('the layout has sigma, and the cloud has none')
            planes.append(cloud.sigma_m.reshape(height, width, 1))
        if self._buffer.size:
            # Every plane to its place in one pass, its bits as they are.
            cv2.mixChannels(planes, [self._buffer], [i // 2 for i in range(2 * shape[2])])
        step = shape[2] * 4
        msg.height, msg.width = height, width
        msg.fields = self._fields
        msg.is_bigendian = sys.byteorder == 'big'
        msg.point_step, msg.row_step = step, step * width
        msg.is_dense = not cloud.is_organised
        msg.data = stored(self._buffer, msg.data)


def _packed(bgr: BgrImage) -> npt.NDArray[np.float32]:
    """Return 0x00RRGGBB in the four bytes of a float, (h, w, 1)."""
    if not bgr.size:
        return np.zeros((*bgr.shape[:2], 1), np.float32)
    opaque = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2BGRA)).view('<u4')
    return (opaque & np.uint32(0xFFFFFF)).view(np.float32)
