"""YAML and JSON of files that somebody else wrote: plain values, no deeper and larger than usual.

Aliases are refused, as by rcl: a few lines of them stand for gigabytes, or for themselves.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

__all__ = ['file_bytes', 'plain_json_file', 'plain_yaml', 'plain_yaml_file']

_MOST_BYTES = 16 * 2**20
_MOST_DEEP = 50
# Reading a number takes time that grows with the square of its length.
_LONGEST_NUMBER = 1000


def plain_yaml_file(path: Path, *, first: bool = False) -> Any:
    """Return the content of a YAML file; ValueError as `plain_yaml`, OSError if unreadable."""
    return plain_yaml(_text(path), first=first)


def plain_json_file(path: Path) -> Any:
    """Return the content of a JSON file; ValueError where it has none, OSError if unreadable."""
    try:
        return json.loads(_text(path))
    except RecursionError as err:
        raise ValueError('nested too deep') from err


def _text(path: Path) -> str:
    return file_bytes(path, _MOST_BYTES).decode()


def file_bytes(path: Path, most: int) -> bytes:
    """Return the content of a file; ValueError where it has `most` bytes and more behind them."""
    with path.open('rb') as file:
        # A pipe has no size.
        size = os.fstat(file.fileno()).st_size or most
        content = file.read(min(size, most) + 1)
    if len(content) > most:
        raise ValueError(f'more than {most} bytes')
    return content


def plain_yaml(text: str, *, first: bool = False) -> Any:
    """Return the value of a YAML text; ValueError, one line, where it is none or has aliases.

    Of several documents in it, only the `first` may be wanted.
    """
    loader = None
    try:
        loader = _PlainLoader(text)
        return loader.get_data() if first else loader.get_single_data()
    # Of tags like `!!int ''`, PyYAML raises whatever the conversion does.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as err:
        raise ValueError(' '.join(str(err).split())) from err
    finally:
        if loader is not None:
            loader.dispose()


class _PlainLoader(yaml.SafeLoader):
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError('aliases (*name) are not supported')
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > _LONGEST_NUMBER:
            event.implicit = False, True
        if self._depth == _MOST_DEEP:
            raise yaml.YAMLError(f'nested deeper than {_MOST_DEEP} levels')
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node
