"""A picture of input images, outputs of the node, and ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.depth_errors import metric_figures
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.messages.depth_images import depth_from_image
from depth_anything_ros.messages.images import bgr_from_image
from lab.topic_names import TRUTH

__all__ = ['contact_sheet']

_IMAGE_TOPIC = '/camera/image_raw'
_COLOR_TOPIC = '/depth_anything/relative/image_color'
_DEPTH_TOPIC = '/depth_anything/depth/image'
_ROWS = (
    'camera image',
    'relative depth, from the node: nearer and farther',
    'metric depth, from the node: aligned to the lidar, in the colours of the ground truth',
    'ground truth, for comparison',
)

_TILE = 320, 240
_GAP = 6
_LABEL_HEIGHT = 26
_PAPER = 255


def contact_sheet(bags: Mapping[Path, Path], columns: int, colormap: str) -> BgrImage | None:
    """Draw `columns` moments of each bag that were processed, evenly spread; None without any.

    `bags` maps a bag that was replayed to the one with the node's outputs. Metric and true depth
    are drawn as inverse depth between the same bounds, so equal colours are equal metres.
    """
    tiles: list[list[BgrImage]] = []
    for bag, recorded in bags.items():
        sources = (
            (bag, _IMAGE_TOPIC),
            (recorded, _COLOR_TOPIC),
            (recorded, _DEPTH_TOPIC),
            (bag, TRUTH),
        )
        processed = sorted(set.intersection(*(_times_ns(*source) for source in sources)))
        if not processed:
            continue
        picks = np.linspace(0, len(processed) - 1, columns + 2)[1:-1].round().astype(int)
        times = [processed[index] for index in picks]
        read = (_messages(*source, times) for source in sources)
        tiles += [
            [
                bgr_from_image(image),
                bgr_from_image(color),
                *_drawn(depth_from_image(depth), depth_from_image(truth), colormap),
            ]
            for image, color, depth, truth in zip(*read, strict=True)
        ]
    return _laid_out(tiles) if tiles else None


def _times_ns(bag: Path, topic: str) -> set[int]:
    """Return the times of a topic, which in these bags are the stamps."""
    with BagReader(bag) as reader:
        return {message.receive_ns for message in reader.messages([topic])}


def _messages(bag: Path, topic: str, times_ns: list[int]) -> list[Any]:
    """Return the messages recorded at `times_ns` only: a long bag does not fit into memory."""
    with BagReader(bag) as reader:
        messages = reader.messages([topic])
        return [message.read() for message in messages if message.receive_ns in times_ns]


def _drawn(depth_m: FloatImage, truth_m: FloatImage, colormap: str) -> tuple[BgrImage, BgrImage]:
    """Draw both in the same colours; what the node does not know is white."""
    # The sky is at infinity: inverse depth 0.
    near, true = (np.nan_to_num(1.0 / each, nan=0.0) for each in (depth_m, truth_m))
    low, high = np.percentile(true, (2.0, 98.0))
    pictures = [
        colorize(
            np.clip((each - low) / max(high - low, 1e-6), 0.0, 1.0).astype(np.float32),
            COLORMAPS[colormap],
        )
        for each in (near, true)
    ]
    pictures[0][np.isnan(depth_m)] = _PAPER
    error = metric_figures(truth_m, depth_m).get('abs_rel', float('nan'))
    _write(pictures[0], f'mean error {100.0 * error:.1f} %')
    return pictures[0], pictures[1]


def _write(image: BgrImage, text: str) -> None:
    """Write `text` into the lower left corner, legible on any colour."""
    place = 12, image.shape[0] - 16
    for color, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        cv2.putText(
            image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, color, thickness, cv2.LINE_AA
        )


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
