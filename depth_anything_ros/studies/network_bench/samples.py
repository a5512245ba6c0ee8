"""What a worker tells its parent."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ['Loaded', 'Sample']


@dataclass(frozen=True)
class Loaded:
    """What was loaded, after every 'auto' was decided, and how long it took."""

    backend: str
    device: str
    precision: str
    input_size: int
    load_s: float
    first_ms: float


@dataclass(frozen=True)
class Sample:
    """Milliseconds of one call, as a whole and by stage."""

    ms: float
    stages: dict[str, float]
