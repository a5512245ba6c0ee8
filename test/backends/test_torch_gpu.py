"""Frames on a GPU: what can be held without one, and what the first machine with one runs."""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from depth_anything_ros.backends.base import BackendSettings
from depth_anything_ros.backends.torch import TorchBackend, gpu, host_frames
from depth_anything_ros.backends.torch.gpu import KEPT_PLANS, GpuFrames, Normalizer, whole_frame
from depth_anything_ros.core.errors import DeviceMemoryError
from depth_anything_ros.core.preprocess import network_input
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.network import random_network
from depth_anything_ros.model.variants import VARIANTS, Checkpoint, Variant
from depth_anything_ros.model.weights_file import WeightsFile

TINY = Variant('tiny', 48, 4, 3, (0, 1, 2, 3), 16, (8, 12, 16, 24))
CPU = torch.device('cpu')
SIZE = 56, 70


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, 'tiny', TINY)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')


def _images(count: int = 1, height: int = 48, width: int = 64) -> list[BgrImage]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def test_the_gpu_sees_what_the_cpu_sees() -> None:
    for height, width in ((48, 64), (300, 200)):  # enlarged, and shrunk without smoothing
        image = _images(1, height, width)[0]
        found = Normalizer(CPU)(torch.from_numpy(image)[None], SIZE)[0]
        # Of values to 4, on noise, where the last bit of a position shows; a grey level is 0.017.
        np.testing.assert_allclose(found, network_input(image, SIZE), atol=2e-4)


@pytest.mark.parametrize(
    # Half precision has 11 and 8 bits, spent in every layer.
    ('dtype', 'tolerance'),
    [(torch.float32, 1e-4), (torch.float16, 3e-2), (torch.bfloat16, 1e-1)],
)
def test_a_whole_frame_agrees_with_the_cpus(dtype: torch.dtype, tolerance: float) -> None:
    images = _images(2)
    expected = host_frames(random_network(TINY), torch.float32).run(images, SIZE, StageTimes())
    network = random_network(TINY).to(dtype)
    with torch.inference_mode():
        bgr = torch.from_numpy(np.stack(images))
        found = whole_frame(network, Normalizer(CPU), dtype, bgr, SIZE)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, np.stack(expected), atol=tolerance * np.ptp(expected))


def test_nothing_within_a_frame_waits_for_the_gpu() -> None:
    # The meta device raises where a value is read, as that would wait.
    meta = torch.device('meta')
    network = random_network(TINY).to(meta, torch.float16)
    bgr = torch.empty(2, 48, 64, 3, dtype=torch.uint8, device=meta)
    with torch.inference_mode():
        frame = whole_frame(network, Normalizer(meta), torch.float16, bgr, SIZE)
    assert frame.shape == (2, 48, 64) and frame.dtype == torch.float32
    assert frame.device.type == 'meta'


class _Stream:
    """Does at once what a stream of CUDA would do in time."""

    def __init__(self, *_: object) -> None:
        self.waits = 0

    def synchronize(self) -> None:
        self.waits += 1

    def wait_stream(self, _: object) -> None:
        pass


Capture = Callable[..., Callable[[], None]]


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], None]]]:
    """Stand in for CUDA on the CPU; gives what was captured, which the stand-in does again."""
    found: list[Callable[[], None]] = []

    def captured(compute: Callable[[], None], *_: object) -> Callable[[], None]:
        found.append(compute)
        return compute

    monkeypatch.setattr(torch.cuda, 'Stream', _Stream)
    monkeypatch.setattr(torch.cuda, 'stream', lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda _: None)
    monkeypatch.setattr(torch.cuda, 'graph_pool_handle', lambda: (0, 0))
    monkeypatch.setattr(gpu, 'captured', captured)
    yield found
    found.clear()


def _frames() -> GpuFrames:
    return GpuFrames(random_network(TINY), CPU, torch.float32)


def test_a_shape_is_captured_once_and_each_frame_has_its_own_answer(
    captures: list[Callable[[], None]],
) -> None:
    frames, (first, second) = _frames(), _images(2)
    times = StageTimes()
    answers = [frames.run([image], SIZE, times)[0] for image in (first, second, first)]
    assert len(captures) == 1 and set(times.ms) == {'preprocess', 'infer', 'postprocess'}
    np.testing.assert_array_equal(answers[0], answers[2])
    assert not np.array_equal(answers[0], answers[1])


def test_scales_are_folded_and_the_answer_stays(captures: list[Callable[[], None]]) -> None:
    network = random_network(TINY)
    for name, parameter in network.named_parameters():
        if name.endswith('gamma'):
            torch.nn.init.normal_(parameter)
    plain = GpuFrames(copy.deepcopy(network), CPU, torch.float32, plain=True)
    folded = GpuFrames(network, CPU, torch.float32)
    assert not any(name.endswith('gamma') for name, _ in network.named_parameters())
    expected, found = (each.run(_images(), SIZE, StageTimes())[0] for each in (plain, folded))
    # Rounding only: float32 has 24 bits, and the products add up over a few layers.
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(expected))


