"""One network for several cameras: batches, errors of one image, memory that ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from depth_anything_ros.backends.base import BackendInfo, NetworkOutput
from depth_anything_ros.core.errors import DeviceMemoryError, FrameError
from depth_anything_ros.core.parameters import OverloadParameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.estimator.shared_network import SharedNetwork
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find

DOWNSCALE, NONE = OverloadParameters('downscale', 10.0), OverloadParameters()


class Network:
    """Gives the mean of an image; its memory holds inputs of so many pixels in a batch."""

    def __init__(self, variant: str = 'vits', memory: float = np.inf) -> None:
        self.info = BackendInfo(
            'fake',
            variant,
            'cpu',
            'fp32',
            518,
            NetworkOutput.INVERSE_DEPTH,
            find(variant, Checkpoint.RELATIVE, 'random'),
        )
        self.input_size = self.info.input_size
        self.memory = memory
        self.runs: list[tuple[int, int]] = []

    def infer_batch(
        self, images: Sequence[np.ndarray], times: StageTimes | None = None
    ) -> list[np.ndarray]:
        self.runs.append((len(images), self.input_size))
        if len(images) * self.input_size**2 > self.memory:
            raise DeviceMemoryError('no room')
        if any(image.max() == 0 for image in images):
            raise FrameError('dark', 'an image is dark')
        (times or StageTimes()).add('infer', 7.0)
        return [np.full(image.shape[:2], image.mean(), np.float32) for image in images]

    def infer(self, bgr: np.ndarray, times: StageTimes | None = None) -> np.ndarray:
        return self.infer_batch([bgr], times)[0]

    def close(self) -> None: ...


def image(value: int) -> np.ndarray:
    return np.full((4, 6, 3), value, np.uint8)


def run(network: Network, *values: int) -> tuple[list[Any], list[StageTimes], list[str]]:
    told: list[str] = []
    shared = SharedNetwork(network, told.append)
    times = [StageTimes() for _ in values]
    return shared.infer([image(value) for value in values], times), times, told


def test_images_that_wait_together_run_together_and_each_took_as_long() -> None:
    network = Network()
    found, times, _ = run(network, 1, 2, 3)
    assert network.runs == [(3, 518)]
    assert [each.max() for each in found] == [1, 2, 3]
    assert [each.ms for each in times] == [{'infer': 7.0}] * 3


def test_an_image_that_cannot_be_used_takes_no_other_along() -> None:
    found, times, _ = run(Network(), 1, 0, 3)
    assert found[0].max() == 1 and found[2].max() == 3
    assert isinstance(found[1], FrameError) and found[1].reason == 'dark'
    assert [each.ms for each in times] == [{'infer': 7.0}, {}, {'infer': 7.0}]


def test_where_memory_holds_one_image_only_they_run_one_by_one_from_then_on() -> None:
    network = Network(memory=518**2)
    told: list[str] = []
    shared = SharedNetwork(network, told.append)
    for _ in range(2):
        found = shared.infer([image(1), image(2)], [StageTimes(), StageTimes()])
        assert [each.max() for each in found] == [1, 2]
    assert network.runs == [(2, 518), (1, 518), (1, 518), (1, 518), (1, 518)]
    assert len(told) == 1 and 'one by one' in told[0]
    assert not shared.degraded


def test_where_memory_does_not_hold_one_the_input_shrinks_for_good() -> None:
    network = Network(memory=400**2)
    told: list[str] = []
    shared = SharedNetwork(network, told.append)
    for _ in range(2):
        (found,) = shared.infer([image(5)], [StageTimes()])
        assert found.max() == 5
    assert [size for _, size in network.runs] == [518, 434, 364, 364]
    assert shared.degraded == 'degraded: input size 364 of 518 (memory)'
    shared.processed(0.01, 30.0, NONE)
    assert network.input_size == 364


@pytest.mark.parametrize(('variant', 'tries'), [('vits', 4), ('demo', 1)])
def test_memory_that_holds_nothing_ends_in_a_refusal_and_no_loop(variant: str, tries: int) -> None:
    network = Network(variant, memory=0)
    found, _, _ = run(network, 5)
    assert isinstance(found[0], FrameError) and found[0].reason == 'out_of_memory'
    assert len(network.runs) == tries


class Busy:
    """A shared network that answers an image every 0.2 s of simulated time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.network, self.told = Network(), list[str]()
        self.shared = SharedNetwork(self.network, self.told.append)
        self._now_s = 0.0
        monkeypatch.setattr('time.monotonic', lambda: self._now_s)

    def run(self, input_hz: float, want: OverloadParameters, seconds: float = 5.0) -> None:
        end_s = self._now_s + seconds
        while self._now_s < end_s:
            self.shared.infer([image(1)], [StageTimes()])
            self._now_s += 0.2
            self.shared.processed(0.2, input_hz, want)


def test_a_slow_network_is_told_and_restored_by_the_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = Busy(monkeypatch)
    busy.run(30.0, NONE)
    assert busy.network.input_size == 518
    busy.run(30.0, DOWNSCALE)
    assert busy.network.input_size < 518
    assert busy.shared.degraded.endswith('(overload)')
    assert '5.0 Hz where 10.0 are wanted' in busy.told[0]
    busy.run(30.0, NONE, 0.1)
    assert busy.network.input_size == 518 and not busy.shared.degraded


def test_a_camera_slower_than_the_target_asks_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Busy(monkeypatch)
    busy.run(5.0, DOWNSCALE)
    assert busy.network.input_size == 518
    busy.run(6.0, DOWNSCALE)
    assert busy.network.input_size < 518
