"""What a scene is made of: solids with materials, light, air and a path."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol

import numpy as np

from lab.world.geometry import Array, Rays, Shape, dots

__all__ = [
    'Colour',
    'Hits',
    'Light',
    'Material',
    'Path',
    'Pattern',
    'Scene',
    'Solid',
    'cast',
    'pick',
    'rgb',
    'times',
]

Colour = tuple[float, float, float]
"""Linear RGB in [0, 1]."""

_MIN_HIT_M = 1e-3


class Pattern(Enum):
    """How a material mixes its colour with its accent."""

    PLAIN = 'plain'
    MOTTLED = 'mottled'
    TILES = 'tiles'
    PLANKS = 'planks'
    BRICKS = 'bricks'
    CHECKER = 'checker'
    STRIPES = 'stripes'
    WALL = 'wall'
    DRAWERS = 'drawers'
    BOOKS = 'books'
    WINDOWS = 'windows'
    ROAD = 'road'
    WHEELS = 'wheels'
    LAMPS = 'lamps'
    GLASS = 'glass'


@dataclass(frozen=True)
class Material:
    """Surface of a solid; colours are linear RGB in [0, 1].

    `period_m` is the size of one tile, plank, brick or window, or of the whole face where the
    pattern covers it once. `seed` varies the tone from cell to cell.
    """

    pattern: Pattern
    colour: Colour
    accent: Colour = (0.0, 0.0, 0.0)
    period_m: tuple[float, float] = (1.0, 1.0)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Solid:
    """A shape with its materials, by the face's outward normal in the solid's own frame.

    `side` covers the faces along y and all round things, `end` those along x, `top` and `bottom`
    those along z; missing ones fall back to `side`. `anchor` (3,) and `yaw` place the frame in
    which patterns lie. An `inside` solid is seen from within, as a room is.
    """

    shape: Shape
    side: Material
    anchor: Array
    yaw: float = 0.0
    end: Material | None = None
    top: Material | None = None
    bottom: Material | None = None
    inside: bool = False
    velocity: Array = field(default_factory=lambda: np.zeros(3))


class Path(Protocol):
    """Where the base drives."""

    def pose(self, time_s: float) -> tuple[float, float, float]:
        """Return x, y in metres and yaw in radians in the frame `map`."""


@dataclass(frozen=True)
class Light:
    """One lamp, ambient light, and the air; colours are linear RGB.

    `reach_m` is the distance at which the lamp has lost half its power (inf for the sun).
    `penumbra_m` is how much matter a ray of the lamp passes before the shadow is full, which
    softens the shadow's edge. `haze_m` is the distance at which 63 % of the view is haze.
    """

    position: tuple[float, float, float]
    colour: Colour
    ambient: Colour
    reach_m: float
    penumbra_m: float
    haze_m: float
    haze: Colour
    zenith: Colour


@dataclass(frozen=True, eq=False)
class Scene:
    """Solids, light and the path of the base; `solids` are those at time 0."""

    name: str
    seed: int
    solids: tuple[Solid, ...]
    light: Light
    path: Path
    grain: float

    def at(self, time_s: float) -> Scene:
        """Return the scene at `time_s`: what moves has moved."""
        moved = tuple(
            replace(
                solid,
                shape=solid.shape.moved(solid.velocity * time_s),
                anchor=solid.anchor + solid.velocity * time_s,
            )
            if solid.velocity.any()
            else solid
            for solid in self.solids
        )
        return replace(self, solids=moved)


@dataclass(frozen=True, eq=False)
class Hits:
    """First hits of rays: `distance_m` (n,), inf for the sky; `solid` (n,) index, -1 for none."""

    distance_m: Array
    solid: Array


def rgb(code: str) -> Colour:
    """Turn an sRGB colour such as 'a0522d' into linear RGB in [0, 1]."""
    values = [int(code[i : i + 2], 16) / 255.0 for i in (0, 2, 4)]
    red, green, blue = (
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values
    )
    return red, green, blue


def times(factor: float, colour: Colour) -> Colour:
    """Return a darker or lighter colour."""
    red, green, blue = colour
    return factor * red, factor * green, factor * blue


def pick(random: np.random.Generator, codes: tuple[str, ...]) -> Colour:
    """Return one of several sRGB colours as linear RGB."""
    return rgb(codes[int(random.integers(len(codes)))])


def cast(scene: Scene, rays: Rays) -> Hits:
    """Find the first solid that each ray meets."""
    directions = rays.directions
    dtype = directions.dtype
    nearest = np.full(directions.shape[1], np.inf, dtype)
    index = np.full(directions.shape[1], -1, np.int16)
    for number, touched in candidates(scene, rays):
        solid = scene.solids[number]
        part = directions if touched is None else directions.take(touched, axis=1)
        near, far = solid.shape.interval(rays.origin, part)
        distance = far if solid.inside else near
        known = nearest if touched is None else nearest[touched]
        closer = (distance < known) & (near <= far) & (distance > _MIN_HIT_M)
        chosen = np.flatnonzero(closer) if touched is None else touched[closer]
        nearest[chosen] = distance[closer]
        index[chosen] = number
    return Hits(nearest, index)


def candidates(scene: Scene, rays: Rays) -> list[tuple[int, Array | None]]:
    """Pair each solid with the rays that meet the ball around it; None means all of them."""
    offsets = np.array([solid.shape.centre for solid in scene.solids]) - rays.origin
    radii = np.array([solid.shape.radius for solid in scene.solids])
    lengths = np.linalg.norm(offsets, axis=1)
    # A ray meets the ball if its angle to the centre is at most asin(radius / distance).
    ratio = np.minimum(radii / np.maximum(lengths, 1e-9), 1.0)
    limits = np.sqrt(1.0 - ratio**2) - 1e-5
    found: list[tuple[int, Array | None]] = []
    mean = rays.directions.mean(axis=1)
    axis = mean / max(float(np.linalg.norm(mean)), 1e-9)
    opening = float(np.arccos(np.clip(dots(axis, rays.directions).min(), -1.0, 1.0)))
    count = rays.directions.shape[1]
    for number, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        if radii[number] >= length:
            found.append((number, None))
            continue
        angle = np.arccos(np.clip(axis @ offset / length, -1.0, 1.0))
        if angle > opening + np.arcsin(ratio[number]) + 1e-4:
            continue
        touched = np.flatnonzero(dots(offset / length, rays.directions) > limits[number])
        if touched.size > 0.7 * count:
            found.append((number, None))
        elif touched.size:
            found.append((number, touched))
    return found
