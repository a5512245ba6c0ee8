"""The table of scene families."""

from __future__ import annotations

from collections.abc import Callable

from depth_anything_ros.core.errors import SettingError
from lab.world.road import road
from lab.world.room import room
from lab.world.scene import Scene

__all__ = ['SCENES', 'make_scene']

SCENES: dict[str, Callable[[int, float], Scene]] = {'room': room, 'road': road}


def make_scene(name: str, seed: int, seconds: float = 6.0) -> Scene:
    """Draw a scene for a drive of `seconds`; SettingError names the known families."""
    try:
        return SCENES[name](seed, seconds)
    except KeyError:
        known = ', '.join(SCENES)
        raise SettingError(f"scene '{name}' is not known: choose one of {known}") from None
