"""Intrinsics out of CameraInfo, of rclpy's kind and of the kind read from bags."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import Camera
from depth_anything_ros.messages.camera_info import camera_from_info, fill_camera_info

try:
    from sensor_msgs.msg import CameraInfo
except ImportError:
    CameraInfo = None


@dataclass
class BagRoi:
    """RegionOfInterest as rosbags gives it."""

    x_offset: int = 0
    y_offset: int = 0
    height: int = 0
    width: int = 0
    do_rectify: bool = False


@dataclass
class BagInfo:
    """CameraInfo as rosbags gives it."""

    height: int = 0
    width: int = 0
    distortion_model: str = ''
    d: np.ndarray = field(default_factory=lambda: np.zeros(0))
    k: np.ndarray = field(default_factory=lambda: np.zeros(9))
    r: np.ndarray = field(default_factory=lambda: np.zeros(9))
    p: np.ndarray = field(default_factory=lambda: np.zeros(12))
    binning_x: int = 0
    binning_y: int = 0
    roi: BagRoi = field(default_factory=BagRoi)


KINDS = {'bag': BagInfo} | ({'rclpy': CameraInfo} if CameraInfo else {})

K = (500.0, 0.0, 320.5, 0.0, 510.0, 239.0, 0.0, 0.0, 1.0)
P = (480.0, 0.0, 318.0, -36.0, 0.0, 490.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0)
D = (-0.3, 0.1, 0.001, -0.002, 0.05)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return a maker of calibrated 640 x 480 infos, changed as asked."""

    def made(**changes: Any) -> Any:
        info = KINDS[request.param]()
        values = {'width': 640, 'height': 480, 'distortion_model': 'plumb_bob'}
        values |= {'d': D, 'k': K, 'r': IDENTITY, 'p': P} | changes
        for name, value in values.items():
            if name.startswith('roi_'):
                setattr(info.roi, name[4:], value)
            elif name in 'krp':
                setattr(info, name, np.array(value, np.float64))
            elif name == 'd':
                plain = [float(item) for item in value]
                info.d = np.array(plain) if isinstance(info, BagInfo) else plain
            else:
                setattr(info, name, value)
        return info

    return made


def test_a_rectified_image_has_p_and_no_distortion(make: Callable[..., Any]) -> None:
    camera = camera_from_info(make(), 640, 480, rectified=True)
    assert camera == Camera(640, 480, 480.0, 490.0, 318.0, 241.0)


def test_a_raw_image_has_k_and_d(make: Callable[..., Any]) -> None:
    camera = camera_from_info(make(), 640, 480, rectified=False)
    assert camera == Camera(640, 480, 500.0, 510.0, 320.5, 239.0, D, 'plumb_bob')


def test_an_all_zero_p_falls_back_to_k(make: Callable[..., Any]) -> None:
    camera = camera_from_info(make(p=[0.0] * 12), 640, 480, rectified=True)
    assert camera == Camera(640, 480, 500.0, 510.0, 320.5, 239.0)


def test_zero_coefficients_are_no_distortion(make: Callable[..., Any]) -> None:
    camera = camera_from_info(make(d=[0.0] * 5, distortion_model='any'), 640, 480, False)
    assert camera.distortion == ()
    assert camera.distortion_model == ''


def test_a_fisheye_without_coefficients_is_still_no_pinhole(make: Callable[..., Any]) -> None:
    camera = camera_from_info(make(d=[0.0] * 4, distortion_model='equidistant'), 640, 480, False)
    assert camera.distortion == (0.0,) * 4
    assert camera.distortion_model == 'equidistant'


@pytest.mark.parametrize(
    ('model', 'count'),
    [
        ('plumb_bob', 4),
        ('plumb_bob', 5),
        ('rational_polynomial', 8),
        ('rational_polynomial', 14),
        ('equidistant', 4),
    ],
)
def test_known_distortions(make: Callable[..., Any], model: str, count: int) -> None:
    info = make(distortion_model=model, d=[0.01] * count)
    camera = camera_from_info(info, 640, 480, rectified=False)
    assert camera.distortion == (0.01,) * count
    assert camera.distortion_model == model


