"""The contact sheet: a column for each image, with its depth by every variant below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.studies.depths import normalized
from depth_anything_ros.studies.inputs import NamedImage

__all__ = ['contact_sheet', 'write_text']

_TILE_PX = 360
_LABEL_PX = 240
_GAP_PX = 8
_PAPER, _INK = 255, (40, 40, 40)

_NAMES = {'vits': 'Small, vits', 'vitb': 'Base, vitb', 'vitl': 'Large, vitl'}
_GIANT = 'Giant, vitg', 'announced with 1.3 billion', 'parameters, never released:', 'no depth'


def contact_sheet(
    images: Sequence[NamedImage], depths: Mapping[str, Sequence[FloatImage]]
) -> BgrImage:
    """Draw the sheet, uint8 (h, w, 3). `depths`: inverse depth of each image, by title.

    In jet, near dark red and far dark blue, between the 2nd and the 98th percentile of each
    picture. Images keep their aspect. A row says that there is no Giant.
    """
    heights = [round(_TILE_PX * one.bgr.shape[0] / one.bgr.shape[1]) for one in images]
    rows = [_row(('image',), [one.bgr for one in images], heights)]
    for title, of_images in reversed(list(depths.items())):
        pictures = [
            colorize(np.clip(normalized(depth), 0.0, 1.0), COLORMAPS['jet']) for depth in of_images
        ]
        name, _, weights = title.partition(' ')
        label = _NAMES.get(name, name), weights, 'near: dark red', 'far: dark blue'
        rows.append(_row(label, pictures, heights))
    giant = np.full((110, rows[0].shape[1], 3), _PAPER, np.uint8)
    _label(giant, _GIANT)
    return np.concatenate([*rows, giant])


def write_text(picture: BgrImage, text: str, place: tuple[int, int], scale: float = 0.5) -> None:
    """Write `text` from `place` (x, y) in pixels, legible on any colour."""
    font = cv2.FONT_HERSHEY_SIMPLEX, scale
    cv2.putText(picture, text, place, *font, (0, 0, 0), round(8 * scale), cv2.LINE_AA)
    cv2.putText(
        picture, text, place, *font, (255, 255, 255), max(1, round(2 * scale)), cv2.LINE_AA
    )


def _row(label: Sequence[str], pictures: Sequence[BgrImage], heights: Sequence[int]) -> BgrImage:
    width = _LABEL_PX + len(pictures) * (_TILE_PX + _GAP_PX)
    row = np.full((max(heights) + _GAP_PX, width, 3), _PAPER, np.uint8)
    _label(row, label)
    for index, (picture, height) in enumerate(zip(pictures, heights, strict=True)):
        left = _LABEL_PX + index * (_TILE_PX + _GAP_PX)
        tile = cv2.resize(picture, (_TILE_PX, height), interpolation=cv2.INTER_AREA)
        row[:height, left : left + _TILE_PX] = tile
    return row


def _label(row: BgrImage, lines: Sequence[str]) -> None:
    for index, line in enumerate(lines):
        place = 8, 26 + 22 * index
        cv2.putText(row, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
