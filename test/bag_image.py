"""A message as a bag gives it, for the tests of messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class BagImage:
    """sensor_msgs/Image as rosbags gives it."""

    height: int = 0
    width: int = 0
    encoding: str = ''
    is_bigendian: int = 0
    step: int = 0
    data: Any = b''
