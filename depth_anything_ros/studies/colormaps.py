"""Colormaps judged by computation, in a space where distances are perceived differences.

CAM02-UCS (Luo, Cui and Li, 2006) and the deficiencies of Machado et al. (2009), both through
colorspacious.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from colorspacious import cspace_convert

from depth_anything_ros.core.colormaps import COLORMAPS, LookupTable, colorize
from depth_anything_ros.core.depth_errors import relative_figures
from depth_anything_ros.core.types import BgrImage, FloatImage, Floats
from depth_anything_ros.reports.report import (
    Block,
    Cell,
    Graph,
    Picture,
    Section,
    Steps,
    Table,
    Text,
)
from depth_anything_ros.studies.inputs import Images, normalized
from depth_anything_ros.studies.tiles import fitted, laid_out, write

__all__ = ['MapFigures', 'judge', 'recommended', 'sections', 'seen']

_GREY = 'grey'
_CONDITIONS = {
    'normal': '',
    'protanopia': 'protanomaly',
    'deuteranopia': 'deuteranomaly',
    'tritanopia': 'tritanomaly',
    _GREY: '',
}
"""How a picture may be seen, and what colorspacious calls the deficiency."""

_LEAST_DIFFERENCE = 2.0
"""In CAM02-UCS, where about 1 is just noticeable side by side: nearer depths look alike."""

_LEAST_TURN = 1.0
"""Of lightness, 0 to 100: less up or down is the rounding of a table, and not seen."""

_STRIDE = 5
"""Rows from step to step: between neighbours the rounding of a table counts too much."""

_SHARE_OF_BEST = 0.75
_TILE_PX = 220

_MEANING = (
    'Turns: of the lightness of CAM02-UCS, 0 to 100, from far to near; each is an edge that is '
    'not there. Step CoV: coefficient of variation of the perceived step, every fifth of the 256 '
    f'rows; 0 is uniform. Told apart: depths that differ by {_LEAST_DIFFERENCE:g} or more from '
    'all others, where 1 is just noticeable side by side; for normal vision, without one kind of '
    'cone (Machado et al., 2009), and in grey. Order: rank correlation of lightness with depth '
    'in the images, mean; 1 keeps the order.'
)


@dataclass(frozen=True)
class MapFigures:
    """A colormap from far to near. `told_apart`: number of depths, by condition of seeing."""

    turns: int
    lightness_range: float
    step_cov: float
    told_apart: Mapping[str, int]

    @property
    def worst_vision(self) -> int:
        """Fewest depths told apart by any eye, in colour."""
        return min(count for name, count in self.told_apart.items() if name != _GREY)


def sections(images: Images, depths: Sequence[FloatImage]) -> list[Section]:
    """Return the sections. `depths`: inverse depth (H, W) of each image."""
    figures = {name: judge(table) for name, table in COLORMAPS.items()}
    relative = [np.clip(normalized(depth), 0.0, 1.0) for depth in depths]
    rows: dict[str, dict[str, Cell]] = {
        name: {
            'turns': one.turns,
            'lightness range': one.lightness_range,
            'step CoV': one.step_cov,
            **{f'told apart, {condition}': count for condition, count in one.told_apart.items()},
            'order': float(np.mean([_order(each, name) for each in relative])),
        }
        for name, one in figures.items()
    }
    lightness = [
        {'type': 'scatter', 'name': name, 'y': _perceived(table)[:, 0].tolist()}
        for name, table in COLORMAPS.items()
    ]
    graph = Graph.of(lightness, 'row: 0 far, 255 near', "lightness J'", 'lightness over depth')
    best, why = recommended(figures)
    steps: list[tuple[str, list[Block]]] = [
        (name, [Picture(_sheet(each), f'colormaps/{name}')])
        for name, each in zip(images, relative, strict=True)
    ]
    return [
        Section(f'Recommended: {best}', [Text(why)]),
        Section('The maps in figures', [Text(_MEANING), Table.of('colormap', rows), graph]),
        Section('The same depth in each', [Steps(steps)]),
    ]


def judge(table: LookupTable) -> MapFigures:
    """Return the figures of a colormap."""
    places = _perceived(table)
    levels = [float(places[0, 0])]
    for level in places[:, 0].tolist():
        if abs(level - levels[-1]) >= _LEAST_TURN:
            levels.append(level)
    steps = np.linalg.norm(np.diff(places[::_STRIDE], axis=0), axis=1)
    return MapFigures(
        int(np.count_nonzero(np.diff(np.sign(np.diff(levels))))),
        float(np.ptp(places[:, 0])),
        float(steps.std() / steps.mean()),
        {name: _told_apart(_perceived(seen(table, name))) for name in _CONDITIONS},
    )


def recommended(figures: Mapping[str, MapFigures]) -> tuple[str, str]:
    """Return the map that the figures recommend, and why.

    Of those whose lightness never turns, and that keep in grey three quarters of the depths of
    the best one there, it is the map with which the worst-off eye tells most depths apart.
    """
    steady = {name: one for name, one in figures.items() if not one.turns}
    most = max(one.told_apart[_GREY] for one in steady.values())
    kept = [name for name in steady if steady[name].told_apart[_GREY] >= _SHARE_OF_BEST * most]
    best = max(kept, key=lambda name: (steady[name].worst_vision, -steady[name].step_cov))
    turning = ', '.join(name for name in figures if name not in steady) or 'none'
    why = (
        f'{best}: its lightness never turns, so that nearer is never mistaken for farther; it '
        f'keeps {steady[best].told_apart[_GREY]} depths in grey (the best has {most}), and with '
        f'any common colour vision at least {steady[best].worst_vision} are told apart, more than '
        f'with any other such map. Lightness turns, which draws edges where there are none, in: '
        f'{turning}.'
    )
    return best, why


def seen(table: LookupTable, condition: str) -> LookupTable:
    """Return the table (256, 3) BGR as it is seen: 'normal', 'protanopia', ..., 'grey'."""
    rgb = table[:, ::-1] / 255.0
    if condition == _GREY:
        # Rec. 709 luminance, as printers and displays without colour show it.
        linear = cspace_convert(rgb, 'sRGB1', 'sRGB1-linear') @ (0.2126, 0.7152, 0.0722)
        rgb = cspace_convert(np.repeat(linear[:, None], 3, axis=1), 'sRGB1-linear', 'sRGB1')
    elif _CONDITIONS[condition]:
        space = {'name': 'sRGB1+CVD', 'cvd_type': _CONDITIONS[condition], 'severity': 100}
        rgb = cspace_convert(rgb, space, 'sRGB1')
    return np.ascontiguousarray(np.rint(np.clip(rgb, 0.0, 1.0) * 255.0)[:, ::-1], np.uint8)


def _perceived(table: LookupTable) -> Floats:
    """Return J', a', b' of each row (256, 3)."""
    places: Floats = cspace_convert(table[:, ::-1] / 255.0, 'sRGB1', 'CAM02-UCS')
    return places


def _told_apart(places: Floats) -> int:
    """Count rows, from far to near, each that differs enough from all that count so far."""
    chosen = places[:1]
    for place in places[1:]:
        if np.linalg.norm(chosen - place, axis=1).min() >= _LEAST_DIFFERENCE:
            chosen = np.vstack([chosen, place])
    return len(chosen)


def _order(relative: FloatImage, name: str) -> float:
    rows = _perceived(COLORMAPS[name])[np.rint(relative * 255).astype(np.int64), 0]
    return abs(relative_figures(relative, np.asarray(rows, np.float32))['rank_correlation'])


def _sheet(relative: FloatImage) -> BgrImage:
    """Draw a row for each map and a column for each condition, with a bar from far to near."""
    bar = np.tile(np.linspace(0.0, 1.0, _TILE_PX, dtype=np.float32), (14, 1))
    tile = np.asarray(np.vstack([fitted(relative, _TILE_PX), bar]), np.float32)
    tiles = []
    for name, table in COLORMAPS.items():
        for condition in _CONDITIONS:
            tiles.append(colorize(tile, seen(table, condition)))
            write(tiles[-1], f'{name}, {condition}')
    return laid_out(tiles, len(_CONDITIONS))
