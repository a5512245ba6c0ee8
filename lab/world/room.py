"""Rooms: four walls, floor, ceiling, and furniture along the walls, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.world.geometry import Array, Cylinder, Sphere, box
from lab.world.scene import Light, Material, Pattern, Scene, Solid, pick, rgb, times

__all__ = ['EllipsePath', 'room']

_SPEED_M_S = 0.4
_WALLS = ('d8cfc0', 'c9d3cf', 'b9c6d6', 'd9c3a5', 'cfd4b8', 'd6b8ae', 'a9b7b0', 'e2ddd3')
_TRIM = ('6b4a32', '4a4f57', 'efe9dd', '7d5a3c')
_WOODS = ('8a5a34', '6f4526', 'a67c52', '5b4636', 'b08d66')
_STONE = ('9a9a96', 'b6aa98', '7f8a8c', 'c2bbb0')
_CLOTH = ('8c3b3b', '2f5d8a', '3f7a58', 'b5842f', '5c4a7d', '2f6f78', 'a34e2a', '4d5560')
_LEAVES = ('2f6b35', '47793a', '3c5f2c')


@dataclass(frozen=True)
class EllipsePath:
    """A drive around an ellipse about the origin of `map`, heading along its tangent."""

    half_x: float
    half_y: float
    phase: float
    turn: float
    """+1 anticlockwise, -1 clockwise."""

    def pose(self, time_s: float) -> tuple[float, float, float]:
        """Return x, y in metres and yaw in radians after `time_s` at an even turning rate."""
        rate = self.turn * _SPEED_M_S / (0.5 * (self.half_x + self.half_y))
        angle = self.phase + rate * time_s
        x, y = self.half_x * np.cos(angle), self.half_y * np.sin(angle)
        dx, dy = -self.half_x * np.sin(angle) * rate, self.half_y * np.cos(angle) * rate
        return float(x), float(y), float(np.arctan2(dy, dx))


def room(seed: int, seconds: float = 6.0) -> Scene:
    """Draw a furnished room; the base circles in its middle.

    `seconds` is there because every scene is drawn for a length of drive; a room has no end.
    """
    del seconds
    random = np.random.default_rng([seed, 1])
    size_x, size_y = random.uniform(5.2, 11.0), random.uniform(4.4, 8.5)
    height = random.uniform(2.4, 3.0)
    path = EllipsePath(
        half_x=size_x / 2 - 1.6,
        half_y=size_y / 2 - 1.5,
        phase=random.uniform(0.0, 2 * np.pi),
        turn=float(random.choice([-1.0, 1.0])),
    )
    solids = [_shell(random, size_x, size_y, height)]
    for side in range(4):
        solids += _along_wall(random, side, size_x, size_y)
    if path.half_y > 1.35:
        solids += _table(random, np.zeros(3))
    solids += _loose(random, path, size_x, size_y)
    warm = random.uniform(0.0, 1.0)
    power = random.uniform(2.2, 3.4)
    light = Light(
        position=(random.uniform(-1.0, 1.0), random.uniform(-0.8, 0.8), height - 0.15),
        colour=(power, power * (0.93 - 0.08 * warm), power * (0.88 - 0.22 * warm)),
        ambient=(0.34, 0.35, 0.37),
        reach_m=2.6,
        penumbra_m=random.uniform(0.12, 0.3),
        haze_m=np.inf,
        haze=(0.0, 0.0, 0.0),
        zenith=(0.0, 0.0, 0.0),
    )
    return Scene('room', seed, tuple(solids), light, path, grain=0.012)


def _shell(random: np.random.Generator, size_x: float, size_y: float, height: float) -> Solid:
    """Build walls, floor and ceiling as one box seen from within."""
    walls = pick(random, _WALLS)
    mark = int(random.integers(1 << 16))
    trim = pick(random, _TRIM)
    wall = Material(Pattern.WALL, walls, trim, (random.uniform(2.2, 3.2), height), mark)
    feature = wall
    if random.random() < 0.5:
        kind = (Pattern.STRIPES, Pattern.BRICKS)[int(random.integers(2))]
        period = (0.5, 0.5) if kind is Pattern.STRIPES else (0.36, 0.13)
        feature = Material(kind, walls, times(0.72, walls), period, mark)
    kind = (Pattern.PLANKS, Pattern.TILES, Pattern.CHECKER)[int(random.integers(3))]
    if kind is Pattern.PLANKS:
        floor = Material(kind, pick(random, _WOODS), rgb('2a1c12'), (1.4, 0.2), mark)
    else:
        stone, tile = pick(random, _STONE), random.uniform(0.4, 0.6)
        dark = times(0.45 if kind is Pattern.CHECKER else 0.3, stone)
        floor = Material(kind, stone, dark, (tile, tile), mark)
    ceiling = Material(Pattern.TILES, rgb('e9e7e2'), rgb('c4c2bd'), (1.2, 0.6), mark)
    shape = box(np.zeros(3), (size_x, size_y, height))
    anchor = np.zeros(3)
    return Solid(shape, wall, anchor, end=feature, top=ceiling, bottom=floor, inside=True)


def _along_wall(
    random: np.random.Generator, side: int, size_x: float, size_y: float
) -> list[Solid]:
    """Set furniture against one wall: side 0 is at +x, 1 at +y, 2 at -x, 3 at -y."""
    yaw = side * np.pi / 2
    length, depth = (size_y, size_x) if side % 2 == 0 else (size_x, size_y)
    # Corners belong to the walls along y.
    margin = 0.1 if side % 2 == 0 else 1.0
    at = -length / 2 + margin + random.uniform(0.0, 1.2)
    found: list[Solid] = []
    while True:
        make = _PIECES[int(random.integers(len(_PIECES)))]
        width = random.uniform(0.9, 2.1)
        if at + width > length / 2 - margin:
            return found
        # In the wall's frame x points into the wall, y along it.
        middle = np.array([depth / 2, at + width / 2, 0.0])
        found += make(random, middle, width, yaw)
        at += width + random.uniform(0.25, 1.6)


def _turned(middle: Array, back: float, yaw: float, lift: float = 0.0) -> Array:
    """Move `back` metres out of the wall, then turn from the wall's frame into `map`."""
    x, y = middle[0] - back, middle[1]
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([cos * x - sin * y, sin * x + cos * y, lift])


