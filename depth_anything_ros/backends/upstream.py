"""Upstream's own package, unchanged: the reference for our network."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.backends.base import BackendSettings
from depth_anything_ros.backends.torch.devices import choose_device
from depth_anything_ros.core.errors import BackendError, FrameError, SettingError
from depth_anything_ros.core.preprocess import check_bgr, network_size
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.card import Family
from depth_anything_ros.model.network.checkpoint import network_of
from depth_anything_ros.model.variants import Variant

__all__ = ['UpstreamBackend', 'upstream_network']

ENCODERS = ('vits', 'vitb', 'vitl', 'vitg')


class UpstreamBackend:
    """Upstream's `infer_image` as a DepthBackend.

    Upstream resizes, infers and resizes back in one call, so 'infer' is the time of all three.
    """

    def __init__(self, settings: BackendSettings) -> None:
        weights = settings.weights
        if weights.card.family != Family.DEPTH_ANYTHING_V2 or weights.card.metric:
            raise SettingError(
                f"{weights.title} cannot run on backend 'upstream', whose package holds the"
                " relative networks of Depth Anything V2 only: choose backend 'auto'"
            )
        if settings.precision not in ('auto', 'fp32'):
            raise SettingError(
                f"precision '{settings.precision}' cannot run on backend 'upstream': choose fp32"
            )
        network_size(1, 1, settings.input_size)
        self._device = choose_device(settings.device)
        torch.set_num_threads(settings.threads)
        self._network: Any = upstream_network(settings.variant)
        self._network.load_state_dict(network_of(settings.weights).state_dict(), strict=True)
        self._network.to(self._device)
        _feed(self._network, self._device)
        self.info = settings.info('upstream', str(self._device), 'fp32')
        self.input_size = settings.input_size
        self._turn = threading.Lock()

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return float32 (H, W) for a uint8 (H, W, 3) image, larger = nearer."""
        check_bgr(bgr)
        (height, width), size = bgr.shape[:2], self.input_size
        if network_size(height, width, size) != network_size(height, width, size, sys.maxsize):
            # Upstream would enlarge it until memory runs out.
            raise FrameError(
                'too_thin',
                f'an image of {width}x{height} is too thin for upstream, which enlarges the'
                " shorter side to input_size: crop it, or choose backend 'torch'",
            )
        with self._turn, (times or StageTimes()).stage('infer'):
            if self._network is None:
                raise BackendError('the upstream backend was closed: create another one')
            inverse_depth: FloatImage = self._network.infer_image(bgr, size)
        return inverse_depth

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Return `infer` of each image, one after the other: upstream has no batch."""
        return [self.infer(image, times) for image in images]

    def close(self) -> None:
        """Free the memory; the backend cannot run afterwards."""
        with self._turn:
            self._network = None
        if self._device.type == 'cuda':
            torch.cuda.empty_cache()


def upstream_network(variant: Variant) -> nn.Module:
    """Return upstream's network, untrained.

    Raises BackendError where its package is missing, SettingError for a variant that it lacks.
    """
    if variant.name not in ENCODERS:
        raise SettingError(
            f"variant '{variant.name}' is not upstream's: choose one of {', '.join(ENCODERS)},"
            " or backend 'torch'"
        )
    # It warns twice on import that xFormers is missing, which changes nothing for inference.
    logging.getLogger('dinov2').setLevel(logging.ERROR)
    try:
        with _torchvision_or_stand_in():
            module = importlib.import_module('depth_anything_v2.dpt')
    except ImportError as err:
        raise BackendError(
            f"backend 'upstream' needs upstream's package ({err}): "
            'pip install --no-deps jkp-depth-anything-v2'
        ) from err
    network: nn.Module = module.DepthAnythingV2(
        encoder=variant.name, features=variant.features, out_channels=list(variant.out_channels)
    )
    return network.eval().requires_grad_(False)


def _feed(network: Any, device: torch.device) -> None:
    """Make upstream's `infer_image` put its input on `device`, not on the one it would pick."""
    image2tensor = network.image2tensor

    def on_device(image: BgrImage, input_size: int) -> tuple[Tensor, tuple[int, int]]:
        tensor, size = image2tensor(image, input_size)
        return tensor.to(device), size

    network.image2tensor = on_device


def _compose(transforms: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Apply one function after the other: all that upstream uses of torchvision."""
    return lambda value: reduce(lambda x, transform: transform(x), transforms, value)


@contextmanager
def _torchvision_or_stand_in() -> Iterator[None]:
    """Make torchvision.transforms.Compose importable, by a stand-in where it is not.

    The stand-in is removed afterwards, so that nothing else takes it for torchvision.
    """
    try:
        importlib.import_module('torchvision.transforms')
    # A torchvision built for another torch raises RuntimeError or AttributeError.
    except (ImportError, RuntimeError, AttributeError):
        pass
    else:
        yield
        return
    package, transforms = ModuleType('torchvision'), ModuleType('torchvision.transforms')
    vars(transforms)['Compose'] = _compose
    stand_ins = {module.__name__: module for module in (package, transforms)}
    before = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]
        sys.modules.update(before)
