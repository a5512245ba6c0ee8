"""The size of a network's input for an image of any size: upstream's rule, and its bounds."""

from __future__ import annotations

import math

from depth_anything_ros.core.errors import SettingError

__all__ = ['MAX_INPUT_SIZE', 'MULTIPLE_PX', 'network_size']

MULTIPLE_PX = 14
"""The network cuts its input into patches of this side."""

MAX_INPUT_SIZE = 2072
"""Four times the size the networks were trained at; attention costs its fourth power."""

MAX_ASPECT = 4
"""Beyond this aspect ratio an image no longer gets all the pixels upstream's rule asks for."""


def network_size(
    height: int,
    width: int,
    input_size: int,
    max_pixels: int | None = None,
    *,
    multiple: int = MULTIPLE_PX,
) -> tuple[int, int]:
    """Return the (height, width) of the network's input for an image of `height` x `width`.

    Upstream's rule: the shorter side reaches `input_size`, the aspect is kept, both sides are
    multiples of `multiple` and at least `input_size`. A thin image explodes under it (100 x 4000
    would become 518 x 20720), so past `max_pixels` (4 * input_size ** 2 by default) both
    sides shrink together to that many pixels, down to one multiple.
    """
    if height < 1 or width < 1:
        raise SettingError(f'an image of {width}x{height} pixels is empty: both sides must be > 0')
    if not multiple <= input_size <= MAX_INPUT_SIZE:
        raise SettingError(
            f'input_size {input_size} is out of range: give {multiple} to {MAX_INPUT_SIZE} '
            'pixels, 518 for full quality'
        )
    if max_pixels is None:
        max_pixels = MAX_ASPECT * input_size**2
    if max_pixels < multiple**2:
        raise SettingError(f'max_pixels {max_pixels} holds no patch: give at least {multiple**2}')
    scale = max(input_size / height, input_size / width)
    wanted = (
        _multiple(scale * height, multiple, at_least=input_size),
        _multiple(scale * width, multiple, at_least=input_size),
    )
    if wanted[0] * wanted[1] <= max_pixels:
        return wanted
    scale = math.sqrt(max_pixels / (height * width))
    shorter = max(multiple, _floor(scale * min(height, width), multiple))
    # When the shorter side stops at one patch, the longer one alone holds the cap.
    longer = min(
        _floor(scale * max(height, width), multiple), _floor(max_pixels / shorter, multiple)
    )
    longer = max(longer, multiple)
    return (shorter, longer) if height <= width else (longer, shorter)


def _multiple(value: float, multiple: int, at_least: int) -> int:
    rounded = round(value / multiple) * multiple
    if rounded < at_least:
        rounded = math.ceil(value / multiple) * multiple
    return rounded


def _floor(value: float, multiple: int) -> int:
    # A thousandth of a patch of slack: a product of roots lands just below whole numbers.
    return math.floor(value / multiple + 1e-3) * multiple
