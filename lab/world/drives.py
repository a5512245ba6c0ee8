"""Drives through the scenes: straight, in arcs, sideways, backwards, standing, in traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lab.world.road import lorry_ahead
from lab.world.room import EllipsePath
from lab.world.scene import Path, Scene
from lab.world.scenes import make_scene
from lab.world.world import World

__all__ = ['Drive', 'DriveWorld', 'Leg']


@dataclass(frozen=True)
class Leg:
    """So many `seconds` along the path at `rate` times its speed, with a `spin` in rad/s."""

    seconds: float
    rate: float = 1.0
    spin: float = 0.0


@dataclass(frozen=True)
class Drive:
    """The legs of a drive in scenes of one `family`; what moves keeps pace with the first leg.

    `straight`: through a room on a line instead of an ellipse. `facing`: what the base looks to
    the left of its way, radians. `traffic`: 'none', 'cars' or 'lorry' for one close ahead.
    """

    family: str
    legs: tuple[Leg, ...]
    straight: bool = True
    facing: float = 0.0
    traffic: str = 'none'

    @property
    def seconds(self) -> float:
        """Return how long the drive takes."""
        return sum(leg.seconds for leg in self.legs)


@dataclass(frozen=True)
class DriveWorld(World):
    """A world whose base drives a `drive`; `seconds` is not used."""

    drive: Drive = Drive('', ())

    @cached_property
    def scene(self) -> Scene:
        """Return the scene at time 0, with the path of the drive."""
        rates = [leg.rate for leg in self.drive.legs]
        seconds = self.drive.seconds * max(*rates, 1.0)
        scene = make_scene(self.family, self.seed, seconds)
        path = scene.path
        if self.drive.straight and isinstance(path, EllipsePath):
            path = _Line(-path.half_y)
        still = [each for each in scene.solids if not each.velocity.any()]
        moving = [each for each in scene.solids if each.velocity.any()]
        if self.drive.traffic == 'none':
            moving = []
        elif self.drive.traffic == 'lorry':
            moving = lorry_ahead(self.seed)
        pace = max(rates[0], 1.0)
        moving = [replace(each, velocity=pace * each.velocity) for each in moving]
        return replace(
            scene, solids=(*still, *moving), path=Driven(path, self.drive.legs, self.drive.facing)
        )


@dataclass(frozen=True)
class Driven:
    """A path driven in legs."""

    along: Path
    legs: Sequence[Leg]
    facing: float = 0.0

    def pose(self, time_s: float) -> tuple[float, float, float]:
        """Return x, y in metres and yaw in radians; before its start and after its end, too."""
        progress, spun, left = 0.0, 0.0, time_s
        for number, leg in enumerate(self.legs):
            last = number == len(self.legs) - 1
            part = left if last else min(left, leg.seconds)
            progress, spun, left = progress + leg.rate * part, spun + leg.spin * part, left - part
        x, y, yaw = self.along.pose(progress)
        return x, y, yaw + self.facing + spun


@dataclass(frozen=True)
class _Line:
    """A line through a room, on the side of the ellipse that its furniture leaves free."""

    y: float

    def pose(self, time_s: float) -> tuple[float, float, float]:
        return 0.4 * time_s - 1.2, self.y, 0.0
