"""The time of each operation of a network, as OpenVINO counts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from depth_anything_ros.backends.base import BackendSettings
from depth_anything_ros.core.preprocess import network_input, network_size
from depth_anything_ros.core.types import BgrImage

__all__ = ['Profile', 'counted']

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