def _cabinet(random: np.random.Generator, middle: Array, width: float, yaw: float) -> list[Solid]:
    high = random.random() < 0.7
    height = random.uniform(1.7, 2.1) if high else random.uniform(0.75, 1.05)
    deep = random.uniform(0.45, 0.65)
    wood = pick(random, _WOODS + _CLOTH[:3])
    dark = times(0.25, wood)
    front = Material(Pattern.DRAWERS, wood, dark, (width / 2, height / (2 if high else 3)))
    base = _turned(middle, deep / 2 + 0.02, yaw)
    plain = Material(Pattern.PLAIN, wood)
    shape = box(base, (deep, width, height), yaw)
    return [Solid(shape, plain, base, yaw, end=front, top=plain)]


def _shelf(random: np.random.Generator, middle: Array, width: float, yaw: float) -> list[Solid]:
    height, deep = random.uniform(1.6, 2.0), 0.34
    mark = int(random.integers(1 << 16))
    wood, cloth = pick(random, _WOODS), pick(random, _CLOTH)
    front = Material(Pattern.BOOKS, cloth, wood, (0.09, height / 5), mark)
    base = _turned(middle, deep / 2 + 0.02, yaw)
    plain = Material(Pattern.PLAIN, wood)
    return [Solid(box(base, (deep, width, height), yaw), plain, base, yaw, end=front, top=plain)]


def _sofa(random: np.random.Generator, middle: Array, width: float, yaw: float) -> list[Solid]:
    colour = pick(random, _CLOTH)
    cloth = Material(Pattern.PLAIN, colour)
    seat = Material(Pattern.PLAIN, times(1.15, colour))
    parts = [(0.45, 0.75, width, 0.42, seat), (0.15, 0.25, width, 0.82, cloth)]
    solids = []
    for back, deep, wide, height, material in parts:
        base = _turned(middle, back, yaw)
        solids.append(Solid(box(base, (deep, wide, height), yaw), material, base, yaw))
    for end in (-1.0, 1.0):
        arm = middle + np.array([0.0, end * (width / 2 - 0.09), 0.0])
        base = _turned(arm, 0.43, yaw)
        solids.append(Solid(box(base, (0.78, 0.18, 0.6), yaw), cloth, base, yaw))
    return solids


