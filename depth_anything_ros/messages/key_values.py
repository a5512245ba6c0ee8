"""Figures as the key-value pairs of diagnostic_msgs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ['key_values']


def key_values(values: Mapping[str, object], make: Callable[..., Any]) -> list[Any]:
    """Return one diagnostic_msgs/KeyValue each; figures are rounded, NaN is left empty.

    `make` is that class, of rclpy or of rosbags.
    """
    return [make(key=key, value=_text(value)) for key, value in values.items()]


def _text(value: object) -> str:
    if isinstance(value, float):
        return '' if math.isnan(value) else f'{value:.6g}'
    return str(value)
