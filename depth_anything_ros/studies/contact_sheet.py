"""A picture of what went in, what the node answered, and what was true."""

from __future__ import annotations

from collections.abc import Mapping
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
        sources = ((bag, _IMAGE_TOPIC), (recorded, _COLOR_TOPIC), (bag, _TRUTH_TOPIC))
        answered = sorted(set.intersection(*(_times_ns(*source) for source in sources)))
        if not answered:
            continue
        picks = np.linspace(0, len(answered) - 1, columns + 2)[1:-1].round().astype(int)
        times = [answered[index] for index in picks]
        images, answers, truths = (_messages(*source, times) for source in sources)
        tiles += [
            [bgr_from_image(image), bgr_from_image(answer), _drawn_truth(truth, colormap)]
            for image, answer, truth in zip(images, answers, truths, strict=True)
        ]
    return _laid_out(tiles)


def _times_ns(bag: Path, topic: str) -> set[int]:
    """List when a topic was recorded, which in these bags is what the stamps say."""
    with AnyReader([bag]) as reader:
        chosen = [c for c in reader.connections if c.topic == topic]
        return {time_ns for _, time_ns, _ in reader.messages(chosen)}


def _messages(bag: Path, topic: str, times_ns: list[int]) -> list[Any]:
    """Read the messages recorded at `times_ns` only: a long bag does not fit into memory."""
    with AnyReader([bag]) as reader:
        chosen = [c for c in reader.connections if c.topic == topic]
        return [
            reader.deserialize(data, connection.msgtype)
            for connection, time_ns, data in reader.messages(chosen)
            if time_ns in times_ns
        ]


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
