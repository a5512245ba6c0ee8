"""The network's input and output sizes, values and refusals."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.preprocess import network_input, network_size, upsample
from depth_anything_ros.core.types import BgrImage


@pytest.fixture
def noise() -> BgrImage:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ('height', 'width', 'input_size', 'expected'),
    [
        (480, 640, 518, (518, 686)),  # facts: 640x480 becomes 686x518
        (480, 640, 252, (252, 336)),
        (640, 480, 518, (686, 518)),
        (720, 1280, 518, (518, 924)),
        (512, 512, 518, (518, 518)),
        (512, 512, 500, (504, 504)),  # rounds up to a multiple of 14
        (512, 512, 508, (518, 518)),  # the nearest multiple, 504, would be below 508
        (10, 10, 14, (14, 14)),
    ],
)
def test_the_size_follows_upstreams_rule(
    height: int, width: int, input_size: int, expected: tuple[int, int]
) -> None:
    assert network_size(height, width, input_size) == expected


@pytest.mark.parametrize('shape', [(100, 4000), (4000, 100), (1, 100_000), (3, 7000)])
def test_a_thin_image_stays_under_the_cap(shape: tuple[int, int]) -> None:
    height, width = network_size(*shape, 518)
    assert height * width <= 4 * 518**2
    assert height % 14 == 0 and width % 14 == 0 and min(height, width) >= 14
    assert (height > width) == (shape[0] > shape[1])


def test_the_cap_keeps_the_aspect_of_a_thin_image() -> None:
    height, width = network_size(100, 1000, 518)
    # Each side is rounded down by less than a patch of 14 pixels: of 321 here, 4 %.
    assert width / height == pytest.approx(10, rel=0.05)
    assert height * width > 0.9 * 4 * 518**2


def test_the_cap_can_be_set() -> None:
    height, width = network_size(480, 640, 518, max_pixels=100_000)
    assert 85_000 < height * width <= 100_000


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        ((0, 640, 518), '640x0'),
        ((480, -1, 518), '-1x480'),
        ((480, 640, 13), '13'),
        ((480, 640, 100_000), '100000'),
        ((480, 640, 518, 100), '100'),
    ],
)
def test_nonsense_is_refused(arguments: tuple[int, ...], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        network_size(*arguments)


@pytest.mark.parametrize('size', [(518, 686), (28, 42), (48, 64)])
def test_the_input_is_upstreams(noise: BgrImage, size: tuple[int, int]) -> None:
    # Upstream's own steps, in its float64.
    rgb = cv2.cvtColor(noise, cv2.COLOR_BGR2RGB) / 255.0
    rgb = cv2.resize(rgb, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    expected = (rgb - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = network_input(noise, size)
    assert found.dtype == np.float32 and found.shape == (3, *size)
    # Cubic weights are float32 in OpenCV where the image is: 1e-4 of a unit, on pure noise.
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=5e-4)


def test_the_input_can_be_written_in_place(noise: BgrImage) -> None:
    out = np.full((3, 28, 42), np.nan, np.float32)
    assert network_input(noise, (28, 42), out=out) is out
    np.testing.assert_array_equal(out, network_input(noise, (28, 42)))


def test_a_view_of_an_image_will_do(noise: BgrImage) -> None:
    view = noise[::2, ::-1]
    np.testing.assert_array_equal(
        network_input(view, (28, 42)), network_input(np.ascontiguousarray(view), (28, 42))
    )


def test_a_wrong_buffer_is_refused(noise: BgrImage) -> None:
    for out in (np.empty((3, 28, 28), np.float32), np.empty((3, 28, 42), np.float64)):
        with pytest.raises(ValueError, match='C-contiguous float32'):
            network_input(noise, (28, 42), out=out)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_bgr_image_is_refused(image: BgrImage) -> None:
    with pytest.raises(FrameError) as error:
        network_input(image, (28, 42))
    assert error.value.reason == 'bad_image'


@pytest.mark.parametrize(
    ('small', 'large'),
    [
        ((518, 686), (480, 640)),
        ((37, 49), (100, 200)),
        ((252, 336), (480, 640)),
        ((14, 14), (1, 1)),
        ((14, 28), (14, 28)),
        ((1, 1), (3, 5)),
    ],
)
def test_upsampling_is_torchs(small: tuple[int, int], large: tuple[int, int]) -> None:
    torch = pytest.importorskip('torch')
    values = np.random.default_rng(1).random(small, np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], large, mode='bilinear', align_corners=True
    )
    found = upsample(values, large)
    assert found.dtype == np.float32 and found.shape == large and found.flags.c_contiguous
    np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=1e-5)
