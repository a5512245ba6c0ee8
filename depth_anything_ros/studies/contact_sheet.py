"""A picture of what went in, what the node answered, and what was true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader

from depth_anything_ros.core.colour import COLORMAPS, colorize
from depth_anything_ros.core.normalization import Normalizer
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.messages.images import bgr_from_image

__all__ = ['contact_sheet']

_TRUTH_TOPIC = '/ground_truth/depth/image'
_IMAGE_TOPIC = '/camera/image_raw'
_COLOR_TOPIC = '/depth_anything/relative/image_color'
_ROWS = ('camera image', 'relative depth, from the node', 'true depth, for comparison')

_TILE = 320, 240
_GAP = 6
_LABEL_HEIGHT = 26
_PAPER = 255


def contact_sheet(bags: Mapping[Path, Path], columns: int, colormap: str) -> BgrImage:
    """Draw `columns` moments of each bag that were answered, evenly spread.

    `bags` maps a bag that was replayed to the one with the node's answers. True depth is drawn
    as normalised inverse depth, so near and far compare by colour.
    """
    tiles: list[list[BgrImage]] = []
    for bag, recorded in bags.items():
        images, truths = dict(_by_stamp(bag, _IMAGE_TOPIC)), dict(_by_stamp(bag, _TRUTH_TOPIC))
        answers = dict(_by_stamp(recorded, _COLOR_TOPIC))
        answered = sorted(set(images) & set(truths) & set(answers))
        picks = np.linspace(0, len(answered) - 1, columns + 2)[1:-1].round().astype(int)
        for index in picks if answered else ():
            stamp = answered[index]
            tiles.append(
                [
                    bgr_from_image(images[stamp]),
                    bgr_from_image(answers[stamp]),
                    _drawn_truth(truths[stamp], colormap),
                ]
            )
    return _laid_out(tiles)


def _by_stamp(bag: Path, topic: str) -> Iterator[tuple[int, Any]]:
    with AnyReader([bag]) as reader:
        chosen = [c for c in reader.connections if c.topic == topic]
        for connection, _, data in reader.messages(chosen):
            message: Any = reader.deserialize(data, connection.msgtype)
            stamp = message.header.stamp
            yield stamp.sec * 1_000_000_000 + stamp.nanosec, message


def _drawn_truth(message: Any, colormap: str) -> BgrImage:
    depth_m: FloatImage = np.frombuffer(message.data, np.float32)
    depth_m = depth_m.reshape(message.height, message.width)
    # The sky is at infinity: inverse depth 0.
    inverse = np.asarray(1.0 / np.maximum(depth_m, 1e-3), np.float32)
    return colorize(Normalizer('percentile', 0.0).normalize(inverse, 0), COLORMAPS[colormap])


def _laid_out(tiles: list[list[BgrImage]]) -> BgrImage:
    width = len(tiles) * (_TILE[0] + _GAP) + _GAP
    pitch = _LABEL_HEIGHT + _TILE[1]
    sheet = np.full((len(_ROWS) * pitch + _GAP, width, 3), _PAPER, np.uint8)
    for row, label in enumerate(_ROWS):
        top = row * pitch
        cv2.putText(
            sheet,
            label,
            (_GAP, top + _LABEL_HEIGHT - 8),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.55,
            (40, 40, 40),
            1,
            cv2.LINE_AA,
        )
        for column, parts in enumerate(tiles):
            left = _GAP + column * (_TILE[0] + _GAP)
            tile = cv2.resize(parts[row], _TILE, interpolation=cv2.INTER_AREA)
            below = top + _LABEL_HEIGHT
            sheet[below : below + _TILE[1], left : left + _TILE[0]] = tile
    return sheet
