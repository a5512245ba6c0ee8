"""Images to calibrate int8 on: of a bag, of a folder or video, or rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from depth_anything_ros.bag.reading import COMPRESSED_IMAGE, BagReader
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.files import open_source
from depth_anything_ros.messages.images import bgr_from_compressed, bgr_from_image
from depth_anything_ros.synthetic.scenes import SCENES
from depth_anything_ros.synthetic.world import World

__all__ = ['calibration_images', 'rendered_images']

_MOST = 64
"""More change little, and each takes seconds with a large network."""

_RENDERED = 32

_BAG_FILES = ('.db3', '.mcap')

_Reads = Iterator[Callable[[], BgrImage]]


def calibration_images(source: str) -> list[BgrImage]:
    """Give up to 64 images (H, W, 3) spread over a bag, a folder of images, or a video.

    What cannot be decoded is left out. Raises DepthAnythingError where nothing is left.
    """
    path = Path(source).expanduser()
    inside = path.iterdir() if path.is_dir() else (path,)
    if any(file.suffix in _BAG_FILES for file in inside):
        with BagReader(path) as bag:
            topics = bag.color_topics()
            found = _spread(_of_bag(bag, topics), sum(bag.topics[name].count for name in topics))
    else:
        opened = open_source(source)
        if not opened.length:
            raise SettingError(f'{source} has no end to it: give a bag, a folder or a video')
        found = _spread((read for _, _, read in opened.frames), opened.length)
    if not found:
        raise DepthAnythingError(f'none of the images in {source} can be decoded: give others')
    return found


def rendered_images() -> list[BgrImage]:
    """Give 32 pictures (480, 640, 3) of simulated rooms and roads, each of another one."""
    families = list(SCENES)
    return [
        World(families[index % len(families)], seed=index).picture(0.0)[0]
        for index in range(_RENDERED)
    ]


def _of_bag(bag: BagReader, topics: list[str]) -> _Reads:
    for message in bag.messages(topics):
        decode = bgr_from_compressed if message.kind == COMPRESSED_IMAGE else bgr_from_image
        yield lambda message=message, decode=decode: decode(message.read())  # type: ignore[misc]


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