@pytest.mark.parametrize(
    ('changes', 'size'),
    [
        pytest.param({'binning_x': 1, 'binning_y': 1}, (640, 480), id='no binning'),
        pytest.param({'binning_x': 2, 'binning_y': 2}, (320, 240), id='binning'),
        pytest.param({'binning_x': 3, 'binning_y': 7}, (213, 68), id='a remainder is dropped'),
        pytest.param({'roi_width': 640, 'roi_height': 480}, (640, 480), id='whole roi'),
        pytest.param(
            {'roi_x_offset': 100, 'roi_y_offset': 40, 'roi_width': 200, 'roi_height': 300},
            (200, 300),
            id='roi',
        ),
        pytest.param(
            {
                'roi_x_offset': 100,
                'roi_y_offset': 40,
                'roi_width': 203,
                'roi_height': 300,
                'binning_x': 2,
                'binning_y': 4,
            },
            (101, 75),
            id='roi in unbinned pixels, then binning',
        ),
    ],
)
@pytest.mark.parametrize('rectified', [False, True])
def test_a_ray_meets_the_same_superpixel(
    make: Callable[..., Any], changes: dict[str, int], size: tuple[int, int], rectified: bool
) -> None:
    info = make(**changes)
    camera = camera_from_info(info, *size, rectified)
    assert (camera.width, camera.height) == size
    matrix = np.array(P).reshape(3, 4)[:, :3] if rectified else np.array(K).reshape(3, 3)
    ray = np.array([0.05, -0.04, 1.0])
    u, v, _ = matrix @ ray
    # Pixel n of the full frame covers n - 0.5 to n + 0.5; b of them make one superpixel.
    binning = max(1, info.binning_x), max(1, info.binning_y)
    u = (u - info.roi.x_offset + 0.5) / binning[0] - 0.5
    v = (v - info.roi.y_offset + 0.5) / binning[1] - 0.5
    assert camera.fx * ray[0] + camera.cx == pytest.approx(u)
    assert camera.fy * ray[1] + camera.cy == pytest.approx(v)


def test_binning_beside_a_calibration_of_the_binned_image(make: Callable[..., Any]) -> None:
    info = make(binning_x=2, binning_y=2)
    assert camera_from_info(info, 640, 480, True).fx == 480.0


BAD = [
    pytest.param({'width': 0, 'height': 0}, True, 'has no size', id='no size'),
    pytest.param({'width': 1280, 'height': 720}, True, 'is for 1280 x 720', id='foreign size'),
    pytest.param(
        {'width': 1280, 'height': 960, 'binning_x': 2},
        True,
        'leave 640 x 960',
        id='binned one way only',
    ),
    pytest.param({'k': [0.0] * 9, 'p': [0.0] * 12}, True, 'is not calibrated', id='P and K zero'),
    pytest.param({'k': [0.0] * 9}, False, 'is not calibrated', id='K zero'),
    pytest.param({'k': (np.nan, *K[1:])}, False, 'not finite', id='NaN focal length'),
    pytest.param({'k': (*K[:2], np.inf, *K[3:])}, False, 'not finite', id='infinite centre'),
    pytest.param({'p': (np.nan, *P[1:])}, True, 'values in P', id='NaN in P'),
    pytest.param({'k': (-500.0, *K[1:])}, False, 'not positive', id='negative focal length'),
    pytest.param({'p': (0.0, *P[1:])}, True, 'not positive', id='zero focal length in P'),
    pytest.param({'d': (np.nan, 0, 0, 0, 0)}, False, 'D that are not finite', id='NaN in D'),
    pytest.param({'distortion_model': 'kannala'}, False, "model 'kannala'", id='unknown model'),
    pytest.param({'d': D[:3]}, False, '3 values in D', id='too few coefficients'),
    pytest.param({'roi_width': 641, 'roi_height': 480}, True, 'ROI of 641', id='wide roi'),
    pytest.param({'roi_x_offset': 8}, True, 'ROI of 0', id='roi without a size'),
    pytest.param({'binning_x': 1000}, True, 'binning 1000', id='binning beyond the frame'),
]


@pytest.mark.parametrize(('changes', 'rectified', 'text'), BAD)
def test_bad_infos_are_refused_by_name(
    make: Callable[..., Any], changes: dict[str, Any], rectified: bool, text: str
) -> None:
    with pytest.raises(FrameError, match=r'^camera_info ') as raised:
        camera_from_info(make(**changes), 640, 480, rectified)
    assert raised.value.reason == 'bad_camera_info'
    assert text in str(raised.value)
    assert '\n' not in str(raised.value)


def test_a_matrix_of_another_size_is_refused() -> None:
    info = BagInfo(480, 640, k=np.ones(8))
    with pytest.raises(FrameError, match='8 values in K'):
        camera_from_info(info, 640, 480, rectified=False)


