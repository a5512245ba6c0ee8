"""Our network and whole frames against upstream's, on the same weights and photographs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.registry import choose_backend, load
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.model.network import DepthAnythingV2, random_network
from depth_anything_ros.model.variants import get_variant

data = pytest.importorskip('skimage.data')
pytestmark = pytest.mark.skipif(
    find_spec('depth_anything_v2') is None, reason='needs upstream: jkp-depth-anything-v2'
)

SAME_TENSOR = 1e-4
SAME_IMAGE = 1e-3
"""Largest differences allowed, of the output's range; the goals of the project."""


class Pair:
    """Both networks of one variant, with the same weights."""

    def __init__(self, name: str) -> None:
        self.ours = varied(random_network(get_variant(name)))
        self.upstream = empty_upstream(name)
        self.upstream.load_state_dict(self.ours.state_dict(), strict=True, assign=True)
        self.name = name
        self.backends: dict[int, DepthBackend] = {}

    def backend(self, input_size: int, weights: str) -> DepthBackend:
        if input_size not in self.backends:
            parameters = Parameters(
                backend='torch',
                variant=self.name,
                weights=weights,
                device='cpu',
                precision='fp32',
                input_size=input_size,
            )
            self.backends[input_size] = load(choose_backend(parameters))
        return self.backends[input_size]

    def check(self, bgr: BgrImage, input_size: int, weights: str) -> None:
        with torch.inference_mode():
            x, size = self.upstream.image2tensor(bgr, input_size)
            expected = self.upstream(x)
            spread = float(expected.max() - expected.min())
            assert spread > 1e-3
            assert float((self.ours(x) - expected).abs().max()) <= SAME_TENSOR * spread
            frame = torch.nn.functional.interpolate(
                expected[:, None], size, mode='bilinear', align_corners=True
            )[0, 0].numpy()
        found = self.backend(input_size, weights).infer(bgr)
        assert found.shape == bgr.shape[:2]
        assert np.abs(found - frame).max() <= SAME_IMAGE * (frame.max() - frame.min())


def empty_upstream(name: str) -> Any:
    """Return upstream's network of a variant without values: drawing them takes seconds."""
    from depth_anything_ros.backends.upstream import upstream_network

    linspace = torch.linspace
    with pytest.MonkeyPatch.context() as patch:
        # It reads the values of a linspace while it is built, which meta has none of.
        patch.setattr(torch, 'linspace', lambda *args: linspace(*args, device='cpu'))
        with torch.device('meta'):
            return upstream_network(get_variant(name)).eval()


def varied(network: DepthAnythingV2) -> DepthAnythingV2:
    """Return the parameters that start as zeros and ones values that show when misused."""
    generator = torch.Generator().manual_seed(7)
    for name, parameter in network.requires_grad_(False).named_parameters():
        if name.endswith('.gamma'):
            parameter.uniform_(0.2, 1.0, generator=generator)
        elif 'norm' in name:
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
        elif name.startswith('pretrained') and name.endswith('.bias'):
            parameter.normal_(std=0.02, generator=generator)
    return network


def photograph(name: str) -> BgrImage:
    """Return one of four shapes, from photographs inside scikit-image's wheel."""
    if name == 'portrait':
        rgb = data.astronaut()[:, 76:436]
    elif name == 'square':
        rgb = data.astronaut()
    elif name == 'hd':
        rgb = cv2.resize(data.coffee()[30:368], (1280, 720), interpolation=cv2.INTER_CUBIC)
    else:
        rgb = cv2.resize(data.rocket(), (640, 480), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(rgb[..., ::-1])


@pytest.fixture(scope='module')
def vits() -> Pair:
    return Pair('vits')


@pytest.fixture(scope='module')
def vits_file(vits: Pair, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp('vits') / 'vits.pth'
    torch.save(vits.upstream.state_dict(), path)
    return str(path)


@pytest.mark.parametrize(
    ('name', 'input_size'),
    [
        *(('landscape', 518), ('landscape', 252), ('portrait', 252)),
        *(('square', 252), ('hd', 364), ('hd', 252)),
    ],
)
def test_vits_agrees(vits: Pair, vits_file: str, name: str, input_size: int) -> None:
    vits.check(photograph(name), input_size, vits_file)


@pytest.mark.parametrize(('variant', 'input_size'), [('vitb', 126), ('vitl', 56)])
def test_the_larger_variants_agree(
    variant: str, input_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(variant)
    # Not through a file of a gigabyte, which takes longer than all else.
    monkeypatch.setattr('depth_anything_ros.backends.torch.network_of', lambda _: pair.ours)
    pair.check(photograph('landscape'), input_size, 'random')


def test_vitg_has_upstreams_parameters() -> None:
    with torch.device('meta'):
        ours = DepthAnythingV2(get_variant('vitg')).state_dict()
    theirs = empty_upstream('vitg').state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }


def test_the_metric_head_agrees(vits: Pair) -> None:
    # Upstream keeps its metric network outside the package: the same but for these lines.
    network = DepthAnythingV2(get_variant('vits'), 20.0).eval()
    network.load_state_dict(vits.ours.state_dict())
    head = vits.upstream.depth_head.scratch.output_conv2
    relu, head[3] = head[3], torch.nn.Sigmoid()
    try:
        with torch.inference_mode():
            x, _ = vits.upstream.image2tensor(photograph('landscape'), 126)
            expected = vits.upstream(x) * 20.0
            spread = expected.max() - expected.min()
            assert (network(x) - expected).abs().max() <= SAME_TENSOR * spread
    finally:
        head[3] = relu
