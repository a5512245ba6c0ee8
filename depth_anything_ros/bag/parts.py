"""Bags of several files: one that was begun and one that goes on become one bag.

rosbag2 splits long recordings so; nothing is copied, however long the first part is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from depth_anything_ros.core.errors import DepthAnythingError

__all__ = ['METADATA', 'bag_files', 'join_parts']

METADATA = 'metadata.yaml'
_INFORMATION = 'rosbag2_bagfile_information'


def bag_files(bag: Path) -> list[str]:
    """Name the files of a bag in their order, as its metadata.yaml does."""
    return [str(name) for name in _read(bag)['relative_file_paths']]


def join_parts(begun: Path, latest: Path) -> None:
    """Move the files of the bag `begun` into `latest`, which goes on after them.

    Both have the same topics. An error leaves `begun` as it was.
    """
    first, second = _read(begun), _read(latest)
    merged = second | {
        'relative_file_paths': first['relative_file_paths'] + second['relative_file_paths'],
        'files': first['files'] + second['files'],
        'message_count': first['message_count'] + second['message_count'],
        'topics_with_message_count': _topics(first, second),
    }
    filled = [each for each in (first, second) if each['message_count']] or [second]
    start_ns = min(_start_ns(each) for each in filled)
    end_ns = max(_start_ns(each) + each['duration']['nanoseconds'] for each in filled)
    merged['starting_time'] = {'nanoseconds_since_epoch': start_ns}
    merged['duration'] = {'nanoseconds': end_ns - start_ns}
    written = latest / f'{METADATA}.tmp'
    written.write_text(yaml.safe_dump({_INFORMATION: merged}, sort_keys=False))
    moved: list[str] = []
    try:
        for name in first['relative_file_paths']:
            (begun / name).rename(latest / name)
            moved.append(name)
        written.replace(latest / METADATA)
    except BaseException:
        # Whoever gives up `latest` must not lose what was begun.
        for name in moved:
            (latest / name).rename(begun / name)
        raise


def _read(bag: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((bag / METADATA).read_text())[_INFORMATION]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as err:
        reason = ' '.join(str(err).split()) or type(err).__name__
        raise DepthAnythingError(
            f'{bag / METADATA} cannot be read ({reason}): remove {bag} and start again'
        ) from err
    assert isinstance(content, dict)
    return content


def _start_ns(information: dict[str, Any]) -> int:
    return int(information['starting_time']['nanoseconds_since_epoch'])


def _topics(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    def key(item: dict[str, Any]) -> tuple[str, str]:
        return item['topic_metadata']['name'], item['topic_metadata']['type']

    before = {key(item): item['message_count'] for item in first['topics_with_message_count']}
    return [
        item | {'message_count': item['message_count'] + before.get(key(item), 0)}
        for item in second['topics_with_message_count']
    ]