def as_values(info: Any) -> dict[str, Any]:
    """Return the content of a message for comparison."""
    roi = info.roi
    return {
        'size': (info.width, info.height, info.distortion_model),
        'arrays': [list(values) for values in (info.d, info.k, info.r, info.p)],
        'window': (roi.x_offset, roi.y_offset, roi.width, roi.height, info.binning_x),
    }


@pytest.mark.parametrize(
    ('changes', 'image', 'size'),
    [
        ({}, (640, 480), (640, 480)),
        ({}, (640, 480), (518, 388)),
        ({'binning_x': 2, 'binning_y': 2}, (320, 240), (160, 120)),
        ({'binning_x': 2, 'binning_y': 2}, (640, 480), (640, 480)),
        (
            {
                'roi_x_offset': 100,
                'roi_y_offset': 40,
                'roi_width': 200,
                'roi_height': 300,
                'roi_do_rectify': True,
                'binning_x': 2,
                'binning_y': 2,
            },
            (100, 150),
            (64, 96),
        ),
    ],
)
def test_the_published_info_fits_the_published_size(
    make: Callable[..., Any],
    changes: dict[str, Any],
    image: tuple[int, int],
    size: tuple[int, int],
) -> None:
    info = make(**changes)
    before = copy.deepcopy(as_values(info))
    out = type(info)()
    fill_camera_info(out, info, *size)
    assert as_values(info) == before
    for rectified in (False, True):
        wanted = camera_from_info(info, *image, rectified).scaled(*size)
        given_out = camera_from_info(out, *size, rectified)
        assert given_out.distortion == wanted.distortion
        for name in ('width', 'height', 'fx', 'fy', 'cx', 'cy'):
            assert getattr(given_out, name) == pytest.approx(getattr(wanted, name))
    # The baseline of a stereo pair is Tx / fx metres, at any size.
    assert out.p[3] / out.p[0] == pytest.approx(P[3] / P[0])
    assert list(out.k[6:]) == [0.0, 0.0, 1.0]
    assert (out.binning_x, out.roi.width, out.roi.do_rectify) == (0, 0, False)


def test_the_published_p_and_r_are_never_zero(make: Callable[..., Any]) -> None:
    info = make(p=[0.0] * 12, r=[0.0] * 9)
    out = type(info)()
    fill_camera_info(out, info, 320, 240)
    assert np.array(out.p).reshape(3, 4)[:, :3].tolist() == np.array(out.k).reshape(3, 3).tolist()
    assert tuple(out.r) == IDENTITY


def test_an_uncalibrated_info_stays_so(make: Callable[..., Any]) -> None:
    info = make(k=[0.0] * 9, p=[0.0] * 12)
    out = type(info)()
    fill_camera_info(out, info, 320, 240)
    assert not np.any(out.k)
    assert not np.any(out.p)


UINT32 = st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1))
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(
    size=st.tuples(UINT32, UINT32),
    image=st.one_of(st.none(), st.tuples(UINT32, UINT32)),
    window=st.tuples(UINT32, UINT32, UINT32, UINT32, UINT32, UINT32),
    windowed=st.booleans(),
    matrices=st.tuples(st.lists(NUMBERS, max_size=14), st.lists(NUMBERS, min_size=9, max_size=9)),
    p=st.one_of(st.just([0.0] * 12), st.lists(NUMBERS, min_size=12, max_size=12)),
    model=st.sampled_from(['plumb_bob', 'equidistant', 'rational_polynomial', '', 'x']),
    rectified=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_anything_gives_a_camera_or_a_frame_error(
    size: Any,
    image: Any,
    window: Any,
    windowed: bool,
    matrices: Any,
    p: Any,
    model: str,
    rectified: bool,
) -> None:
    d, k = matrices
    roi = BagRoi(*window[:4]) if windowed else BagRoi()
    binning = window[4:] if windowed else (0, 0)
    info = BagInfo(
        size[1], size[0], model, np.array(d), np.array(k), np.zeros(9), np.array(p), *binning, roi
    )
    try:
        camera = camera_from_info(info, *(image or size), rectified)
    except FrameError as error:
        assert error.reason == 'bad_camera_info'
        return
    assert (camera.width, camera.height) == (image or size)
    assert camera.fx > 0.0
    assert np.isfinite([camera.fx, camera.fy, camera.cx, camera.cy]).all()
