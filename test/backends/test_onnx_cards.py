"""ONNX files of any network by their cards, through ONNX Runtime and OpenVINO."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from onnx_networks import EdgeNetwork, KnownDepth, write_onnx

from depth_anything_ros.backends import self_check
from depth_anything_ros.backends.base import DepthBackend, NetworkOutput
from depth_anything_ros.backends.loading import load_backend
from depth_anything_ros.backends.registry import choose_backend, load
from depth_anything_ros.core.errors import BackendError, SettingError, WeightsError
from depth_anything_ros.core.parameters import Parameters, parameters_from_flat
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage
from depth_anything_ros.estimator.model import DepthModel
from depth_anything_ros.metric.references import DepthImage

pytest.importorskip('onnx')
NAMES = ['openvino', 'onnxruntime']
KINDS = [
    'relative_inverse_depth',
    'relative_depth',
    'log_depth',
    'metric_depth',
    'metric_inverse_depth',
]
INPUT = 'input: {values: zero_to_one, multiple: 2, size: 48}\n'


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))


def _write(folder: Path, network: KnownDepth, card: str, *, fixed: bool = False) -> Path:
    """Write network and card; return the card."""
    shape = (1, 48, 64, 3) if network.layout == 'nhwc' else (1, 3, 48, 64)
    write_onnx(network, folder / 'net.onnx', torch.rand(shape), fixed=fixed)
    path = folder / 'net.yaml'
    path.write_text(f'family: onnx\noutput: {network.kind}\n{card}')
    return path


def _parameters(card: Path, backend: str) -> Parameters:
    if backend != 'upstream':
        pytest.importorskip(backend)
    return parameters_from_flat(
        {'weights': str(card), 'backend': backend, 'device': 'cpu', 'precision': 'fp32'}
    )


def _backend(card: Path, backend: str) -> DepthBackend:
    return load(choose_backend(_parameters(card, backend)))


def _scene() -> tuple[BgrImage, FloatImage]:
    """Return an image (96, 128), smooth so that resizing changes little, and its depth."""
    few = np.random.default_rng(0).integers(10, 246, (6, 8, 3), np.uint8)
    bgr = np.asarray(cv2.resize(few, (128, 96), interpolation=cv2.INTER_LINEAR), np.uint8)
    return bgr, np.asarray(1.0 + 9.0 * bgr.astype(np.float64).mean(2) / 255.0, np.float32)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_output_becomes_inverse_depth(tmp_path: Path, kind: str, name: str) -> None:
    backend = _backend(_write(tmp_path, KnownDepth(kind), INPUT), name)
    bgr, depth_m = _scene()
    found = backend.infer(bgr)
    expected = {
        'relative_inverse_depth': 3.0 / depth_m + 0.02,
        'relative_depth': 1.0 / (7.0 * depth_m),
        'log_depth': np.exp(2.0) / depth_m,
    }.get(kind, 1.0 / depth_m)
    assert found.dtype == np.float32 and found.shape == (96, 128)
    # What resizing to half the size and back changes.
    p50, p99 = np.percentile(np.abs(found / expected - 1.0), (50, 99))
    assert p50 < 0.01 and p99 < 0.04
    assert backend.info.output.metric == kind.startswith('metric')
    # Depth ordering is checked against a reference as for every network.
    stream = DepthModel(backend).stream(Camera.from_intrinsics(100, 100, 64, 48, 128, 96))
    frame = stream(bgr, 1.0, reference=DepthImage(depth_m))
    assert frame.depth_m is not None and frame.scale.source == 'reference'
    known = np.isfinite(frame.depth_m)
    assert known.mean() > 0.9
    assert np.median(np.abs(frame.depth_m / depth_m - 1.0)[known]) < 0.02
    reversed_m = np.asarray(11.0 - depth_m, np.float32)
    refused = DepthModel(backend).stream(Camera.from_intrinsics(100, 100, 64, 48, 128, 96))
    assert refused(bgr, 1.0, reference=DepthImage(reversed_m)).reason == 'contradicts_network'
    # Without a reference only metric networks give metres.
    alone = DepthModel(backend)(bgr)
    assert (alone.depth_m is not None) == kind.startswith('metric')
    if alone.depth_m is not None:
        assert np.nanmedian(np.abs(alone.depth_m / depth_m - 1.0)) < 0.01  # resizing


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('size', [(128, 96), (256, 192)])
def test_metres_by_the_focal_length(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    """metres = focal length in pixels of the network's input * output / constant."""
    card = _write(tmp_path, KnownDepth('metric_depth'), INPUT + 'focal_constant: 50\n')
    backend = _backend(card, name)
    assert backend.info.output is NetworkOutput.METRES_BY_FOCAL
    bgr, output = _scene()
    bgr, output = (
        cv2.resize(each, size, interpolation=cv2.INTER_LINEAR) for each in (bgr, output)
    )
    focal_px = 150.0 * size[0] / 128
    camera = Camera.from_intrinsics(focal_px, focal_px, size[0] / 2, size[1] / 2, *size)
    frame = DepthModel(backend).stream(camera)(bgr, 1.0)
    assert frame.depth_m is not None and frame.scale.source == 'checkpoint'
    # The input is 64 pixels wide, so its focal length is 75 whatever the image's.
    assert np.nanmedian(np.abs(frame.depth_m / (75.0 * output / 50.0) - 1.0)) < 0.01  # resizing
    without = DepthModel(backend)(bgr)
    assert without.depth_m is None and without.reason == 'no_camera_info'
    assert 'intrinsics' in without.message and without.normalized.max() == 1.0


