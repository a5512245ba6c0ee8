"""Figures as JSON that every reader takes."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

__all__ = ['plain_json']


def plain_json(content: Any) -> str:
    """Return dataclasses, mappings and sequences as JSON, null for what is no finite number."""
    return json.dumps(_plain(content), indent=2, default=str, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
