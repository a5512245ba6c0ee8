"""Which topics of a bag are cameras: judged by the first message that can be used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from depth_anything_ros.bag.reading import BagMessage, BagReader, BagTopic
from depth_anything_ros.core.errors import DepthAnythingError, FrameError
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.messages.encodings import DEPTH_ENCODINGS
from depth_anything_ros.messages.images import MAX_PIXELS, bgr_from_compressed, bgr_from_image

__all__ = [
    'COMPRESSED_IMAGE',
    'IMAGE',
    'Cameras',
    'bgr_of',
    'color_topics',
    'find_cameras',
    'is_color',
]

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'

# Whole recordings are not read for a camera that never works.
_TRIED = 100
# Numbers per pixel that are not colours: depth, labels, normals, flow.
_NUMBERS = re.compile(r'(8S|16S|32S|32F|64F)C\d+|16UC1')
# Types of images and video that are not read here.
_PICTURES = re.compile(r'(^|[./])((Raw|Compressed)?(Image|Video)|FFMPEGPacket)$|^theora_')
_CONVERT = {
    'ros1': 'it is of ROS 1: convert the .bag it was made of with `rosbags-convert`',
    'cdr': 'publish or record it as sensor_msgs Image or CompressedImage',
}


class Cameras(NamedTuple):
    """Topics with colour images, and why others that should have some are left out.

    `compressed_instead` says why of topics that are usable as /compressed only.
    """

    usable: tuple[str, ...]
    refused: Mapping[str, str]
    compressed_instead: Mapping[str, str]


def bgr_of(
    kind: str, image: Any, max_pixels: int = MAX_PIXELS, levels: Levels | None = None
) -> BgrImage:
    """Return the pixels (H, W, 3) of a message that was read, of type Image or CompressedImage."""
    decode = bgr_from_compressed if kind == COMPRESSED_IMAGE else bgr_from_image
    return decode(image, max_pixels=max_pixels, levels=levels)


def color_topics(reader: BagReader) -> list[str]:
    """Return the usable topics of `find_cameras`; DepthAnythingError where there is none."""
    cameras = find_cameras(reader)
    if cameras.usable:
        return list(cameras.usable)
    why = [f'{topic} cannot be used: {reason}' for topic, reason in cameras.refused.items()]
    if not why:
        why = [*_other_images(reader), f'it has {reader.listing()}']
        why += [] if reader.left_out else ['record a topic of colour images, as bgr8 or JPEG']
    why += [each.message for each in reader.left_out]
    raise DepthAnythingError(f'bag {reader.path} has no colour images: {"; ".join(why)}')


def _other_images(reader: BagReader) -> Iterator[str]:
    """Describe the images that hold other numbers."""
    for name in reader.of_type(IMAGE):
        for message in islice(reader.messages([name]), 1):
            with suppress(DepthAnythingError):
                yield f'{name} is {message.read().encoding}, which means no colours'


def find_cameras(reader: BagReader) -> Cameras:
    """Find the cameras of a bag; an image recorded raw and compressed is the raw topic.

    A topic is judged by the first of its first hundred messages that can be decoded.
    """
    usable: list[str] = []
    refused: dict[str, str] = {}
    for topic in reader.topics.values():
        if not topic.count:
            continue
        why = _judge(reader, topic)
        if why == '':
            usable.append(topic.name)
        elif why is not None:
            refused[topic.name] = why
    # image_transport publishes one picture as /image, /image/compressed, /image/theora ...
    twins = {f'{name}/compressed' for name in usable}
    shown = {name.removesuffix('/compressed') for name in usable}
    return Cameras(
        tuple(name for name in usable if name not in twins),
        {
            name: why
            for name, why in refused.items()
            if shown.isdisjoint((name, name.rpartition('/')[0]))
        },
        {name: why for name, why in refused.items() if name in shown},
    )


def _judge(reader: BagReader, topic: BagTopic) -> str | None:
    """Return '' for a camera, why it cannot be used, or None for a topic without pictures."""
    if topic.other_kinds:
        kinds = topic.kind, *topic.other_kinds
        return f'its messages are of {", ".join(kinds)}' if IMAGE in kinds else None
    if topic.serialization != 'cdr' or topic.kind not in (IMAGE, COMPRESSED_IMAGE):
        if _PICTURES.search(topic.kind) is None:
            return None
        how = _CONVERT.get(
            topic.serialization, 'write its images into a folder, for `depth_anything run`'
        )
        return f'it is {topic.kind}, serialised as {topic.serialization}: {how}'
    first = ''
    for message in islice(reader.messages([topic.name]), _TRIED):
        try:
            if not is_color(message):
                return None
            bgr_of(message.kind, message.read())
            return ''
        except FrameError as err:
            if err.reason == 'depth_image':
                return None
            first = first or str(err)
        except DepthAnythingError as err:
            first = first or str(err)
    return first and f'none of its first {min(_TRIED, topic.count)} images: {first}'


def is_color(message: BagMessage) -> bool:
    """Return whether an Image or CompressedImage means colours, whether they are known or not.

    DepthAnythingError where it cannot be read.
    """
    content = message.read()
    if message.kind == COMPRESSED_IMAGE:
        name = str(content.format).lower()
        depth = name.split(';')[0].strip().upper() in DEPTH_ENCODINGS
        return not depth and 'compresseddepth' not in name
    # Some drivers call their 16UC1 depth mono16.
    depth = content.encoding == 'mono16' and 'depth' in message.topic
    return not depth and _NUMBERS.fullmatch(content.encoding) is None
