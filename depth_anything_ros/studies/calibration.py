"""Images to calibrate int8 on: from a bag, a folder or a video."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

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

_Item = TypeVar('_Item')


def calibration_images(source: str) -> list[BgrImage]:
    """Return up to 64 images (H, W, 3) spread over a bag, a folder of images, or a video.

    What cannot be decoded is left out. Raises DepthAnythingError where nothing is left.
    """
    path = Path(source).expanduser()
    inside = path.iterdir() if path.is_dir() else (path,)
    if any(file.suffix in _BAG_FILES for file in inside):
        # Bags need a package that folders and videos do not.
        from depth_anything_ros.bag.discovery import bgr_of, color_topics
        from depth_anything_ros.bag.reading import BagReader

        with BagReader(path) as bag:
            topics = color_topics(bag)
            count = sum(bag.topics[name].count for name in topics)
            found = _spread(
                bag.messages(topics), count, lambda each: bgr_of(each.kind, each.read())
            )
    else:
        opened = open_source(source)
        if not opened.length:
            raise SettingError(f'{source} has no end to it: give a bag, a folder or a video')
        found = _spread(opened.shots, opened.length, lambda shot: shot.read().bgr)
    if not found:
        raise DepthAnythingError(f'none of the images in {source} can be decoded: give others')
    return found


def _spread(
    items: Iterable[_Item], length: int, decode: Callable[[_Item], BgrImage]
) -> list[BgrImage]:
    wanted = set(np.linspace(0, length - 1, min(length, _MOST)).round())
    found = []
    for index, item in enumerate(items):
        if index in wanted:
            with suppress(DepthAnythingError):
                found.append(decode(item))
    return found
