"""Depth images of compressed_depth_image_transport, PNG and RVL."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import DepthEncoding
from depth_anything_ros.messages.compressed_depth import (
    depth_from_compressed,
    fill_compressed_depth,
)

# As depth_quantization 100 and depth_max 10 of the transport.
A = 100.0 * 101.0
B = 1.0 - A / 10.0


@dataclass
class Message:
    format: str = ''
    data: Any = b''


def picture(height: int = 48, width: int = 64) -> np.ndarray[Any, Any]:
    """Millimetres with holes, a step and noise."""
    noise = np.random.default_rng(0).integers(0, 9, (height, width))
    mm = (np.arange(width) * 60 + 400 + noise).astype(np.uint16)
    mm[:, width // 2 :] += 3000
    mm[5:9, 3:30] = mm[-1] = 0
    return mm


def png(values: np.ndarray[Any, Any]) -> bytes:
    return cv2.imencode('.png', values)[1].tobytes()


def rvl(values: np.ndarray[Any, Any]) -> bytes:
    """Encode as the listing of the paper does, pixel by pixel."""
    nibbles: list[int] = []

    def number(value: int) -> None:
        while True:
            nibble, value = value & 7, value >> 3
            nibbles.append(nibble | 8 if value else nibble)
            if not value:
                return

    flat, at, last = values.ravel().astype(int).tolist(), 0, 0
    while at < len(flat):
        zeros = next((n for n, v in enumerate(flat[at:]) if v), len(flat) - at)
        at += zeros
        count = next((n for n, v in enumerate(flat[at:]) if not v), len(flat) - at)
        number(zeros)
        number(count)
        for value in flat[at : at + count]:
            delta, last = value - last, value
            number(delta << 1 if delta >= 0 else (-delta << 1) - 1)
        at += count
    nibbles += [0] * (-len(nibbles) % 8)
    words = [
        int(''.join(f'{n:x}' for n in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8)
    ]
    height, width = values.shape
    return struct.pack(f'<ii{len(words)}I', width, height, *words)


def message(kind: str, body: bytes, a: float = 0.0, b: float = 0.0) -> Message:
    return Message(kind, np.frombuffer(struct.pack('<iff', 0, a, b) + body, np.uint8))


@pytest.mark.parametrize('codec', [png, rvl])
@pytest.mark.parametrize('words', ['16UC1; compressedDepth', '16UC1; compressedDepth png', None])
def test_millimetres(codec: Any, words: str | None) -> None:
    mm = picture()
    depth_m = depth_from_compressed(message(words or 'compressedDepth', codec(mm)))
    assert depth_m.dtype == np.float32
    expected = np.where(mm == 0, np.nan, mm * np.float32(1e-3))
    np.testing.assert_allclose(depth_m, expected, rtol=1e-6)


@pytest.mark.parametrize('codec', [png, rvl])
@pytest.mark.parametrize('words', ['32FC1; compressedDepth rvl', 'compressedDepth'])
def test_metres_by_their_inverse(codec: Any, words: str) -> None:
    metres = picture() * np.float32(1e-3)
    with np.errstate(divide='ignore'):
        values = np.where(metres > 0, A / metres + B, 0.0).astype(np.uint16)
    depth_m = depth_from_compressed(message(words, codec(values), A, B))
    assert np.array_equal(np.isnan(depth_m), metres == 0)
    # Rounding of the inverse to whole numbers.
    np.testing.assert_allclose(depth_m[metres > 0], metres[metres > 0], rtol=5e-3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60))
def test_rvl_of_anything(values: list[int]) -> None:
    mm = np.array([values], np.uint16)
    found = depth_from_compressed(message('16UC1; compressedDepth rvl', rvl(mm)))
    assert np.array_equal(np.nan_to_num(found * 1000).round().astype(int), mm)


def transported(
    depth_m: np.ndarray[Any, Any], depth_max: float, depth_quantization: float
) -> tuple[bytes, np.ndarray[Any, Any]]:
    """Header and values by codec.cpp of compressed_depth_image_transport, 32FC1, in C's floats."""
    a = np.float32(depth_quantization) * np.float32(depth_quantization + 1.0)
    b = np.float32(1.0) - a / np.float32(depth_max)
    with np.errstate(invalid='ignore'):
        values = np.where(depth_m < depth_max, a / depth_m + b, 0.0)
    return struct.pack('<iff', 0, a, b), values.astype(np.uint16)


