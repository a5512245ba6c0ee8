"""The contact sheet: a column for each image, with its depth by every variant below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.studies.inputs import normalized
from depth_anything_ros.studies.tiles import fitted, write
from depth_anything_ros.studies.variants.compare import Dispute

__all__ = ['contact_sheet', 'draw_disputes']

_TILE_PX = 360
_LABEL_PX = 240
_GAP_PX = 8
_FONT = cv2.FONT_HERSHEY_SIMPLEX

_NAMES = {'vits': 'Small, vits', 'vitb': 'Base, vitb', 'vitl': 'Large, vitl'}
_GIANT = 'Giant, vitg', 'announced with 1.3 billion', 'parameters, never released:', 'no depth'


def contact_sheet(
    images: Sequence[BgrImage], depths: Mapping[str, Sequence[FloatImage]]
) -> BgrImage:
    """Draw the sheet, uint8 (h, w, 3). `depths`: inverse depth of each image by title.

    In jet, near dark red and far dark blue, between the 2nd and the 98th percentile of each
    picture. Images keep their aspect. A row says that there is no Giant.
    """
    rows = [_row(('image',), images)]
    for title, of_images in reversed(list(depths.items())):
        name, _, weights = title.partition(' ')
        label = _NAMES.get(name, name), weights, 'near: dark red', 'far: dark blue'
        rows.append(
            _row(label, [colorize(normalized(each), COLORMAPS['jet']) for each in of_images])
        )
    giant = np.full((110, rows[0].shape[1], 3), 255, np.uint8)
    _write_label(giant, _GIANT)
    return np.concatenate([*rows, giant])


def draw_disputes(bgr: BgrImage, found: Sequence[Dispute]) -> BgrImage:
    """Return the image with the points of each pair, '1A' and '1B'."""
    drawn = bgr.copy()
    scale = max(0.6, bgr.shape[1] / 900)
    for number, one in enumerate(found, 1):
        cv2.line(drawn, one.a, one.b, (255, 255, 255), max(1, round(2 * scale)), cv2.LINE_AA)
        for letter, (x, y) in (('A', one.a), ('B', one.b)):
            cv2.circle(drawn, (x, y), round(7 * scale), (0, 0, 255), -1, cv2.LINE_AA)
            place = min(x + 8, drawn.shape[1] - round(50 * scale)), max(y - 8, round(24 * scale))
            write(drawn, f'{number}{letter}', place, scale)
    return drawn


def _row(label: Sequence[str], pictures: Sequence[BgrImage]) -> BgrImage:
    tiles = [fitted(one, _TILE_PX) for one in pictures]
    width = _LABEL_PX + len(tiles) * (_TILE_PX + _GAP_PX)
    row = np.full((max(map(len, tiles)) + _GAP_PX, width, 3), 255, np.uint8)
    _write_label(row, label)
    for index, tile in enumerate(tiles):
        left = _LABEL_PX + index * (_TILE_PX + _GAP_PX)
        row[: len(tile), left : left + _TILE_PX] = tile
    return row


def _write_label(row: BgrImage, lines: Sequence[str]) -> None:
    for index, line in enumerate(lines):
        cv2.putText(row, line, (8, 26 + 22 * index), _FONT, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
