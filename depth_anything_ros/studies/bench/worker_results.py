"""What a worker sends back to its parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ['Loaded', 'Profile', 'Sample']


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
class Profile:
    """Operations and mean milliseconds of a call by part of the network, and what that was."""

    precision: str
    input_size: int
    parts: Mapping[str, tuple[int, float]]


@dataclass(frozen=True)
class Sample:
    """Milliseconds of one call, as a whole and by stage."""

    ms: float
    stages: dict[str, float]
