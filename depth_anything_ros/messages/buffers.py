"""The bytes of a message, whatever holds them."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError

__all__ = ['bytes_of', 'stored']


def bytes_of(data: Any) -> npt.NDArray[np.uint8]:
    """View a buffer as read-only uint8 (N,), so that nothing writes into the message.

    FrameError('bad_data_size') where `data` is not a buffer.
    """
    try:
        view = memoryview(data)
    except TypeError as err:
        raise FrameError(
            'bad_data_size', f'data are a {type(data).__name__}, not a buffer of bytes'
        ) from err
    if not view.nbytes:
        return np.zeros(0, np.uint8)
    flat = np.frombuffer(view if view.c_contiguous else view.tobytes(), np.uint8)
    flat.flags.writeable = False
    return flat


def stored(values: npt.NDArray[Any], previous: Any, typecode: str = 'B') -> Any:
    """Copy `values` into the container of the message at hand, `previous`.

    rclpy takes an array of the field's `typecode` as it is, and anything else item by item
    (65 ms per MB); rosbags serialises NumPy arrays only. A new container costs what filling the
    old one costs, and no view of a past message changes under its reader.
    """
    values = np.ascontiguousarray(values)
    if isinstance(previous, np.ndarray):
        return np.frombuffer(values.tobytes(), typecode)
    data = array(typecode)
    if values.size:
        # A view of nothing cannot be cast.
        data.frombytes(values.data.cast('B'))
    return data
