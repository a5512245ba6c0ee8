"""The public Python face: one call loads a network, one call runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import depth_anything_ros as da

CAMERA = da.Camera.from_intrinsics(200.0, 200.0, 160.0, 120.0, 320, 240)


def picture(seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope='module')
def model() -> Iterator[da.DepthModel]:
    with da.load('demo', device='cpu', backend='torch') as loaded:
        yield loaded


def measured(frame: da.Frame) -> np.ndarray:
    """Depth that fits the network's output up to a scale and a shift."""
    return (1.0 / (0.05 * frame.inverse_depth + 0.05)).astype(np.float32)


def test_public_names_load_on_demand_and_nothing_heavy_with_them() -> None:
    code = (
        'import sys, depth_anything_ros as da; '
        'assert not {"torch", "cv2", "rclpy", "numpy"} & set(sys.modules), "heavy"; '
        'assert all(getattr(da, name) for name in da.__all__)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match='no attribute'):
        da.nothing  # noqa: B018


def test_a_frame_is_relative_and_says_why_there_are_no_metres(model: da.DepthModel) -> None:
    frame = model(picture())
    assert frame.inverse_depth.shape == (240, 320)
    assert frame.inverse_depth.dtype == np.float32
    assert (frame.normalized.min(), frame.normalized.max()) == (0.0, 1.0)
    assert frame.color('turbo').shape == (240, 320, 3)
    assert frame.depth_m is frame.sigma_m is frame.cloud() is frame.scan() is None
    assert (frame.reason, frame.message) == ('no_reference', 'no metric reference')


def test_a_model_has_no_state_and_a_batch_is_the_same(model: da.DepthModel) -> None:
    first, second = picture(1), picture(2)
    alone = [model(first), model(second), model(first)]
    assert np.array_equal(alone[0].normalized, alone[2].normalized)
    for frame, other in zip(alone, model.batch([first, second]), strict=False):
        # A batch changes the last bits of what the network computes.
        np.testing.assert_allclose(frame.inverse_depth, other.inverse_depth, rtol=1e-3, atol=1e-4)


def test_threads_that_share_a_model_take_turns(model: da.DepthModel) -> None:
    images = [picture(seed) for seed in range(4)]
    expected = [model(image).inverse_depth for image in images]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda image: model(image).inverse_depth, images * 4))
    for index, inverse_depth in enumerate(found):
        np.testing.assert_array_equal(inverse_depth, expected[index % 4])


def test_weights_may_be_a_path(tmp_path: Path) -> None:
    with pytest.raises(da.WeightsError, match=r"cannot find the weights '.*none\.pth'"):
        da.load('demo', weights=tmp_path / 'none.pth')


def test_nothing_is_computed_before_it_is_asked_for(model: da.DepthModel) -> None:
    bgr = picture()
    frame = model.stream(CAMERA)(bgr, 1.0, da.DepthImage(measured(model(bgr))))
    assert not {'normalized', 'depth_m', 'sigma_m', '_cloud', '_scan'} & set(vars(frame))
    assert frame.sigma_m is not None
    assert {'depth_m', 'sigma_m'} <= set(vars(frame))
    assert '_cloud' not in vars(frame)


@pytest.mark.parametrize('kind', ['depth image', 'another camera', 'points', 'matrix'])
def test_a_reference_gives_metres(model: da.DepthModel, kind: str) -> None:
    bgr = picture()
    depth_m = measured(model(bgr))
    v, u = np.mgrid[0:240:4, 0:320:4]
    z = depth_m[v, u]
    xyz = np.stack([(u - 160.0) / 200.0 * z, (v - 120.0) / 200.0 * z, z], -1).reshape(-1, 3)
    # A sensor 0.1 m to the right of the camera, with the camera's axes.
    pose = np.eye(4)
    pose[0, 3] = 0.1
    reference: Any = {
        'depth image': da.DepthImage(depth_m),
        'another camera': da.DepthImage(depth_m, CAMERA, np.eye(4)),
        'points': da.Points(xyz.astype(np.float32)),
        'matrix': da.Points((xyz - [0.1, 0.0, 0.0]).astype(np.float32), pose),
    }[kind]
    frame = model.stream(CAMERA)(bgr, 1.0, reference)
    assert (frame.reason, frame.message) == ('', '')
    assert frame.scale.source == 'reference'
    assert frame.depth_m is not None
    known = np.isfinite(frame.depth_m)
    assert known.mean() > 0.9
    assert np.median(np.abs(frame.depth_m - depth_m)[known] / depth_m[known]) < 0.01
    cloud = frame.cloud()
    assert cloud is not None
    assert cloud.points.shape[-1] == 3


def test_the_scale_is_held_and_then_too_old(model: da.DepthModel) -> None:
    bgr = picture()
    stream = model.stream(CAMERA, {'alignment.hold_s': 0.5})
    assert stream(bgr, 1.0, da.DepthImage(measured(model(bgr)))).depth_m is not None
    held = stream(bgr, 1.4)
    assert held.depth_m is not None
    assert held.scale.reason == 'no_reference'
    old = stream(bgr, 1.6)
    assert old.depth_m is None
    assert old.reason == 'no_reference'


