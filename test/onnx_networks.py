"""ONNX networks for tests: one without weights whose depth is known, and an edge network."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ['EdgeNetwork', 'KnownDepth', 'write_onnx']


class KnownDepth(nn.Module):
    """Depth 1 + 9 * (mean of the channels) metres, of an image in [0, 1]; as `kind` of output.

    `layout` is 'nchw' or 'nhwc', of input and output; `axes` those of the output, 3 or 4.
    """

    def __init__(self, kind: str, layout: str = 'nchw', axes: int = 4, channel: int = -1) -> None:
        super().__init__()
        self.kind, self.layout, self.axes, self.channel = kind, layout, axes, channel

    def forward(self, image: Tensor) -> Tensor:
        last = self.layout == 'nhwc'
        if last:
            image = image.permute(0, 3, 1, 2)
        one = image[:, self.channel : self.channel + 1]
        depth = 1.0 + 9.0 * (image.mean(1, keepdim=True) if self.channel < 0 else one)
        values = {
            'relative_inverse_depth': 3.0 / depth + 0.02,
            'relative_depth': 7.0 * depth,
            'log_depth': depth.log() - 2.0,
            'metric_depth': depth,
            'metric_inverse_depth': 1.0 / depth,
        }[self.kind]
        if self.axes == 3:
            return values[:, 0]
        return values.permute(0, 2, 3, 1) if last else values


class _Separable(nn.Module):
    """MobileNetV2's inverted residual (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int = 4) -> None:
        super().__init__()
        hidden = inputs * expand
        self.residual = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class EdgeNetwork(nn.Module):
    """An encoder of inverted residuals, and a decoder of depthwise convolutions with skips.

    As MobileNetV2 and FastDepth (Wofk et al. 2019) are published, of the size of the networks for
    small computers: about 6 million parameters, 4 GMAC for 384 x 512. Gives inverse depth.
    """

    CHANNELS = (24, 48, 96, 192, 384)
    BLOCKS = (1, 3, 4, 6, 4)

    def __init__(self) -> None:
        super().__init__()
        first = self.CHANNELS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU6()
        )
        stages, inputs = [], first
        for index, (outputs, count) in enumerate(zip(self.CHANNELS, self.BLOCKS, strict=True)):
            blocks = [
                _Separable(
                    inputs if number == 0 else outputs,
                    outputs,
                    2 if number == 0 and index else 1,
                )
                for number in range(count)
            ]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.stages = nn.ModuleList(stages)
        down = list(self.CHANNELS[::-1])
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(deep, deep, 5, padding=2, groups=deep, bias=False),
                nn.BatchNorm2d(deep),
                nn.ReLU(),
                nn.Conv2d(deep, shallow, 1, bias=False),
                nn.BatchNorm2d(shallow),
                nn.ReLU(),
            )
            for deep, shallow in pairwise(down)
        )
        self.head = nn.Conv2d(first, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        for up, skip in zip(self.up, skips[-2::-1], strict=True):
            x = functional.interpolate(up(x), scale_factor=2.0, mode='nearest') + skip
        out: Tensor = functional.softplus(self.head(x))
        return functional.interpolate(out, scale_factor=2.0, mode='bilinear')


def write_onnx(network: nn.Module, path: Path, example: Tensor, *, fixed: bool = False) -> Path:
    """Export it, for any size of the image unless `fixed`; return the path."""
    axes = {2: 'h', 3: 'w'} if example.shape[1] == 3 else {1: 'h', 2: 'w'}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            network.eval(),
            (example,),
            path,
            dynamo=False,
            input_names=['picture'],
            output_names=['depth'],
            opset_version=17,
            dynamic_axes={} if fixed else {'picture': axes},
        )
    return path
