"""Faults that a running node meets, each declared as a `Fault` that its test asserts.

Each is counted and reported, and the next good frame is processed. One node meets nearly all of
them, one after the other, so each must leave it working.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

NODE = '/depth_anything/'
RELATIVE, RAW, COLOR = (NODE + f'relative/{name}' for name in ('image', 'raw', 'image_color'))
DEPTH, DEPTH_INFO, SIGMA = (NODE + f'depth/{name}' for name in ('image', 'camera_info', 'sigma'))
POINTS, STATS = NODE + 'points', NODE + 'frame_stats'

NOTHING: frozenset[str] = frozenset()
NO_METRES = frozenset({RELATIVE, STATS})
ALL = NO_METRES | {DEPTH, DEPTH_INFO, SIGMA, POINTS}

Test = Callable[..., None]


@dataclass(frozen=True)
class Fault:
    """A fault, and all that a node publishes, counts and reports of it.

    `published` are the topics that carry an output for the image. `held` are those while the scale
    of an earlier frame is held, None where that changes nothing. `counted` are keys of
    /diagnostics, of which one counts each such image; no other grows. `said` is text of ~/status.
    `cause` is an argument of the test.
    """

    name: str
    published: frozenset[str]
    counted: tuple[str, ...] = ()
    said: str = ''
    held: frozenset[str] | None = None
    cause: Any = None


def faults(*declared: Fault) -> Callable[[Test], Test]:
    """Run a test with each of these as `fault`."""
    return pytest.mark.parametrize(
        'fault', [pytest.param(each, id=each.name) for each in declared]
    )