def test_a_scan_needs_to_know_where_up_is(model: da.DepthModel) -> None:
    bgr = picture()
    reference = da.DepthImage(measured(model(bgr)))
    frame = model.stream(CAMERA)(bgr, 1.0, reference)
    assert frame.scan() is None
    assert 'level_from_camera' in str(frame.missing['scan'])
    level = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0.5], [0, 0, 0, 1]], float)
    frame = model.stream(CAMERA, level_from_camera=level)(bgr, 1.0, reference)
    scan = frame.scan()
    assert scan is not None
    assert np.isfinite(scan.ranges_m).any()


def test_metres_need_intrinsics(model: da.DepthModel) -> None:
    bgr = picture()
    frame = model.stream()(bgr, 1.0, da.DepthImage(measured(model(bgr))))
    assert (frame.depth_m, frame.reason) == (None, 'no_camera_info')
    assert 'give a da.Camera to model.stream()' in frame.message


@pytest.mark.parametrize('name', ['depth.png', 'depth.jpg', 'depth.npy', 'tiefe-ä.png'])
def test_a_frame_is_saved(model: da.DepthModel, tmp_path: Path, name: str) -> None:
    frame = model(picture())
    frame.save(tmp_path / name)
    if name.endswith('.npy'):
        assert np.array_equal(np.load(tmp_path / name), frame.inverse_depth)
    else:
        bytes_ = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        assert cv2.imdecode(bytes_, cv2.IMREAD_COLOR).shape == (240, 320, 3)


@pytest.mark.parametrize('name', ['depth.xyz', 'depth', 'nowhere/depth.png'])
def test_what_cannot_be_saved_is_one_line(model: da.DepthModel, tmp_path: Path, name: str) -> None:
    with pytest.raises(da.SettingError, match='cannot be written: ') as caught:
        model(picture()).save(tmp_path / name)
    assert '\n' not in str(caught.value)


BAD_CALLS: list[tuple[str, Any, str]] = [
    ('grey', lambda m: m(picture()[..., 0]), r'uint8 \(240, 320\): give uint8 \(H, W, 3\)'),
    ('float', lambda m: m(picture().astype(float)), r'float64 .*\(255 \* image\)'),
    ('text', lambda m: m('photo.jpg'), 'the image is str.*cv2.imread'),
    ('none', lambda m: m(cv2.imread('no such photo.jpg')), 'the image is None.*check the path'),
    ('tensor', lambda m: m(torch.zeros(3, 9, 9)), 'the image is Tensor.*RGB'),
    ('rgba', lambda m: m(np.zeros((9, 9, 4), np.uint8)), r'\(9, 9, 4\).*BGRA2BGR'),
    ('empty', lambda m: m.batch([np.zeros((0, 9, 3), np.uint8)]), r'\(0, 9, 3\)'),
    ('batch', lambda m: m.batch(iter([picture(), None])), 'image 1 of the batch: .* is None'),
    ('black', lambda m: m(np.zeros((90, 90, 3), np.uint8)), 'uncover the lens'),
    ('channels first', lambda m: m(picture().transpose(2, 0, 1)), r'transpose\(1, 2, 0\)'),
    ('size', lambda m: m.stream(CAMERA)(picture()[:100], 1.0), '320 x 100, the camera 320 x 240'),
    ('parameter', lambda m: m.stream(CAMERA, {'alignment.hold': 1.0}), 'alignment.hold'),
    ('colormap', lambda m: m(picture()).color('sepia'), "'sepia' is not known"),
    ('of load', lambda m: m.stream(CAMERA, {'input_size': 56}), 'give it to da.load'),
    (
        'of the node',
        lambda m: m.stream(CAMERA, {'reference.type': 'ground_plane'}),
        'reference.type has no effect on a stream: .*da.Ground',
    ),
    ('rectified', lambda m: m.stream(CAMERA, {'rectified': False}), 'it is for the node'),
    ('matrix as camera', lambda m: m.stream(np.eye(3)), 'camera is ndarray: .*from_intrinsics'),
    ('array', lambda m: m.stream()(picture(), 1.0, np.ones((5, 5))), 'reference is ndarray'),
    ('class', lambda m: m.stream()(picture(), 1.0, da.Ground), 'reference is type'),
    ('points', lambda m: da.Points(np.zeros((5, 4), np.float32)), r'it must be \(N, 3\)'),
    ('list', lambda m: da.Points([[1, 2, 3]]), 'Points.xyz is list'),
    ('depth', lambda m: da.DepthImage(np.zeros(5)), 'DepthImage.depth_m is'),
    ('millimetres', lambda m: da.DepthImage(np.ones((5, 5), np.uint16)), 'holds uint16'),
    ('no depth', lambda m: da.DepthImage(np.zeros((0, 5))), 'it has no pixel'),
    (
        'cut off',
        lambda m: m.stream()(picture(), 1.0, da.DepthImage(np.ones((240, 200)))),
        'the reference is 200 x 240 and the image 320 x 240',
    ),
    ('half', lambda m: da.DepthImage(np.zeros((5, 5)), CAMERA), 'both camera and'),
    ('pose', lambda m: da.Points(np.zeros((5, 3)), np.eye(3)), r'shape \(3, 3\) .*\(4, 4\)'),
    ('level', lambda m: m.stream(CAMERA, level_from_camera=np.eye(3)), r'shape \(3, 3\)'),
    ('nan', lambda m: da.Points(np.zeros((5, 3)), np.full((4, 4), np.nan)), 'finite'),
    ('scaled', lambda m: da.Points(np.zeros((5, 3)), 2.0 * np.eye(4)), 'not rigid'),
    ('mirrored', lambda m: da.Odometry(np.diag([-1.0, 1.0, 1.0, 1.0])), 'not rigid'),
    ('one sigma', lambda m: da.Points(np.zeros((5, 3)), sigma_m=0.02), 'sigma_m is float'),
    ('sigma', lambda m: da.Points(np.zeros((5, 3)), sigma_m=np.ones(4)), r'\(4,\) for 5 points'),
    ('own camera', lambda m: da.DepthImage(np.ones((5, 5)), CAMERA, np.eye(4)), '320 x 240'),
    ('focal', lambda m: da.Camera.from_intrinsics(0, 1, 2, 3, 4, 5), 'fx=0'),
    ('text as focal', lambda m: da.Camera.from_intrinsics('1', 1, 2, 3, 4, 5), "fx='1'"),
    ('fisheye', lambda m: da.Camera(9, 9, 5, 5, 4, 4, (0.1,) * 4, 'fisheye'), r'equidistant \(4'),
    ('no stamp', lambda m: m.stream(CAMERA)(picture(), None), 'stamp_s is None'),
    ('stamp', lambda m: m.stream(CAMERA)(picture(), float('nan')), 'stamp_s is nan'),
    ('up', lambda m: da.Ground(1.0, (0.0, -2.0, 0.0)), 'it must be 1'),
    ('height', lambda m: da.Ground('1'), "camera_height_m is '1'"),
    ('below', lambda m: da.Ground(-1.0), 'give metres above 0'),
    ('nameless', lambda m: m(picture()).save(None), 'path is None'),
    ('variant', lambda m: da.load('vitz'), "variant is 'vitz': choose one of"),
]


