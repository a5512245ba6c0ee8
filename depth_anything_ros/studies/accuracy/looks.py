"""Pairs to look at: image, true depth, and the depth of each method side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import cv2
import numpy as np

from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.reports.report import Picture, Section, Steps, Text
from depth_anything_ros.studies.tiles import fitted, laid_out, write

__all__ = ['colored', 'looks', 'small']

_Image = TypeVar('_Image', FloatImage, BgrImage)

_TILE_PX = 320
_COLUMNS = 3
_MEANING = (
    'Inverse depth, near red and far blue, each between the 2nd and the 98th percentile of its '
    'own; black: true depth that is not known.'
)


def small(image: _Image) -> _Image:
    """Return an image as wide as a tile; what is sparse stays as it is in places."""
    return fitted(image, _TILE_PX, cv2.INTER_NEAREST)


def colored(inverse_depth: FloatImage) -> BgrImage:
    """Return inverse depth (H, W) in colour, black where it is NaN."""
    known = np.isfinite(inverse_depth)
    low, high = np.percentile(inverse_depth[known], (2.0, 98.0)) if known.any() else (0.0, 1.0)
    scaled = np.clip((inverse_depth - low) / max(high - low, 1e-12), 0.0, 1.0)
    drawn = colorize(np.where(known, scaled, 0.0).astype(np.float32), COLORMAPS['spectral_r'])
    drawn[~known] = 0
    return drawn


def looks(tiles: Mapping[str, Mapping[str, BgrImage]]) -> Section:
    """Return the section. `tiles`: pictures of one width by what they show, by pair."""
    steps = []
    for name, of_pair in tiles.items():
        for text, tile in of_pair.items():
            write(tile, text)
        sheet = laid_out(list(of_pair.values()), min(_COLUMNS, len(of_pair)))
        steps.append((name, [Picture(sheet, f'pairs/{name}')]))
    return Section('Pairs to look at', [Text(_MEANING), Steps(steps)])
