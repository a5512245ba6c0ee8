"""Small pictures side by side on one sheet, with what is written on them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from depth_anything_ros.core.types import BgrImage

__all__ = ['laid_out', 'write']

_GAP_PX = 2


def write(
    picture: BgrImage, text: str, at: tuple[int, int] = (4, 14), scale: float = 0.42
) -> None:
    """Write white on black into a picture (H, W, 3); `at` is the lower left end, (x, y)."""
    for colour, width in (((0, 0, 0), 7 * scale), ((255, 255, 255), 2 * scale)):
        how = cv2.FONT_HERSHEY_SIMPLEX, scale, colour, max(1, round(width)), cv2.LINE_AA
        cv2.putText(picture, text, at, *how)


def laid_out(tiles: Sequence[BgrImage], columns: int) -> BgrImage:
    """Return tiles of one size, row by row, on a white sheet."""
    height, width = (side + _GAP_PX for side in tiles[0].shape[:2])
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + height - _GAP_PX, left : left + width - _GAP_PX] = tile
    return sheet