@pytest.mark.parametrize(('call', 'text'), [case[1:] for case in BAD_CALLS])
def test_bad_input_is_one_line_that_says_what(model: da.DepthModel, call: Any, text: str) -> None:
    with pytest.raises(da.DepthAnythingError, match=text) as caught:
        call(model)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('size', [(240, 320), (240, 424), (720, 1280)])
@pytest.mark.parametrize('resolution', [2, 3, 6])
def test_a_depth_image_of_a_lower_resolution_gives_metres(
    model: da.DepthModel, size: tuple[int, int], resolution: int
) -> None:
    height, width = size
    bgr = cv2.resize(picture(), (width, height))
    depth_m = measured(model(bgr))
    camera = da.Camera.from_intrinsics(width, width, width / 2, height / 2, width, height)
    low = cv2.resize(
        depth_m, (-(-width // resolution), -(-height // resolution)), interpolation=cv2.INTER_AREA
    )
    frame = model.stream(camera)(bgr, 1.0, da.DepthImage(low))
    assert frame.reason == ''
    assert frame.depth_m is not None
    assert np.nanmedian(np.abs(frame.depth_m / depth_m - 1.0)) < 0.02


def test_a_frame_keeps_its_image_when_the_array_is_used_again(model: da.DepthModel) -> None:
    bgr = picture()
    frames = [model(bgr), model.stream(CAMERA)(bgr, 1.0), *model.batch([bgr])]
    before = bgr.copy()
    bgr[:] = 0
    for frame in frames:
        assert np.array_equal(frame.image, before)
    assert repr(frames[1]) == '<Frame 320 x 240, 1000000000 ns, no_reference>'


def test_flicker_is_that_of_the_frame_before_in_the_same_scene(model: da.DepthModel) -> None:
    stream, bgr = model.stream(CAMERA), picture()
    assert np.isnan(stream(bgr, 0.0).flicker)
    assert stream(bgr, 0.1).flicker == pytest.approx(0.0, abs=1e-12)
    brighter = np.clip(bgr.astype(np.int16) + 2, 0, 255).astype(np.uint8)
    assert 0.0 < stream(brighter, 0.2).flicker < 0.1
    assert np.isnan(stream(picture(1), 0.3).flicker)
    stream.restart()
    assert np.isnan(stream(picture(1), 0.4).flicker)
