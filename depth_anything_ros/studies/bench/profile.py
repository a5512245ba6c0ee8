"""Where the time of a network goes, as OpenVINO counts it, and how near the peak that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from depth_anything_ros.backends.base import BackendSettings
from depth_anything_ros.core.preprocess import network_input, network_size
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.measure import Bench, BenchPlan, picture
from depth_anything_ros.studies.bench.network_worker import NetworkWorker
from depth_anything_ros.studies.bench.work import gflop_by_part

__all__ = ['Part', 'Profile', 'counted', 'profile']

_PARTS = {
    'FullyConnected': 'linear',
    'MatMul': 'linear',
    'Convolution': 'convolution',
    'ConvolutionBackpropData': 'convolution',
}
_ATTENTION = 'scaled_dot_product_attention'
"""In the names of what OpenVINO made one operation of."""

_REST = 'rest'


@dataclass(frozen=True)
class Profile:
    """Operations and mean milliseconds of a call by part of the network, and what that was."""

    precision: str
    input_size: int
    parts: Mapping[str, tuple[int, float]]


@dataclass(frozen=True)
class Part:
    """Operations of one kind: their number, milliseconds for an image, and share of all time.

    `gflop` counts multiplications and additions of matrix products, `gflops` those in a second,
    `peak_percent` that against the best measured rate of large products in the same precision.
    None where there are none, or no peak is known.
    """

    variant: str
    input_size: int
    precision: str
    part: str
    operations: int
    ms: float
    share_percent: float
    gflop: float | None = None
    gflops: float | None = None
    peak_percent: float | None = None


def profile(configuration: Configuration, size: tuple[int, int], calls: int) -> list[Part]:
    """Return the parts of a network for an image of `size` (width, height), the longest first.

    Raises DepthAnythingError where OpenVINO cannot run it.
    """
    with Bench(BenchPlan(size)) as bench:
        with bench.ready(configuration) as process:
            found = process.call(NetworkWorker.profile, configuration, picture(size), calls)
        peak = bench.peak_gflops('cpu', found.precision, configuration.threads)
    gflop = gflop_by_part(configuration.variant, size, found.input_size)
    total_ms = sum(ms for _, ms in found.parts.values())
    parts = []
    for name, (operations, ms) in found.parts.items():
        work = gflop.get(name)
        gflops = None if work is None else work / ms * 1e3
        percent = None if gflops is None or peak is None else 100.0 * gflops / peak
        share = 100.0 * ms / total_ms
        network = configuration.variant, found.input_size, found.precision
        parts.append(Part(*network, name, operations, ms, share, work, gflops, percent))
    return sorted(parts, key=lambda part: -part.ms)


def counted(settings: BackendSettings, image: BgrImage, calls: int) -> Profile:
    """Load a network that counts, and run it so many times on `image`, uint8 (H, W, 3)."""
    from depth_anything_ros.backends.openvino import compiled

    network, _, precision = compiled(settings, PERF_COUNT=True)
    request = network.create_infer_request()
    size = network_size(image.shape[0], image.shape[1], settings.input_size)
    batch = network_input(image, size)[None]
    for _ in range(calls):
        request.infer(batch)
    found: dict[str, tuple[int, float]] = {}
    for operation in network.get_runtime_model().get_ops():
        known = operation.get_rt_info()
        kind, made_of, time_us = (
            known[name].astype(str) for name in ('layerType', 'originalLayersNames', 'execTimeMcs')
        )
        if not time_us.isdecimal():
            continue
        part = 'attention' if _ATTENTION in made_of else _PARTS.get(kind, _REST)
        count, ms = found.get(part, (0, 0.0))
        found[part] = count + 1, ms + int(time_us) * 1e-3
    return Profile(precision, settings.input_size, found)
