"""The DPT head that turns tokens of four depths into one dense map.

Written after Ranftl et al., 'Vision Transformers for Dense Prediction' (2021). Parameter
names and shapes are those of the published Depth Anything V2 checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.model.variants import PATCH_PX, Variant

__all__ = ['DptHead']

OUTPUT_CHANNELS = 32
"""Channels of the last hidden layer, at the network's full resolution."""


class ResidualConvUnit(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, on a residual branch."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, features, h, w) to the same shape."""
        out: Tensor = self.conv2(functional.relu(self.conv1(functional.relu(x))))
        return out + x


class FeatureFusion(nn.Module):
    """Add a finer level to the path so far, and resize the sum."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        self.resConfUnit1 = ResidualConvUnit(features)
        self.resConfUnit2 = ResidualConvUnit(features)

    def forward(self, path: Tensor, level: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Return the fused path, (N, features, *size); `level` has the shape of `path`."""
        if level is not None:
            path = path + self.resConfUnit1(level)
        path = self.resConfUnit2(path)
        # A 1x1 convolution and a bilinear resize commute, so the convolution comes first, on
        # a quarter of the pixels.
        return _resized(self.out_conv(path), size)


class Scratch(nn.Module):
    """The fusion path; the checkpoints keep its weights under `scratch`."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        features = variant.features
        channels = variant.out_channels
        self.layer1_rn = nn.Conv2d(channels[0], features, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(channels[1], features, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(channels[2], features, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(channels[3], features, 3, padding=1, bias=False)
        self.refinenet1 = FeatureFusion(features)
        self.refinenet2 = FeatureFusion(features)
        self.refinenet3 = FeatureFusion(features)
        # Nothing comes before the deepest level, so its resConfUnit1 never runs.
        self.refinenet4 = FeatureFusion(features)
        self.output_conv1 = nn.Conv2d(features, features // 2, 3, padding=1)
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(features // 2, OUTPUT_CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(OUTPUT_CHANNELS, 1, 1),
        )


class DptHead(nn.Module):
    """Tokens of four depths to one value per pixel, before the last non-linearity."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        channels = variant.out_channels
        self.projects = nn.ModuleList(nn.Conv2d(variant.embed_dim, count, 1) for count in channels)
        self.resize_layers = nn.ModuleList(
            (
                nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
            )
        )
        self.scratch = Scratch(variant)

    def forward(self, tapped: Sequence[Tensor], rows: int, columns: int) -> Tensor:
        """Return (N, 1, 14 * rows, 14 * columns) from four (N, rows * columns, channels)."""
        scratch = self.scratch
        levels = []
        for tokens, project, resize in zip(tapped, self.projects, self.resize_layers, strict=True):
            # Tokens are rows of channels: seen as an image they already are channels-last.
            image = tokens.reshape(tokens.shape[0], rows, columns, -1).permute(0, 3, 1, 2)
            levels.append(resize(project(image)))
        level1 = scratch.layer1_rn(levels[0])
        level2 = scratch.layer2_rn(levels[1])
        level3 = scratch.layer3_rn(levels[2])
        level4 = scratch.layer4_rn(levels[3])
        path = scratch.refinenet4(level4, None, _size(level3))
        path = scratch.refinenet3(path, level3, _size(level2))
        path = scratch.refinenet2(path, level2, _size(level1))
        path = scratch.refinenet1(path, level1, (8 * rows, 8 * columns))
        path = scratch.output_conv1(path)
        path = _resized(path, (PATCH_PX * rows, PATCH_PX * columns))
        out: Tensor = scratch.output_conv2(path)
        return out


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(x, size, mode='bilinear', align_corners=True)
