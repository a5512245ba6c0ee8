"""Streets: two lanes, kerbs, houses, parked and moving cars, trees and lamp posts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.world.geometry import Array, Cylinder, Sphere, box, frustum
from lab.world.scene import Light, Material, Pattern, Scene, Solid, pick, rgb, times

__all__ = ['LanePath', 'lorry_ahead', 'road']

_SPEED_M_S = 4.0
_LANE_Y_M = -1.6
_KERB_Y_M = 5.2
_KERB_HEIGHT_M = 0.15
_FRONT_Y_M = 8.0
_FRONTS = ('a86a4e', 'c7b299', '9aa3a8', 'b98f5f', '8f5a4a', 'd4cbb8', '7d8790', 'c49a86')
_PAINTS = ('b02a26', '2a4f9a', 'd8d8d6', '2c2e32', '8e9499', '2f6b4a', 'c98a1e', '5a2e4e')
_LEAVES = ('3d6b2c', '55803a', '6d7f30')


@dataclass(frozen=True)
class LanePath:
    """A drive along +x in the right-hand lane, swaying gently."""

    sway_m: float
    phase: float

    def pose(self, time_s: float) -> tuple[float, float, float]:
        """Return x, y in metres and yaw in radians."""
        rate = 2 * np.pi / 9.0
        y = _LANE_Y_M + self.sway_m * np.sin(rate * time_s + self.phase)
        dy = self.sway_m * rate * np.cos(rate * time_s + self.phase)
        return _SPEED_M_S * time_s, float(y), float(np.arctan2(dy, _SPEED_M_S))


def road(seed: int, seconds: float = 6.0) -> Scene:
    """Draw a street long enough for a drive of `seconds`, closed by a house at its end."""
    random = np.random.default_rng([seed, 2])
    path = LanePath(random.uniform(0.1, 0.5), random.uniform(0.0, 2 * np.pi))
    drive_m = _SPEED_M_S * seconds
    end_m = drive_m + random.uniform(35.0, 70.0)
    solids = _surfaces(random, end_m)
    for side in (-1.0, 1.0):
        solids += _houses(random, side, end_m)
        solids += _kerbside(random, side, end_m)
    solids.append(_house(random, np.array([end_m + 6.0, 0.0, 0.0]), (12.0, 44.0), ends=True))
    solids += _traffic(random, drive_m)
    light = _daylight(random)
    return Scene('road', seed, tuple(solids), light, path, grain=0.010)


def lorry_ahead(seed: int) -> list[Solid]:
    """Return a lorry close ahead of the base, at its speed."""
    random = np.random.default_rng([seed, 4])
    return _lorry(random, np.array([random.uniform(8.5, 10.0), _LANE_Y_M, 0.0]), 0.0, _SPEED_M_S)


def _daylight(random: np.random.Generator) -> Light:
    azimuth, height = random.uniform(0.0, 2 * np.pi), np.radians(random.uniform(35.0, 60.0))
    # Far enough away that its rays are parallel within the width of a penumbra.
    sun = 900.0 * np.array(
        [
            np.cos(azimuth) * np.cos(height),
            np.sin(azimuth) * np.cos(height),
            np.sin(height),
        ]
    )
    grey = random.uniform(0.0, 0.35)
    return Light(
        position=(float(sun[0]), float(sun[1]), float(sun[2])),
        colour=(2.5, 2.32, 2.02),
        ambient=(0.52, 0.60, 0.72),
        reach_m=np.inf,
        penumbra_m=random.uniform(0.2, 0.45),
        haze_m=random.uniform(80.0, 120.0),
        haze=(0.74, 0.82, 0.90),
        zenith=(0.16 + grey, 0.36 + 0.75 * grey, 0.85),
    )


def _surfaces(random: np.random.Generator, end_m: float) -> list[Solid]:
    """Lay the carriageway, the pavements and the ground beside them."""
    mark = int(random.integers(1 << 16))
    grey = random.uniform(0.09, 0.16)
    asphalt = Material(Pattern.ROAD, (grey, grey, grey * 1.06), rgb('e4e2da'), (1.0, 1.0), mark)
    slab = random.uniform(0.28, 0.42)
    paving = Material(
        Pattern.TILES, (slab, slab * 0.97, slab * 0.92), (0.16, 0.155, 0.15), (0.8, 0.8), mark
    )
    lawn = Material(Pattern.MOTTLED, rgb('5d7a3a'), rgb('48662e'), (1.5, 1.1), mark)
    length, middle = end_m + 70.0, (end_m - 10.0) / 2
    solids = []
    base = np.array([middle, 0.0, -0.5])
    solids.append(Solid(box(base, (length, 2 * _KERB_Y_M, 0.5)), asphalt, base))
    for side in (-1.0, 1.0):
        width = _FRONT_Y_M - _KERB_Y_M
        base = np.array([middle, side * (_KERB_Y_M + width / 2), -0.5])
        kerb = box(base, (length, width, 0.5 + _KERB_HEIGHT_M))
        solids.append(Solid(kerb, paving, base, top=paving))
        base = np.array([middle, side * (_FRONT_Y_M + 15.0), -0.5])
        solids.append(Solid(box(base, (length, 30.0, 0.5 + _KERB_HEIGHT_M)), lawn, base))
    return solids


def _house(
    random: np.random.Generator, base: Array, size: tuple[float, float], ends: bool = False
) -> Solid:
    height = random.uniform(5.5, 13.0)
    wall = pick(random, _FRONTS)
    period = (random.uniform(2.2, 3.2), random.uniform(2.6, 3.2))
    mark = int(random.integers(1 << 16))
    front = Material(Pattern.WINDOWS, wall, rgb('39424d'), period, mark)
    bricks = Material(Pattern.PLAIN, times(0.9, wall))
    shape = box(base, (size[0], size[1], height))
    return Solid(shape, front, base, end=front if ends else bricks, top=bricks)


def _houses(random: np.random.Generator, side: float, end_m: float) -> list[Solid]:
    """Line one side with houses, and hedges in the gaps between."""
    solids: list[Solid] = []
    at = -30.0 + random.uniform(0.0, 8.0)
    while at < end_m:
        length = min(random.uniform(9.0, 18.0), end_m - at)
        front = _FRONT_Y_M + random.uniform(0.0, 5.0)
        base = np.array([at + length / 2, side * (front + 5.0), 0.0])
        solids.append(_house(random, base, (length, 10.0)))
        at += length
        if random.random() < 0.45:
            gap = random.uniform(3.0, 7.0)
            base = np.array([at + gap / 2, side * (_FRONT_Y_M + 0.8), 0.0])
            leaf = pick(random, _LEAVES)
            dark = times(0.5, leaf)
            hedge = Material(Pattern.MOTTLED, leaf, dark, (0.5, 0.4))
            solids.append(Solid(box(base, (gap, 1.0, random.uniform(1.4, 2.2))), hedge, base))
            at += gap
    return solids


def _kerbside(random: np.random.Generator, side: float, end_m: float) -> list[Solid]:
    """Park cars at the kerb and plant trees and lamp posts on the pavement."""
    solids: list[Solid] = []
    at = -8.0 + random.uniform(0.0, 5.0)
    while at < end_m - 4.0:
        if random.random() < 0.55:
            spot = np.array([at, side * (_KERB_Y_M - 1.05), 0.0])
            make = _lorry if random.random() < 0.3 else _car
            solids += make(random, spot, 0.0 if side < 0 else np.pi)
        spot = np.array([at + 3.2, side * (_KERB_Y_M + 0.6), _KERB_HEIGHT_M])
        kind = random.random()
        if kind < 0.35:
            solids += _tree(random, spot)
        elif kind < 0.6:
            metal = Material(Pattern.PLAIN, rgb('4b5054'))
            solids.append(Solid(Cylinder(spot, 0.1, random.uniform(4.5, 6.0)), metal, spot))
        at += random.uniform(6.5, 9.5)
    return solids


def _tree(random: np.random.Generator, base: Array) -> list[Solid]:
    bark = Material(Pattern.PLAIN, rgb('5a4632'))
    leaf = pick(random, _LEAVES)
    dark = times(0.45, leaf)
    leaves = Material(Pattern.MOTTLED, leaf, dark, (0.6, 0.5))
    crown = random.uniform(1.1, 1.6)
    trunk = random.uniform(1.7, 2.3)
    centre = base + np.array([0.0, 0.0, trunk + 0.75 * crown])
    return [
        Solid(Cylinder(base, 0.16, trunk + 0.3), bark, base),
        Solid(Sphere(centre, crown), leaves, centre),
    ]


def _car(
    random: np.random.Generator, spot: Array, yaw: float, speed_m_s: float = 0.0
) -> list[Solid]:
    """Build a car heading along `yaw`: a body with painted wheels, and a glazed cabin."""
    length, width = random.uniform(3.9, 4.6), random.uniform(1.72, 1.85)
    waist, roof = random.uniform(0.68, 0.78), random.uniform(0.5, 0.62)
    paint = pick(random, _PAINTS)
    velocity = speed_m_s * np.array([np.cos(yaw), np.sin(yaw), 0.0])
    flank = Material(Pattern.WHEELS, paint, (0.012, 0.012, 0.014), (length, waist))
    nose = Material(Pattern.LAMPS, paint, rgb('f4e8c8'), (width, waist))
    plain = Material(Pattern.PLAIN, paint)
    glass = Material(Pattern.GLASS, paint, rgb('27313a'), (0.6 * length, roof))
    screen = Material(Pattern.GLASS, paint, rgb('27313a'), (2.0 * width, roof))
    # The body hangs above the road; the painted wheels end where the tyres would.
    base = spot + np.array([0.0, 0.0, 0.06])
    body = frustum(base, (length, width, waist), (length - 0.16, width - 0.1), yaw)
    top = base + np.array([0.0, 0.0, waist])
    cabin = frustum(
        top, (0.6 * length, width - 0.12, roof), (0.36 * length, width - 0.4), yaw, -0.1
    )
    return [
        Solid(body, flank, base, yaw, end=nose, top=plain, velocity=velocity),
        Solid(cabin, glass, top, yaw, end=screen, top=plain, velocity=velocity),
    ]


def _lorry(
    random: np.random.Generator, spot: Array, yaw: float, speed_m_s: float = 0.0
) -> list[Solid]:
    """Build a lorry heading along `yaw`: a chassis with painted wheels, a load and a cab."""
    length, width = random.uniform(5.4, 6.4), random.uniform(2.0, 2.2)
    waist, roof = 0.8, random.uniform(1.7, 2.2)
    heading = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    velocity = speed_m_s * heading
    paint, cover = pick(random, _PAINTS), pick(random, _FRONTS)
    ribs = times(0.8, cover)
    flank = Material(Pattern.WHEELS, paint, (0.012, 0.012, 0.014), (length, waist))
    nose = Material(Pattern.LAMPS, paint, rgb('f4e8c8'), (width, waist))
    load = Material(Pattern.STRIPES, cover, ribs, (0.5, 0.5))
    plain = Material(Pattern.PLAIN, paint)
    screen = Material(Pattern.GLASS, paint, rgb('27313a'), (2.0 * width, 1.1))
    base = spot + np.array([0.0, 0.0, 0.06])
    top = base + np.array([0.0, 0.0, waist])
    body = box(base, (length, width, waist), yaw)
    hold_at = top - 0.65 * heading
    hold = box(hold_at, (length - 1.3, width, roof), yaw)
    cab_at = top + (length / 2 - 0.65) * heading
    cab = frustum(cab_at, (1.3, width, 1.1), (0.9, width - 0.2), yaw, -0.2)
    return [
        Solid(body, flank, base, yaw, end=nose, top=plain, velocity=velocity),
        Solid(hold, load, hold_at, yaw, top=plain, velocity=velocity),
        Solid(cab, screen, cab_at, yaw, top=plain, velocity=velocity),
    ]


def _traffic(random: np.random.Generator, drive_m: float) -> list[Solid]:
    """Drive a car ahead at the base's speed, and others towards it."""
    ahead = np.array([random.uniform(9.0, 26.0), _LANE_Y_M, 0.0])
    make = _lorry if random.random() < 0.4 else _car
    solids = make(random, ahead, 0.0, _SPEED_M_S)
    at = random.uniform(12.0, 60.0)
    while at < 2.5 * drive_m + 60.0:
        solids += _car(random, np.array([at, -_LANE_Y_M, 0.0]), np.pi, 5.0)
        at += random.uniform(30.0, 70.0)
    return solids
