"""Pictures of what a layer puts out: its channels in tiles, and attention laid over the image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.studies.dissect.record import channels_of
from depth_anything_ros.studies.inputs import normalized
from depth_anything_ros.studies.tiles import laid_out, write

__all__ = ['attention_picture', 'channels_picture']

MOST_CHANNELS = 64
_COLUMNS = 8
_TILE_PX = 140


def channels_picture(output: Tensor, grid: tuple[int, int]) -> BgrImage:
    """Draw the channels that vary most, up to 64, in their order with their numbers from 0.

    output: (1, channels, h, w), or (1, 1 + rows * columns, channels) with `grid` (rows, columns).
    Each tile has its own range of colours, from its 2nd to its 98th percentile.
    """
    channels = channels_of(output).float()
    if output.dim() == 3:
        channels, shape = channels[:, 1:], grid
    else:
        shape = output.shape[-2], output.shape[-1]
    count = min(MOST_CHANNELS, len(channels))
    chosen = sorted(channels.std(dim=1, correction=0).topk(count).indices.tolist())
    tiles = [_tile(channels[index].reshape(shape).numpy(), str(index)) for index in chosen]
    return laid_out(tiles, min(_COLUMNS, count))


def attention_picture(
    maps: Tensor, points: Sequence[tuple[float, float]], bgr: BgrImage
) -> BgrImage:
    """Draw attention (heads, points, rows, columns): a row for each point, a column for each head.

    The first column is the image with the point, the last the mean of all heads.
    """
    tiles = []
    for index, (x, y) in enumerate(points):
        marked = bgr.copy()
        centre = round(x * (bgr.shape[1] - 1)), round(y * (bgr.shape[0] - 1))
        radius = max(3, bgr.shape[1] // 40)
        cv2.circle(marked, centre, radius, (255, 255, 255), -1)
        cv2.circle(marked, centre, radius, (0, 0, 255), max(1, radius // 2))
        of_point = maps[:, index]
        tiles.append(_fitted(marked, marked.shape[:2]))
        for head, values in enumerate(of_point):
            tiles.append(_tile(values.numpy(), f'head {head + 1}', size=bgr.shape[:2]))
        tiles.append(_tile(of_point.mean(0).numpy(), 'mean', size=bgr.shape[:2]))
    return laid_out(tiles, len(maps) + 2)


def _tile(values: FloatImage, label: str, size: tuple[int, ...] | None = None) -> BgrImage:
    tile = _fitted(colorize(normalized(values), COLORMAPS['viridis']), size or values.shape)
    write(tile, label)
    return tile


def _fitted(picture: BgrImage, size: tuple[int, ...]) -> BgrImage:
    """Resize to the width of a tile, in the aspect of `size` (height, width)."""
    height = max(1, round(_TILE_PX * size[0] / size[1]))
    method = cv2.INTER_AREA if picture.shape[1] > _TILE_PX else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, (_TILE_PX, height), interpolation=method), np.uint8)
