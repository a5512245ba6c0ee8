"""What is written on tiles, and where they lie."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.studies.tiles import laid_out, write


def test_text_is_read_on_any_ground() -> None:
    for ground in (0, 255):
        picture = np.full((40, 120, 3), ground, np.uint8)
        write(picture, 'jet')
        label = picture[4:16, 2:20]
        assert label.min() == 0 and label.max() > 200
        assert (picture[:, 60:] == ground).all()


def test_tiles_lie_row_by_row() -> None:
    tiles = [np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = laid_out(tiles, 2)
    assert sheet.shape == (12, 16, 3)
    assert (sheet[0, 0, 0], sheet[0, 8, 0], sheet[6, 0, 0], sheet[6, 8, 0]) == (10, 20, 30, 255)
