"""The table of backends, and the torch one on small random networks."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from depth_anything_ros.backends.base import AUTO, DepthBackend, NetworkOutput
from depth_anything_ros.backends.output_values import inverse_of_metres
from depth_anything_ros.backends.registry import BACKENDS, Implementation, choose_backend, load
from depth_anything_ros.backends.torch import devices
from depth_anything_ros.backends.torch.devices import choose_device, choose_precision
from depth_anything_ros.core.errors import (
    BackendError,
    DeviceMemoryError,
    FrameError,
    SettingError,
    WeightsError,
)
from depth_anything_ros.core.parameters import Parameters, entries
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.variants import Variant

TINY = Variant('tiny', 48, 4, 3, (0, 1, 2, 3), 16, (8, 12, 16, 24))
CPU = torch.device('cpu')


def _backend(**changes: object) -> DepthBackend:
    settings = {
        'backend': 'torch',
        'variant': 'tiny',
        'weights': 'random',
        'device': 'cpu',
        'precision': 'auto',
        'input_size': 56,
    }
    return load(choose_backend(Parameters(**(settings | changes))))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules['depth_anything_ros.model.variants'].VARIANTS, 'tiny', TINY)


def _image(height: int = 48, width: int = 64, seed: int = 0) -> BgrImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_a_frame_has_the_size_of_its_image_and_three_stages() -> None:
    backend = _backend()
    times = StageTimes()
    inverse_depth = backend.infer(_image(), times)
    assert inverse_depth.shape == (48, 64) and inverse_depth.dtype == np.float32
    assert set(times.ms) == {'preprocess', 'infer', 'postprocess'}
    assert np.ptp(inverse_depth) > 0


def test_the_info_says_what_runs() -> None:
    info = _backend(precision='fp32').info
    assert (info.name, info.variant, info.device, info.precision) == (
        'torch',
        'tiny',
        'cpu',
        'fp32',
    )
    assert info.input_size == 56 and info.output is NetworkOutput.INVERSE_DEPTH
    assert info.weights.random and info.weights.sha256 == ''


def test_a_batch_gives_what_single_frames_give_in_their_order() -> None:
    backend = _backend()
    images = [_image(seed=0), _image(60, 40, seed=1), _image(seed=2)]
    for image, found in zip(images, backend.infer_batch(images), strict=True):
        expected = backend.infer(image)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.ptp(expected))
    assert backend.infer_batch([]) == []


def test_an_answer_is_not_overwritten_by_the_next() -> None:
    backend = _backend()
    first = backend.infer(_image(56, 56, seed=0))
    kept = first.copy()
    backend.infer(_image(56, 56, seed=1))
    np.testing.assert_array_equal(first, kept)


def test_a_metric_checkpoint_gives_the_inverse_of_its_metres() -> None:
    backend = _backend(checkpoint='metric_indoor')
    assert backend.info.output is NetworkOutput.METRES
    inverse = backend.infer(_image())
    assert (inverse > 1 / 20).all()  # an indoor network ends at 20 m


def test_no_depth_has_no_inverse() -> None:
    metres = np.array([[2.0, 0.0, -1.0, np.nan, np.inf]], np.float32)
    np.testing.assert_array_equal(inverse_of_metres(metres), [[0.5, 0, 0, 0, 0]])


def test_bfloat16_is_near_float32() -> None:
    exact, rounded = _backend(precision='fp32'), _backend(precision='bf16')
    assert rounded.info.precision == 'bf16'
    # 8 bits of mantissa on values near 1.
    np.testing.assert_allclose(rounded.infer(_image()), exact.infer(_image()), atol=0.02)


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        _backend(threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_closed_backend_says_so() -> None:
    backend = _backend()
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match='closed'):
        backend.infer(_image())


def test_a_thin_image_runs() -> None:
    assert _backend().infer(_image(4, 2000)).shape == (4, 2000)


def test_what_is_no_image_is_refused_and_the_next_frame_runs() -> None:
    backend = _backend()
    with pytest.raises(FrameError):
        backend.infer(np.zeros((48, 64, 4), np.uint8))
    with pytest.raises(FrameError):
        backend.infer(np.zeros((0, 64, 3), np.uint8))
    backend.infer(_image())


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'backend': 'tensorflow'}, 'tensorflow.*torch, openvino'),
        ({'variant': 'vitx'}, 'vitx'),
        ({'device': 'tpu'}, 'tpu'),
        ({'device': 'cuda:x'}, 'cuda:x'),
        ({'precision': 'fp8'}, 'fp8'),
        ({'precision': 'fp16'}, 'fp16'),
        ({'input_size': 5}, 'input_size 5'),
        ({'threads': -1}, 'threads -1'),
    ],
)
def test_a_bad_setting_is_refused_by_name(changes: dict[str, object], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        _backend(**changes)


def test_missing_weights_are_an_error() -> None:
    with pytest.raises(WeightsError, match='nowhere'):
        _backend(variant='vits', weights='/nowhere/vits.pth')


@pytest.mark.skipif(torch.version.cuda is not None, reason='needs a CPU build of torch')
def test_cuda_without_cuda_says_how_to_fix_it() -> None:
    with pytest.raises(BackendError, match=r'CUDA build of torch.*set device to cpu'):
        _backend(device='cuda')
    assert choose_device('auto') == CPU


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, 'cuda', '12.8')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(BackendError, match='nvidia-smi'):
        choose_device('cuda')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    with pytest.raises(BackendError, match='cuda:0 to cuda:0'):
        choose_device('cuda:1')
    assert choose_device('cuda') == choose_device('auto') == torch.device('cuda', 0)


def test_auto_takes_the_fastest_arithmetic_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_precision('auto', torch.device('cuda', 0)) == 'fp16'
    for has, chosen in ((True, 'bf16'), (False, 'fp32')):
        monkeypatch.setattr(devices, 'multiplies_bfloat16', lambda has=has: has)
        assert choose_precision('auto', CPU) == chosen


def test_the_input_size_may_change_between_frames() -> None:
    backend, small = _backend(), _backend(input_size=28)
    backend.infer(_image())
    backend.input_size = 28
    np.testing.assert_array_equal(backend.infer(_image()), small.infer(_image()))
    assert backend.info.input_size == 56
    with pytest.raises(SettingError, match='input_size 9'):
        backend.input_size = 9
    assert backend.input_size == 28


def test_a_variant_made_for_one_size_keeps_it() -> None:
    backend = _backend(variant='demo', weights='')
    backend.input_size = backend.info.input_size
    with pytest.raises(SettingError, match=r'input_size 112.*demo.*126'):
        backend.input_size = 112


class _NoMemory:
    """Frames for which memory ends."""

    def __init__(self, message: str) -> None:
        self.message, self.freed = message, 0

    def run(self, *_: object) -> list[FloatImage]:
        raise RuntimeError(self.message)

    def free(self) -> None:
        self.freed += 1


@pytest.mark.parametrize(
    'message',
    [
        'CUDA out of memory. Tried to allocate 2.00 GiB.',
        'CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`',
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
    ],
)
def test_memory_that_ends_is_freed_and_told(message: str) -> None:
    backend, frames = _backend(), _NoMemory(message)
    vars(backend)['_frames'] = frames
    with pytest.raises(DeviceMemoryError, match='1 x 64x48 at input_size 56') as caught:
        backend.infer(_image())
    assert frames.freed == 1
    # What still held the error would hold the tensors of the frames that it came through.
    assert caught.value.__context__ is None


def test_other_errors_of_torch_are_not_taken_for_memory() -> None:
    backend, frames = _backend(), _NoMemory('CUDA error: an illegal memory access')
    vars(backend)['_frames'] = frames
    with pytest.raises(RuntimeError, match='illegal'):
        backend.infer(_image())
    assert frames.freed == 0


def test_missing_torch_is_a_backend_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(settings: object) -> DepthBackend:
        raise ModuleNotFoundError("No module named 'torch'", name='torch')

    monkeypatch.setitem(BACKENDS, 'torch', Implementation(absent))
    with pytest.raises(BackendError, match='pip install torch'):
        _backend()


def test_the_parameter_offers_what_the_table_holds() -> None:
    (parameter,) = (entry for entry in entries() if entry.name == 'backend')
    assert parameter.choices == (AUTO, *BACKENDS)
