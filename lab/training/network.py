"""The `demo` network outside a backend: batches to inverse depth, weights to and from disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import interpolate

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.core.input_format import IMAGENET_MEAN, IMAGENET_STD
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.checkpoint import load_network
from depth_anything_ros.model.variants import get_variant

__all__ = [
    'load_demo',
    'network_input',
    'predictor',
    'resized_pair',
    'save_demo',
]

_BATCH = 16


def network_input(rgb: Tensor) -> Tensor:
    """Normalise RGB (N, 3, H, W) in [0, 1] as ImageNet's statistics ask."""
    mean = rgb.new_tensor(IMAGENET_MEAN)[:, None, None]
    return (rgb - mean) / rgb.new_tensor(IMAGENET_STD)[:, None, None]


def predictor(network: DepthAnythingV2) -> Callable[[Sequence[BgrImage]], list[FloatImage]]:
    """Return function from pictures, sides multiples of 14, to inverse depth of the same size."""

    def predict(images: Sequence[BgrImage]) -> list[FloatImage]:
        outputs: list[FloatImage] = []
        network.eval()
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                bgr = torch.from_numpy(np.stack(images[start : start + _BATCH]))
                rgb = bgr.flip(-1).permute(0, 3, 1, 2).float() / 255.0
                outputs += [row.numpy() for row in network(network_input(rgb)).float()]
        return outputs

    return predict


def load_demo(path: Path) -> DepthAnythingV2:
    """Load the network in float32; WeightsError says how to make the file."""
    if not path.is_file():
        raise WeightsError(f'{path} is not there: make it by `python -m lab.training.train`')
    return load_network(get_variant('demo'), None, path)


def save_demo(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write the weights in half precision; a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')
    halves = {
        name: value.detach().to(torch.float16).contiguous() for name, value in weights.items()
    }
    save_file(halves, partial, metadata={'format': 'pt', 'variant': 'demo'})
    # safetensors writes for the owner's eyes only; a package's data is for everyone.
    partial.chmod(0o644)
    partial.replace(path)


def resized_pair(
    rgb: Tensor, inverse_depth: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Bring pictures (N, 3, H, W) and maps (N, H, W) to `size` (rows, columns)."""
    if rgb.shape[-2:] == size:
        return rgb, inverse_depth
    # Nearest for depth: a mean across an edge is a surface that is not there.
    maps = interpolate(inverse_depth[:, None], size, mode='nearest')[:, 0]
    return interpolate(rgb, size, mode='bilinear', align_corners=False), maps
