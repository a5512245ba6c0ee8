"""Images to calibrate int8 on: from a bag, a folder or a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.media.sources import open_source

__all__ = ['NO_PICTURES', 'calibration_images']

NO_PICTURES = (
    'int8 is calibrated on pictures of your own: give --calibration a bag, a folder of images or '
    'a video'
)

_MOST = 64
"""More change little, and each takes seconds with a large network."""

_BAG_FILES = ('.db3', '.mcap')

_Reads = Iterator[Callable[[], BgrImage]]


def calibration_images(source: str) -> list[BgrImage]:
    """Return up to 64 images (H, W, 3) spread over a bag, a folder of images, or a video.

    What cannot be decoded is left out. Raises DepthAnythingError where nothing is left.
    """
    path = Path(source).expanduser()
    inside = path.iterdir() if path.is_dir() else (path,)
    if any(file.suffix in _BAG_FILES for file in inside):
        found = _of_bag(path)
    else:
        opened = open_source(source)
        if not opened.length:
            raise SettingError(f'{source} has no end to it: give a bag, a folder or a video')
        reads: _Reads = (
            lambda shot=shot: shot.read().bgr  # type: ignore[misc]
            for shot in opened.shots
        )
        found = _spread(reads, opened.length)
    if not found:
        raise DepthAnythingError(f'none of the images in {source} can be decoded: give others')
    return found


def _of_bag(path: Path) -> list[BgrImage]:
    # Bags need a package that folders and videos do not.
    from depth_anything_ros.bag.discovery import bgr_of, color_topics
    from depth_anything_ros.bag.reading import BagReader

    with BagReader(path) as bag:
        topics = color_topics(bag)
        reads: _Reads = (
            lambda message=message: bgr_of(message.kind, message.read())  # type: ignore[misc]
            for message in bag.messages(topics)
        )
        return _spread(reads, sum(bag.topics[name].count for name in topics))


def _spread(reads: _Reads, length: int) -> list[BgrImage]:
    wanted = set(np.linspace(0, length - 1, min(length, _MOST)).round())
    found = []
    for index, read in enumerate(reads):
        if index in wanted:
            try:
                found.append(read())
            except DepthAnythingError:
                continue
    return found
