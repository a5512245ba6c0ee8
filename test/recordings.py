"""Recordings of rerun, read back by its own API."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from rerun.chunk import RrdReader

Recorded = dict[str, dict[str, dict[int, Any]]]


def read(path: Path) -> Recorded:
    """Return the values of a recording: by entity, component and frame."""
    found: Recorded = defaultdict(lambda: defaultdict(dict))
    for chunk in RrdReader(path).stream():
        batch = chunk.to_record_batch()
        if 'frame' not in batch.schema.names:
            continue
        frames = batch.column('frame').to_pylist()
        for name in batch.schema.names:
            values = batch.column(name)
            for frame, value in zip(frames, values, strict=True):
                if value.is_valid:
                    found[str(chunk.entity_path)][name][frame] = value
    return found


def array_of(entity: dict[str, dict[int, Any]], kind: str, frame: int) -> np.ndarray:
    """Return a float16 image (H, W), `kind` Image or DepthImage, of one frame."""
    (size,) = entity[f'{kind}:format'][frame].as_py()
    (content,) = entity[f'{kind}:buffer'][frame].as_py()
    return np.array(content, np.uint8).view(np.float16).reshape(size['height'], size['width'])