@pytest.mark.parametrize(('max_m', 'quantization'), [(10.0, 100.0), (80.0, 80.0), (100.0, 150.0)])
def test_metres_are_written_as_the_transport_does(max_m: float, quantization: float) -> None:
    a = quantization * (quantization + 1.0)
    nearest = a / (65535.0 - 1.0 + a / max_m)
    depth_m = np.geomspace(1.001 * nearest, 0.999 * max_m, 4000, dtype=np.float32).reshape(50, 80)
    depth_m[3, 4] = np.nan
    sent = Message()
    fill_compressed_depth(sent, depth_m, DepthEncoding.METRES, max_m, quantization)
    assert sent.format == '32FC1; compressedDepth png'
    header, values = transported(depth_m, max_m, quantization)
    assert bytes(sent.data)[:12] == header
    written = cv2.imdecode(np.frombuffer(sent.data, np.uint8)[12:], cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    # The transport cuts off, and we round.
    assert set((written - values.astype(np.int64)).ravel().tolist()) == {0, 1}
    found = depth_from_compressed(sent)
    assert np.array_equal(np.isnan(found), np.isnan(depth_m))
    half_step = 0.5 * depth_m.astype(np.float64) ** 2 / a
    # 1 %: the step itself grows with the depth; 1e-6: float32.
    error = np.abs(found - depth_m) - 1e-6 * depth_m
    assert np.nanmax(error / half_step) < 1.01


def test_what_the_format_cannot_hold_is_unknown() -> None:
    # With 80 and 80 the nearest depth is 6480 / (65535 + 80), 0.0988 m.
    depth_m = np.array([[np.nan, np.inf, -np.inf, 0.0, -1.0, 0.097, 80.0, 81.0]], np.float32)
    for encoding in DepthEncoding:
        sent = Message()
        fill_compressed_depth(sent, depth_m[:, :6], encoding, 80.0, 80.0)
        kept = [False] * 5 + [encoding is DepthEncoding.MILLIMETRES]
        assert np.isfinite(depth_from_compressed(sent)).tolist() == [kept]
    sent = Message()
    fill_compressed_depth(sent, depth_m[:, 6:], DepthEncoding.METRES, 80.0, 80.0)
    assert np.isnan(depth_from_compressed(sent)).all()


def test_millimetres_are_written_as_the_transport_does() -> None:
    mm = picture()
    depth_m = np.where(mm == 0, np.nan, mm * np.float32(1e-3)).astype(np.float32)
    sent = Message()
    fill_compressed_depth(sent, depth_m, DepthEncoding.MILLIMETRES, 5.0, 80.0)
    assert sent.format == '16UC1; compressedDepth png'
    assert bytes(sent.data)[:12] == bytes(12)
    # codec.cpp keeps 5000 itself.
    expected = np.where((mm == 0) | (mm > 5000), np.nan, mm * np.float32(1e-3))
    np.testing.assert_allclose(depth_from_compressed(sent), expected, rtol=1e-6)


def bad() -> dict[str, Message]:
    mm = picture()
    words = '16UC1; compressedDepth'
    huge = struct.pack('<ii', 60_000, 60_000) + rvl(mm)[8:]
    more = struct.pack('<ii', 64, 49) + rvl(mm)[8:]
    return {
        'empty': Message(words, b''),
        'header alone': message(words, b''),
        'half a PNG': message(words, png(mm)[:300]),
        'half an RVL': message(words, rvl(mm)[: len(rvl(mm)) // 2]),
        '8 bit': message(words, png(mm.astype(np.uint8))),
        'three channels': message(words, png(np.dstack([mm] * 3))),
        'huge': message(words, huge),
        'negative': message(words, struct.pack('<ii', -4, -4) + rvl(mm)[8:]),
        'too few pixels': message(words, more),
        'numbers without end': message(words, struct.pack('<ii', 4, 4) + b'\xff' * 64),
        'empty runs': message(words, struct.pack('<ii', 4, 4) + bytes(64)),
        'jpeg': Message('jpeg', png(mm)),
        'rgb': message('rgb8; compressedDepth png', png(mm)),
    }


@pytest.mark.parametrize('name', bad())
def test_what_is_none_is_refused(name: str) -> None:
    with pytest.raises(FrameError) as caught:
        depth_from_compressed(bad()[name])
    assert caught.value.reason in ('bad_compressed', 'bad_encoding')


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_depth_or_refused(data: bytes) -> None:
    try:
        depth_from_compressed(Message('32FC1; compressedDepth', data))
    except FrameError as err:
        assert err.reason == 'bad_compressed'
