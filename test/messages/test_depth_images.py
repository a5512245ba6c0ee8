from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest
from bag_image import BagImage
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import DepthEncoding
from depth_anything_ros.messages.depth_images import depth_from_image, fill_depth_image

try:
    from sensor_msgs.msg import Image
except ImportError:
    Image = None

NAN, INF = np.nan, np.inf
REASONS = {'bad_data_size', 'bad_encoding', 'bad_size', 'bad_step'}


KINDS: list[Any] = [BagImage] if Image is None else [BagImage, Image]
kinds = pytest.mark.parametrize('kind', KINDS)


def message(
    kind: Any, encoding: str, pixels: np.ndarray, *, padding: int = 0, big_endian: bool = False
) -> Any:
    """Rows of `pixels`, each followed by rubbish."""
    stored = pixels.astype(pixels.dtype.newbyteorder('>' if big_endian else '<'))
    lines = [line.tobytes() + b'\xa5' * padding for line in stored]
    return kind(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=len(lines[0]),
        data=array('B', b''.join(lines)),
    )


@kinds
@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('encoding', ['16UC1', 'mono16'])
def test_millimetres(kind: Any, encoding: str, padding: int, big_endian: bool) -> None:
    pixels = np.array([[0, 1, 1000], [2345, 65535, 7]], np.uint16)
    depth = depth_from_image(
        message(kind, encoding, pixels, padding=padding, big_endian=big_endian)
    )
    assert depth.dtype == np.float32
    expected = [[NAN, 0.001, 1.0], [2.345, 65.535, 0.007]]
    assert np.allclose(depth, expected, rtol=1e-6, equal_nan=True)


@kinds
@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('big_endian', [False, True])
def test_metres(kind: Any, padding: int, big_endian: bool) -> None:
    pixels = np.array([[0.0, 1.5, NAN], [-1.0, INF, -INF]], np.float32)
    depth = depth_from_image(
        message(kind, '32FC1', pixels, padding=padding, big_endian=big_endian)
    )
    expected = np.array([[NAN, 1.5, NAN], [NAN, INF, NAN]], np.float32)
    assert np.array_equal(depth, expected, equal_nan=True)
    # The message stays as it was, and the answer does not change with it.
    depth[:] = 9.0


def test_a_signalling_nan_is_unknown_and_no_warning() -> None:
    pixels = np.array([[0x7F800100, 0x3F800000]], np.uint32).view(np.float32)
    depth = depth_from_image(message(BagImage, '32FC1', pixels))
    assert np.array_equal(depth, np.array([[NAN, 1.0]], np.float32), equal_nan=True)


@kinds
def test_metres_are_written_without_zeros(kind: Any) -> None:
    depth = np.array([[0.0, 1.5, NAN, -2.0, INF]], np.float32)
    msg = kind()
    fill_depth_image(msg, depth)
    assert (msg.encoding, msg.height, msg.width, msg.step) == ('32FC1', 1, 5, 20)
    written = np.frombuffer(bytes(msg.data), np.float32)
    assert np.array_equal(written, np.array([NAN, 1.5, NAN, NAN, INF]), equal_nan=True)


@kinds
def test_there_and_back(kind: Any) -> None:
    depth = np.random.default_rng(0).uniform(0.2, 60.0, (7, 9)).astype(np.float32)
    depth[2, 3] = NAN
    msg = kind()
    fill_depth_image(msg, depth)
    assert np.array_equal(depth_from_image(msg), depth, equal_nan=True)


@kinds
def test_millimetres_hold_nothing_that_they_cannot(kind: Any) -> None:
    depth = np.array([[NAN, INF, -INF, 0.0, -2.0, 4e-4, 6e-4, 1.2346, 65.535, 65.536]], np.float32)
    msg = kind()
    fill_depth_image(msg, depth, DepthEncoding.MILLIMETRES)
    assert (msg.encoding, msg.height, msg.width, msg.step) == ('16UC1', 1, 10, 20)
    written = np.frombuffer(bytes(msg.data), np.uint16)
    assert written.tolist() == [0, 0, 0, 0, 0, 0, 1, 1235, 65535, 0]


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'encoding': 'bgr8'}, 'bad_encoding'),
        ({'width': 0}, 'bad_size'),
        ({'width': 2**31, 'height': 2**31}, 'bad_size'),
        ({'step': 3}, 'bad_step'),
        ({'step': 5}, 'bad_data_size'),
        ({'data': b''}, 'bad_data_size'),
        ({'data': 'text'}, 'bad_data_size'),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], reason: str) -> None:
    msg = message(BagImage, '16UC1', np.ones((3, 2), np.uint16))
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(FrameError) as caught:
        depth_from_image(msg)
    assert caught.value.reason == reason


UINT32 = st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1))


@given(
    size=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    encoding=st.sampled_from(['16UC1', '32FC1', 'mono16', '64FC1', '', '\0']),
    big_endian=st.booleans(),
    padding=st.integers(0, 3),
    data=st.binary(max_size=150),
    spoilt=st.dictionaries(st.sampled_from(['height', 'width', 'step']), UINT32, max_size=1),
)
@settings(max_examples=300, deadline=None)
def test_any_message_gives_depth_or_a_frame_error(
    size: tuple[int, int],
    encoding: str,
    big_endian: bool,
    padding: int,
    data: bytes,
    spoilt: dict[str, int],
) -> None:
    height, width = size
    step = width * (4 if encoding == '32FC1' else 2) + padding
    msg = BagImage(height, width, encoding, int(big_endian), step)
    msg.data = (data * (step * height // max(1, len(data)) + 1))[: step * height]
    for name, value in spoilt.items():
        setattr(msg, name, value)
    try:
        depth = depth_from_image(msg)
    except FrameError as error:
        assert error.reason in REASONS
        return
    assert depth.shape == (msg.height, msg.width)
    assert not (depth <= 0.0).any()