def test_a_frame_waits_once(captures: list[Callable[[], None]]) -> None:
    frames = _frames()
    frames.run(_images(), SIZE, StageTimes())
    stream = vars(frames)['_stream']
    before = stream.waits
    frames.run(_images(), SIZE, StageTimes())
    assert stream.waits - before == 1


def test_the_shape_unused_for_longest_goes(captures: list[Callable[[], None]]) -> None:
    frames = _frames()
    for side in range(KEPT_PLANS):
        frames.run(_images(1, 20 + side), SIZE, StageTimes())
    frames.run(_images(1, 20), SIZE, StageTimes())
    frames.run(_images(1, 60), SIZE, StageTimes())
    assert len(captures) == KEPT_PLANS + 1
    frames.run(_images(1, 20), SIZE, StageTimes())
    assert len(captures) == KEPT_PLANS + 1
    frames.run(_images(1, 21), SIZE, StageTimes())
    assert len(captures) == KEPT_PLANS + 2


def test_a_plan_holds_the_positions_that_its_graph_reads(
    captures: list[Callable[[], None]],
) -> None:
    frames = _frames()
    frames.run(_images(), SIZE, StageTimes())
    plan = next(iter(vars(frames)['_plans'].values()))
    network = vars(frames)['_network']
    with torch.inference_mode():
        assert plan.held is network.pretrained.positions(SIZE[0] // 14, SIZE[1] // 14)


def test_without_a_graph_the_network_runs_and_that_is_said_once(
    captures: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = _frames().run(_images(), SIZE, StageTimes())

    def failing(*_: object) -> Callable[[], None]:
        raise RuntimeError('operation not permitted when stream is capturing')

    monkeypatch.setattr(gpu, 'captured', failing)
    frames = _frames()
    with caplog.at_level(logging.WARNING):
        found = frames.run(_images(), SIZE, StageTimes())
        frames.run(_images(2), SIZE, StageTimes())
    np.testing.assert_array_equal(found[0], expected[0])
    assert [each.levelname for each in caplog.records] == ['WARNING']
    assert 'not permitted' in caplog.text


def test_memory_that_ends_in_a_capture_is_no_reason_to_go_without(
    captures: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gpu.captured

    def failing(*_: object) -> Callable[[], None]:
        raise torch.cuda.OutOfMemoryError('CUDA out of memory.')

    monkeypatch.setattr(gpu, 'captured', failing)
    frames = _frames()
    with pytest.raises(torch.cuda.OutOfMemoryError):
        frames.run(_images(), SIZE, StageTimes())
    monkeypatch.setattr(gpu, 'captured', whole)
    frames.run(_images(), SIZE, StageTimes())
    assert len(captures) == 1


def _backend(device: str, precision: str, input_size: int = 56) -> TorchBackend:
    card = Card.of_checkpoint('tiny', Checkpoint.RELATIVE)
    weights = WeightsFile(None, '', card, known=False, random=True)
    return TorchBackend(BackendSettings(weights, device, precision, input_size, 2))


@pytest.mark.cuda
@needs_gpu
@pytest.mark.parametrize(
    # float32 may multiply in another order there; half has 11 bits, spent in every layer.
    ('precision', 'tolerance'),
    [('fp32', 2e-3), ('fp16', 3e-2), ('bf16', 1e-1)],
)
def test_a_gpu_agrees_with_the_cpu(
    precision: str, tolerance: float, caplog: pytest.LogCaptureFixture
) -> None:
    images = [*_images(3), *_images(1, 64, 48)]
    expected = _backend('cpu', 'fp32').infer_batch(images)
    backend = _backend('cuda', precision)
    for _ in range(3):  # once step by step, then by graphs
        for answer, truth in zip(backend.infer_batch(images), expected, strict=True):
            assert np.abs(answer - truth).max() <= tolerance * np.ptp(truth)
    assert 'no CUDA graph' not in caplog.text


@pytest.mark.cuda
@needs_gpu
def test_a_closed_backend_leaves_nothing_on_the_gpu() -> None:
    gc.collect()
    before = torch.cuda.memory_allocated()
    backend = _backend('cuda', 'fp16')
    for height in range(40, 50):
        backend.infer(_images(1, height)[0])
    assert torch.cuda.memory_allocated() > before
    backend.close()
    gc.collect()
    assert torch.cuda.memory_allocated() == before


@pytest.mark.cuda
@needs_gpu
def test_a_gpu_without_memory_runs_smaller_frames() -> None:
    backend = _backend('cuda', 'fp16', 2072)
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        with pytest.raises(DeviceMemoryError, match='input_size 2072'):
            backend.infer_batch(_images(64))
        backend.input_size = 56
        backend.infer(_images()[0])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.cuda
@needs_gpu
def test_nothing_synchronises_within_a_frame() -> None:
    frames = GpuFrames(random_network(TINY), torch.device('cuda', 0), torch.float16)
    vars(frames)['_captures'] = False
    frames.run(_images(), SIZE, StageTimes())
    (plan,) = vars(frames)['_plans'].values()
    torch.cuda.set_sync_debug_mode('error')
    try:
        with torch.inference_mode():
            plan.launch()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    torch.cuda.synchronize()
