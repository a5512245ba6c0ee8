"""Upstream's package behind our protocol."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest

from depth_anything_ros.backends.base import DepthBackend, NetworkOutput
from depth_anything_ros.backends.registry import choose_backend, load
from depth_anything_ros.backends.upstream import upstream_network
from depth_anything_ros.core.errors import BackendError, FrameError, SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.model.variants import get_variant

needs_upstream = pytest.mark.skipif(
    find_spec('depth_anything_v2') is None, reason='needs upstream: jkp-depth-anything-v2'
)


def _backend(name: str = 'upstream', **changes: object) -> DepthBackend:
    settings = {
        'variant': 'vits',
        'weights': 'random',
        'device': 'cpu',
        'precision': 'fp32',
        'input_size': 56,
    }
    return load(choose_backend(Parameters(backend=name, **(settings | changes))))  # type: ignore[arg-type]


@pytest.fixture(scope='module')
def upstream() -> DepthBackend:
    return _backend()


@pytest.fixture
def image() -> BgrImage:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@needs_upstream
def test_it_gives_what_our_network_gives(upstream: DepthBackend, image: BgrImage) -> None:
    times = StageTimes()
    expected = upstream.infer(image, times)
    assert set(times.ms) == {'infer'}
    assert expected.shape == (48, 64) and expected.dtype == np.float32
    found = _backend('torch', precision='fp32').infer(image)
    assert np.abs(found - expected).max() <= 1e-3 * np.ptp(expected)  # the goal for one image


@needs_upstream
def test_it_says_what_it_is(upstream: DepthBackend) -> None:
    info = upstream.info
    assert (info.name, info.device, info.precision) == ('upstream', 'cpu', 'fp32')
    assert info.output is NetworkOutput.INVERSE_DEPTH and info.weights.random


@needs_upstream
def test_a_batch_is_frames_in_turn(upstream: DepthBackend, image: BgrImage) -> None:
    first, second = upstream.infer_batch([image, image[:, ::-1]])
    np.testing.assert_array_equal(first, upstream.infer(image))
    assert not np.array_equal(first, second)


@needs_upstream
def test_it_refuses_what_would_exhaust_the_memory(upstream: DepthBackend) -> None:
    with pytest.raises(FrameError) as error:
        upstream.infer(np.zeros((4, 2000, 3), np.uint8))
    assert error.value.reason == 'too_thin'


@needs_upstream
def test_it_refuses_what_is_no_image(upstream: DepthBackend) -> None:
    with pytest.raises(FrameError, match='BGR'):
        upstream.infer(np.zeros((48, 64), np.uint8))


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'checkpoint': 'metric_outdoor'}, 'metric_outdoor'),
        ({'precision': 'bf16'}, 'bf16'),
        ({'input_size': 3}, 'input_size 3'),
        ({'variant': 'demo'}, "variant 'demo'"),
    ],
)
def test_what_upstream_cannot_do_is_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        _backend(**changes)


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'depth_anything_v2', None)
    monkeypatch.setitem(sys.modules, 'depth_anything_v2.dpt', None)
    with pytest.raises(BackendError, match='pip install --no-deps jkp-depth-anything-v2'):
        _backend()


@needs_upstream
def test_the_stand_in_is_gone_after_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, 'depth_anything_v2.dpt', raising=False)
    monkeypatch.setitem(sys.modules, 'torchvision', None)  # import torchvision fails
    monkeypatch.delitem(sys.modules, 'torchvision.transforms', raising=False)
    upstream_network(get_variant('vits'))
    assert sys.modules['torchvision'] is None
    assert 'torchvision.transforms' not in sys.modules


@needs_upstream
def test_an_installed_torchvision_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    package, transforms = ModuleType('torchvision'), ModuleType('torchvision.transforms')
    package.__path__ = []
    vars(package)['transforms'] = transforms
    vars(transforms)['Compose'] = type('Theirs', (), {})
    monkeypatch.setitem(sys.modules, 'torchvision', package)
    monkeypatch.setitem(sys.modules, 'torchvision.transforms', transforms)
    monkeypatch.delitem(sys.modules, 'depth_anything_v2.dpt', raising=False)
    upstream_network(get_variant('vits'))
    assert sys.modules['depth_anything_v2.dpt'].Compose.__name__ == 'Theirs'


@needs_upstream
def test_a_closed_backend_says_so(image: BgrImage) -> None:
    backend = _backend()
    backend.close()
    with pytest.raises(BackendError, match='closed'):
        backend.infer(image)