def _plant(random: np.random.Generator, middle: Array, width: float, yaw: float) -> list[Solid]:
    base = _turned(middle, 0.42, yaw)
    pot = Material(Pattern.STRIPES, pick(random, _CLOTH), rgb('d8cfc0'), (0.3, 0.3))
    leaf = pick(random, _LEAVES)
    leaves = Material(Pattern.MOTTLED, leaf, times(0.4, leaf), (0.16, 0.16))
    crown = random.uniform(0.3, 0.4)
    centre = base + np.array([0.0, 0.0, 0.5 + 0.8 * crown])
    return [
        Solid(Cylinder(base, 0.2, 0.5), pot, base),
        Solid(Sphere(centre, crown), leaves, centre),
    ]


def _column(random: np.random.Generator, middle: Array, width: float, yaw: float) -> list[Solid]:
    base = _turned(middle, 0.4, yaw)
    stone = pick(random, _STONE)
    dark = times(0.75, stone)
    material = Material(Pattern.BRICKS, stone, dark, (0.5, 0.4))
    return [Solid(Cylinder(base, random.uniform(0.18, 0.3), 3.2), material, base)]


def _table(random: np.random.Generator, base: Array) -> list[Solid]:
    wood = Material(Pattern.PLAIN, pick(random, _WOODS))
    foot = Material(Pattern.PLAIN, rgb('3a3a3c'))
    top = base + np.array([0.0, 0.0, 0.68])
    return [
        Solid(Cylinder(base, 0.22, 0.68), foot, base),
        Solid(Cylinder(top, 0.55, 0.06), wood, top),
    ]


def _loose(
    random: np.random.Generator, path: EllipsePath, size_x: float, size_y: float
) -> list[Solid]:
    """Stand a few crates, drums and balls clear of the path."""
    found: list[Solid] = []
    taken: list[Array] = []
    angles = np.linspace(0.0, 2 * np.pi, 60)
    track = np.stack([path.half_x * np.cos(angles), path.half_y * np.sin(angles)])
    for _ in range(40):
        spot = np.array(
            [
                random.uniform(-size_x / 2 + 1.1, size_x / 2 - 1.1),
                random.uniform(-size_y / 2 + 1.1, size_y / 2 - 1.1),
            ]
        )
        apart = all(float(np.linalg.norm(spot - other)) > 1.0 for other in taken)
        clear = float(np.linalg.norm(track - spot[:, None], axis=0).min()) > 0.75
        if not (apart and clear) or float(np.linalg.norm(spot)) < 1.0:
            continue
        taken.append(spot)
        base = np.array([spot[0], spot[1], 0.0])
        colour = pick(random, _CLOTH)
        dark = times(0.55, colour)
        kind, yaw = int(random.integers(3)), random.uniform(0.0, np.pi)
        if kind == 0:
            size = (random.uniform(0.4, 0.6), random.uniform(0.4, 0.6), random.uniform(0.4, 0.7))
            material = Material(Pattern.PLANKS, colour, dark, (1.0, 0.14))
            found.append(Solid(box(base, size, yaw), material, base, yaw))
        elif kind == 1:
            material = Material(Pattern.PLAIN, colour)
            shape = Cylinder(base, random.uniform(0.2, 0.28), random.uniform(0.5, 0.8))
            found.append(Solid(shape, material, base))
        else:
            radius = random.uniform(0.22, 0.32)
            centre = base + np.array([0.0, 0.0, radius])
            material = Material(Pattern.STRIPES, colour, rgb('e2ddd3'), (0.5, 0.5))
            found.append(Solid(Sphere(centre, radius), material, centre))
        if len(found) == 3:
            break
    return found


_PIECES = (_cabinet, _cabinet, _shelf, _shelf, _sofa, _plant, _column)
