"""How an image becomes the input of a network: its size, its values, its axes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.network_size import MAX_INPUT_SIZE, MULTIPLE_PX, network_size
from depth_anything_ros.core.parameters.entries import param

__all__ = [
    'IMAGENET',
    'IMAGENET_MEAN',
    'IMAGENET_STD',
    'Channels',
    'ColorOrder',
    'InputFormat',
    'Layout',
    'PixelValues',
    'SizeRule',
]


Channels = tuple[tuple[int, npt.NDArray[np.float32]], ...]
"""For each channel of the network's input: which of B, G, R it is, and the value of every byte."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SizeRule(str, Enum):
    """Which size an image is resized to."""

    SHORTER_SIDE = 'shorter_side'
    LONGER_SIDE = 'longer_side'
    FIXED = 'fixed'


class PixelValues(str, Enum):
    """What the bytes 0 to 255 become."""

    IMAGENET = 'imagenet'
    ZERO_TO_ONE = 'zero_to_one'
    MINUS_ONE_TO_ONE = 'minus_one_to_one'
    BYTES = 'bytes'


class ColorOrder(str, Enum):
    """The order of the channels."""

    RGB = 'rgb'
    BGR = 'bgr'


class Layout(str, Enum):
    """The order of the axes: batch, channels, height, width, or channels last."""

    NCHW = 'nchw'
    NHWC = 'nhwc'


_MEAN_STD = {
    PixelValues.IMAGENET: (IMAGENET_MEAN, IMAGENET_STD),
    PixelValues.ZERO_TO_ONE: ((0.0,) * 3, (1.0,) * 3),
    PixelValues.MINUS_ONE_TO_ONE: ((0.5,) * 3, (0.5,) * 3),
    PixelValues.BYTES: ((0.0,) * 3, (1 / 255,) * 3),
}
"""Mean and standard deviation of R, G, B, where 255 is 1."""


def _values(kind: type[Enum]) -> tuple[str, ...]:
    return tuple(each.value for each in kind)


@dataclass(frozen=True)
class InputFormat:
    """The input of a network; the defaults are those of Depth Anything."""

    rule: str = param(
        'shorter_side',
        'shorter_side and longer_side keep the aspect and bring that side to size; fixed resizes '
        'every image to width x height.',
        choices=_values(SizeRule),
    )
    size: int = param(
        0,
        'That side in pixels, whatever the image; 0 leaves it to the parameter input_size.',
        between=(0, MAX_INPUT_SIZE),
    )
    width: int = param(0, 'Width in pixels, for fixed.', between=(0, 8192))
    height: int = param(0, 'Height in pixels, for fixed.', between=(0, 8192))
    multiple: int = param(
        MULTIPLE_PX, 'Both sides are rounded to multiples of so many pixels.', between=(1, 128)
    )
    values: str = param(
        'imagenet',
        'What the bytes 0 to 255 become: imagenet subtracts the mean of ImageNet and divides by '
        'its standard deviation; bytes leaves them, for a network that does that itself.',
        choices=_values(PixelValues),
    )
    color: str = param('rgb', 'Order of the channels.', choices=_values(ColorOrder))
    layout: str = param('nchw', 'Order of the axes.', choices=_values(Layout))

    def __post_init__(self) -> None:
        is_fixed = self.rule == SizeRule.FIXED
        if is_fixed != bool(self.width and self.height) or (is_fixed and self.size):
            raise SettingError(
                f'input.rule is {self.rule}, input.width {self.width}, input.height {self.height}'
                f' and input.size {self.size}: fixed takes width and height, the others size'
            )

    @property
    def pinned_size(self) -> int | None:
        """Return the only input size in pixels; None where the parameter input_size decides."""
        return min(self.width, self.height) or self.size or None

    @property
    def channels(self) -> Channels:
        """Return the channels of the input in their order."""
        channels = channels_of(*_MEAN_STD[PixelValues(self.values)])
        return channels if self.color == ColorOrder.RGB else channels[::-1]

    def size_for(self, height: int, width: int, input_size: int) -> tuple[int, int]:
        """Return (height, width) of the input for an image of `height` x `width` pixels.

        SettingError for an `input_size` that is out of range.
        """
        if self.rule == SizeRule.FIXED:
            return self.height, self.width
        if self.rule == SizeRule.SHORTER_SIDE:
            return network_size(height, width, input_size, multiple=self.multiple)
        # Checks both.
        network_size(height, width, input_size, multiple=self.multiple)
        scale, step = input_size / max(height, width) / self.multiple, self.multiple
        return max(1, round(height * scale)) * step, max(1, round(width * scale)) * step


def channels_of(mean: tuple[float, ...], std: tuple[float, ...]) -> Channels:
    """Return R, G and B, less `mean`, in units of `std`, where 255 is 1."""
    return tuple(
        (2 - index, ((np.arange(256) / 255.0 - m) / s).astype(np.float32))
        for index, (m, s) in enumerate(zip(mean, std, strict=True))
    )


IMAGENET = channels_of(IMAGENET_MEAN, IMAGENET_STD)
"""Those of Depth Anything."""