@pytest.mark.parametrize('name', NAMES)
def test_axes_colours_and_fixed_sizes(tmp_path: Path, name: str) -> None:
    """A network that takes NHWC in BGR at one size, and looks at blue only."""
    network = KnownDepth('metric_depth', 'nhwc', axes=3, channel=0)
    form = (
        'input: {rule: fixed, width: 64, height: 48, values: zero_to_one, color: bgr, '
        'layout: nhwc}\n'
    )
    backend = _backend(_write(tmp_path, network, form, fixed=True), name)
    bgr, _ = _scene()
    tall = np.asarray(cv2.resize(bgr, (90, 160)), np.uint8)
    for image in (bgr, tall):
        depth_m = 1.0 + 9.0 * image[..., 0].astype(np.float64) / 255.0
        assert np.median(np.abs(1.0 / backend.infer(image) / depth_m - 1.0)) < 0.01  # resizing
    assert backend.info.input_size == 48
    for image, found in zip((bgr, tall), backend.infer_batch([bgr, tall]), strict=True):
        np.testing.assert_array_equal(found, backend.infer(image))
    with pytest.raises(SettingError, match='made for 48'):
        backend.input_size = 56


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize(
    ('network', 'card', 'fixed', 'said'),
    [
        (KnownDepth('log_depth'), 'input: {layout: nhwc}\n', True, 'input.layout is nhwc, and '),
        (KnownDepth('log_depth'), 'input: {layout: nhwc}\n', False, 'input.layout is nhwc, and '),
        (KnownDepth('log_depth'), '', True, 'rule: fixed, width: 64, height: 48'),
    ],
)
def test_a_file_is_not_what_its_card_says(
    tmp_path: Path, name: str, network: KnownDepth, card: str, fixed: bool, said: str
) -> None:
    with pytest.raises(WeightsError) as error:
        _backend(_write(tmp_path, network, card, fixed=fixed), name)
    print(error.value)
    assert said in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('name', NAMES)
def test_a_size_that_a_file_does_not_take_is_one_line(tmp_path: Path, name: str) -> None:
    write_onnx(EdgeNetwork(), tmp_path / 'net.onnx', torch.rand(1, 3, 64, 64))
    card = tmp_path / 'net.yaml'
    card.write_text('family: onnx\noutput: relative_inverse_depth\ninput: {size: 70}\n')
    backend = _backend(card, name)
    why = r'does not run on .*say which in .* input\.multiple'
    with pytest.raises(BackendError, match=why) as error:
        backend.infer(_scene()[0])
    print(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', NAMES)
def test_a_file_that_is_no_network(tmp_path: Path, name: str) -> None:
    card = _write(tmp_path, KnownDepth('log_depth'), INPUT)
    (tmp_path / 'net.onnx').write_bytes(b'no network')
    with pytest.raises(BackendError, match=r'cannot load .*export that network again') as error:
        _backend(card, name)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['torch', 'upstream'])
def test_what_cannot_run_it_says_so(tmp_path: Path, name: str) -> None:
    card = _write(tmp_path, KnownDepth('log_depth'), INPUT)
    with pytest.raises((BackendError, SettingError), match=r'ONNX file|cannot run on backend'):
        _backend(card, name)


@pytest.mark.parametrize('name', NAMES)
def test_the_self_check_compares_with_the_other_runtime(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = _write(tmp_path, KnownDepth('metric_depth'), INPUT)
    other = ({*NAMES} - {name}).pop()
    pytest.importorskip(other)
    assert load_backend(_parameters(card, name)).info.notices == ()
    # The output that the other one gave is from the cache now: one that differs is noticed.
    (kept,) = (tmp_path / 'xdg' / 'depth_anything_ros' / 'references').glob('net-48-*.npy')
    np.save(kept, 1.5 * np.load(kept))
    info = load_backend(_parameters(card, name)).info
    assert info.name == other and f'{name} fp32 disagrees with float32' in info.notices[0]

    def missing(*_: object) -> DepthBackend:
        raise ModuleNotFoundError(f'No module named {other!r}', name=other)

    kept.unlink()
    monkeypatch.setattr(self_check, 'plain_float32', missing)
    notices = load_backend(_parameters(card, name)).info.notices
    assert notices == (f'{name} fp32 was not compared with float32, which takes {other}',)
