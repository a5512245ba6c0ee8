"""Small pictures side by side on one sheet, with what is written on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np

from depth_anything_ros.core.types import BgrImage, FloatImage

__all__ = ['fitted', 'laid_out', 'write']

_Image = TypeVar('_Image', FloatImage, BgrImage)

_GAP_PX = 2


def fitted(image: _Image, width: int, method: int = cv2.INTER_AREA) -> _Image:
    """Return an image (H, W) or (H, W, 3) resized to a width in pixels, in its aspect."""
    size = width, max(1, round(width * image.shape[0] / image.shape[1]))
    resized: _Image = cv2.resize(image, size, interpolation=method)  # type: ignore[assignment]
    return resized


def write(
    picture: BgrImage, text: str, at: tuple[int, int] = (4, 14), scale: float = 0.42
) -> None:
    """Write white on black into a picture (H, W, 3); `at` is the lower left end, (x, y)."""
    font, thickness, (x, y) = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(2 * scale)), at
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    cv2.rectangle(picture, (x - 2, y - height - 3), (x + width + 2, y + below), (0, 0, 0), -1)
    cv2.putText(picture, text, at, font, scale, (255, 255, 255), thickness, cv2.LINE_AA)


def laid_out(tiles: Sequence[BgrImage], columns: int) -> BgrImage:
    """Return tiles of one size, row by row, on a white sheet."""
    height, width = (side + _GAP_PX for side in tiles[0].shape[:2])
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + height - _GAP_PX, left : left + width - _GAP_PX] = tile
    return sheet
