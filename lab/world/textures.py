"""Procedural patterns, filtered so that they do not alias in the distance.

Each pattern gives, per surface point, how much of the accent colour shows (0 to 1) and a factor
on the brightness. `u` and `v` are metres on the surface, `foot` the size in metres of one pixel
there: lines are averaged over it exactly, tones fade as it nears the size of a cell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lab.world.geometry import Array
from lab.world.scene import Material, Pattern

__all__ = ['albedo']

_Look = tuple[Array, Array]
_LANE_LINES_M = (-3.3, 3.3)


def albedo(material: Material, u: Array, v: Array, foot: Array) -> Array:
    """Return the linear RGB (3, n) of `material` at surface coordinates (n,) in metres."""
    mix, tone = _PATTERNS[material.pattern](material, u, v, foot)
    colour = np.array(material.colour, u.dtype)[:, None]
    accent = np.array(material.accent, u.dtype)[:, None]
    return np.asarray((colour + (accent - colour) * mix) * tone)


def _lines(x: Array, period: float, width: float, foot: Array) -> Array:
    """Average a train of lines [0, width) every `period` over [x - foot / 2, x + foot / 2]."""
    half = np.maximum(foot, 1e-4) * 0.5

    def integral(at: Array) -> Array:
        cell = np.floor(at * (1.0 / period))
        return np.asarray(cell * width + np.minimum(at - cell * period, width))

    return np.asarray((integral(x + half) - integral(x - half)) / (2.0 * half))


def _step(x: Array, edge: float, foot: Array) -> Array:
    """Return 1 above `edge`, 0 below, a ramp one pixel wide between."""
    return np.clip((x - edge) / np.maximum(foot, 1e-4) + 0.5, 0.0, 1.0)


def _band(x: Array, low: float, high: float, foot: Array) -> Array:
    return _step(x, low, foot) - _step(x, high, foot)


def _tone(i: Array, j: Array, seed: int, fade: Array, amount: float) -> Array:
    """Return each cell (i, j) a brightness of its own, 1 +- amount."""
    a, b = i.astype(np.int32), j.astype(np.int32)
    mixed = (a * 73856093) ^ (b * 19349663) ^ (seed * 83492791 & 0x7FFFFFFF)
    mixed ^= mixed >> 13
    value = ((mixed * 1274126177) >> 9 & 1023).astype(fade.dtype) * (2.0 / 1023.0) - 1.0
    return np.asarray(1.0 + amount * fade * value)


def _fade(foot: Array, period: float) -> Array:
    return np.clip(1.5 - 2.0 * foot / period, 0.0, 1.0)


def _plain(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    return np.zeros_like(u), np.ones_like(u)


def _mottled(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    a, b = material.period_m
    phase = material.seed % 97
    wave = np.sin(u * (6.28 / a) + phase + 1.7 * np.sin(v * (4.1 / b)))
    wave = wave * np.sin(v * (6.28 / b) + 2.0 * phase)
    return 0.5 + 0.5 * wave * _fade(foot, min(a, b)), np.ones_like(u)


def _tiles(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    a, b = material.period_m
    grout = 0.03 * max(a, b)
    mix = np.maximum(_lines(u, a, grout, foot), _lines(v, b, grout, foot))
    tone = _tone(np.floor(u / a), np.floor(v / b), material.seed, _fade(foot, min(a, b)), 0.10)
    return mix, tone


def _rows(material: Material, u: Array, v: Array, foot: Array, gap: float, tone: float) -> _Look:
    long, wide = material.period_m
    row = np.floor(v / wide)
    shifted = u + row * (0.5 * long)
    mix = np.maximum(_lines(v, wide, gap, foot), _lines(shifted, long, gap, foot))
    fade = _fade(foot, wide)
    return mix, _tone(np.floor(shifted / long), row, material.seed, fade, tone)


def _planks(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    return _rows(material, u, v, foot, 0.012, 0.22)


def _bricks(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    return _rows(material, u, v, foot, 0.14 * material.period_m[1], 0.15)


def _checker(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    a, b = material.period_m
    first = 2.0 * _lines(u, 2.0 * a, a, foot) - 1.0
    second = 2.0 * _lines(v, 2.0 * b, b, foot) - 1.0
    return 0.5 + 0.5 * first * second, np.ones_like(u)


def _stripes(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    period = material.period_m[0]
    return _lines(u, period, 0.5 * period, foot), np.ones_like(u)


def _wall(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    """Paint with a baseboard, a door and framed pictures every few metres."""
    mix = _band(v, 0.0, 0.12, foot)
    spacing, _ = material.period_m
    cell = np.floor(u / spacing)
    x = u - (cell + 0.5) * spacing
    kind = (cell.astype(np.int32) * 7 + material.seed) % 3
    door = _band(x, -0.45, 0.45, foot) * _step(-v, -2.05, foot) * (kind == 0)
    frame = _band(x, -0.55, 0.55, foot) * _band(v, 1.25, 2.0, foot) * (kind == 1)
    canvas = _band(x, -0.47, 0.47, foot) * _band(v, 1.33, 1.92, foot) * (kind == 1)
    panel = _band(x, -0.3, 0.3, foot) * _band(v, 1.1, 1.8, foot) * (kind == 0)
    tone = 1.0 - 0.55 * canvas - 0.15 * panel
    return np.clip(np.maximum(mix, np.maximum(door, frame)), 0.0, 1.0), tone


def _drawers(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    a, b = material.period_m
    gaps = np.maximum(_lines(u, a, 0.02, foot), _lines(v, b, 0.02, foot))
    x, y = u - (np.floor(u / a) + 0.5) * a, v - (np.floor(v / b) + 0.75) * b
    handle = _band(x, -0.09, 0.09, foot) * _band(y, -0.015, 0.015, foot)
    return np.clip(np.maximum(gaps, handle), 0.0, 1.0), np.ones_like(u)


def _books(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    width, height = material.period_m
    row, column = np.floor(v / height), np.floor(u / width)
    board = _lines(v, height, 0.045, foot)
    tone = _tone(column, row, material.seed, _fade(foot, width), 0.75)
    gap = _lines(v - 0.8 * height, height, 0.2 * height, foot)
    return board, np.where(board > 0.5, 1.0, tone * (1.0 - 0.8 * gap))


def _windows(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    a, b = material.period_m
    across = _lines(u + 0.28 * a, a, 0.56 * a, foot)
    along = _lines(v - 0.3 * b, b, 0.52 * b, foot)
    tone = _tone(np.floor(u / a + 0.5), np.floor(v / b), material.seed, _fade(foot, a), 0.35)
    pane = across * along
    return pane, 1.0 + (tone - 1.0) * pane


def _road(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    """Asphalt with a dashed middle line and lane edges; u runs along the road."""
    mix = _lines(u, 6.0, 3.0, foot) * _band(v, -0.08, 0.08, foot)
    for edge in _LANE_LINES_M:
        mix = mix + _band(v, edge - 0.06, edge + 0.06, foot)
    patch = _tone(np.floor(u / 4.0), np.floor(v / 2.5), material.seed, _fade(foot, 4.0), 0.06)
    return np.clip(mix, 0.0, 1.0), patch


def _wheels(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    """Paint two wheels and a dark sill on the flank of a car of `period_m` length."""
    length = material.period_m[0]
    away = np.hypot(np.abs(u) - 0.31 * length, v - 0.12)
    wheel = 1.0 - _step(away, 0.34, foot)
    hub = 1.0 - _step(away, 0.17, foot)
    sill = 1.0 - _step(v, 0.12, foot)
    return np.clip(np.maximum(wheel, sill), 0.0, 1.0), 1.0 + 6.0 * hub


def _lamps(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    """Paint a pair of lights and a bumper on the front or rear of a car of that width."""
    width = material.period_m[0]
    light = _band(np.abs(u), 0.28 * width, 0.45 * width, foot) * _band(v, 0.38, 0.55, foot)
    bumper = 1.0 - _step(v, 0.2, foot)
    return np.clip(light, 0.0, 1.0), 1.0 - 0.75 * bumper


def _glass(material: Material, u: Array, v: Array, foot: Array) -> _Look:
    """Glaze the cabin of a car of that length and height, leaving the posts."""
    length, height = material.period_m
    pane = _band(v, 0.1 * height, 0.85 * height, foot)
    post = _band(np.abs(u), 0.0, 0.05, foot) + _step(np.abs(u), 0.46 * length, foot)
    return np.clip(pane * (1.0 - np.clip(post, 0.0, 1.0)), 0.0, 1.0), np.ones_like(u)


_PATTERNS: dict[Pattern, Callable[[Material, Array, Array, Array], _Look]] = {
    Pattern.PLAIN: _plain,
    Pattern.MOTTLED: _mottled,
    Pattern.TILES: _tiles,
    Pattern.PLANKS: _planks,
    Pattern.BRICKS: _bricks,
    Pattern.CHECKER: _checker,
    Pattern.STRIPES: _stripes,
    Pattern.WALL: _wall,
    Pattern.DRAWERS: _drawers,
    Pattern.BOOKS: _books,
    Pattern.WINDOWS: _windows,
    Pattern.ROAD: _road,
    Pattern.WHEELS: _wheels,
    Pattern.LAMPS: _lamps,
    Pattern.GLASS: _glass,
}
