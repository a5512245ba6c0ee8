"""Colormaps judged by computation, in a space where distances are perceived differences.

CAM02-UCS (Luo, Cui and Li, 2006) and the deficiencies of Machado et al. (2009), both through
colorspacious.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from colorspacious import cspace_convert

from depth_anything_ros.core.colormaps import LookupTable
from depth_anything_ros.core.types import Floats

__all__ = [
    'CONDITIONS',
    'LEAST_DIFFERENCE',
    'MapFigures',
    'judge',
    'lightness',
    'recommended',
    'seen',
]

NORMAL, GREY = 'normal', 'grey'
CONDITIONS = {
    NORMAL: '',
    'protanopia': 'protanomaly',
    'deuteranopia': 'deuteranomaly',
    'tritanopia': 'tritanomaly',
    GREY: '',
}
"""How a picture may be seen, and what colorspacious calls the deficiency."""

LEAST_DIFFERENCE = 2.0
"""In CAM02-UCS, where about 1 is just noticeable side by side: nearer depths look alike."""

_LEAST_TURN = 1.0
"""Of lightness, 0 to 100: less up or down is the rounding of a table, and not seen."""

_STRIDE = 5
"""Rows from step to step: between neighbours the rounding of a table counts too much."""

_SHARE_OF_GRAY = 0.75


@dataclass(frozen=True)
class MapFigures:
    """A colormap from far to near.

    `monotonic`: lightness only rises or only falls; `reversals` counts its turns, each a false
    edge. `lightness_range` of 100. `step_cov`: coefficient of variation of the perceived step over
    five rows, 0 for a uniform map. `told_apart`: by condition, how many depths differ by at least
    LEAST_DIFFERENCE from all others.
    """

    name: str
    monotonic: bool
    reversals: int
    lightness_range: float
    step_cov: float
    told_apart: dict[str, int]

    @property
    def worst_vision(self) -> int:
        """Fewest depths told apart by any eye, in colour."""
        return min(count for name, count in self.told_apart.items() if name != GREY)


def seen(table: LookupTable, condition: str) -> LookupTable:
    """Return the table (256, 3) BGR as seen under a condition of `CONDITIONS`."""
    rgb = table[:, ::-1] / 255.0
    if condition == GREY:
        # Rec. 709 luminance, as printers and displays without colour show it.
        linear = cspace_convert(rgb, 'sRGB1', 'sRGB1-linear') @ (0.2126, 0.7152, 0.0722)
        grey = cspace_convert(np.repeat(linear[:, None], 3, axis=1), 'sRGB1-linear', 'sRGB1')
        rgb = grey
    elif CONDITIONS[condition]:
        space = {'name': 'sRGB1+CVD', 'cvd_type': CONDITIONS[condition], 'severity': 100}
        rgb = cspace_convert(rgb, space, 'sRGB1')
    levels = np.rint(np.clip(rgb, 0.0, 1.0) * 255.0)
    return np.ascontiguousarray(levels[:, ::-1], np.uint8)


def judge(name: str, table: LookupTable) -> MapFigures:
    """Return the figures of a colormap."""
    places = _perceived(table)
    levels = [float(places[0, 0])]
    for level in places[:, 0].tolist():
        if abs(level - levels[-1]) >= _LEAST_TURN:
            levels.append(level)
    reversals = int(np.count_nonzero(np.diff(np.sign(np.diff(levels)))))
    steps = np.linalg.norm(np.diff(places[::_STRIDE], axis=0), axis=1)
    told_apart = {
        condition: _told_apart(_perceived(seen(table, condition))) for condition in CONDITIONS
    }
    return MapFigures(
        name,
        reversals == 0,
        reversals,
        float(np.ptp(places[:, 0])),
        float(steps.std() / steps.mean()),
        told_apart,
    )


def lightness(table: LookupTable) -> Floats:
    """Return the perceived lightness J' (256,), 0 to 100, of each row."""
    return _perceived(table)[:, 0]


def recommended(figures: list[MapFigures]) -> tuple[str, str]:
    """Return the map that the figures recommend, and why.

    Of those whose lightness is monotonic, and that keep in grey three quarters of the depths of
    the best one there, it is the map with which the worst-off eye tells most depths apart.
    """
    monotonic = [one for one in figures if one.monotonic]
    most = max(one.told_apart[GREY] for one in monotonic)
    kept = [one for one in monotonic if one.told_apart[GREY] >= _SHARE_OF_GRAY * most]
    best = max(kept, key=lambda one: (one.worst_vision, -one.step_cov))
    others = ', '.join(one.name for one in figures if not one.monotonic)
    why = (
        f'{best.name}: its lightness only rises or only falls, so that nearer is never mistaken '
        f'for farther; it keeps {best.told_apart[GREY]} depths in grey (the best has {most}), and '
        f'with any common colour vision at least {best.worst_vision} are told apart, more than '
        f'with any other such map. Lightness turns, which draws edges where there are none, in: '
        f'{others or "none"}.'
    )
    return best.name, why


def _perceived(table: LookupTable) -> Floats:
    places: npt.NDArray[np.float64] = cspace_convert(table[:, ::-1] / 255.0, 'sRGB1', 'CAM02-UCS')
    return places


def _told_apart(places: Floats) -> int:
    """Count rows, from far to near, each at least LEAST_DIFFERENCE from all that count so far."""
    chosen = places[:1]
    for place in places[1:]:
        if np.linalg.norm(chosen - place, axis=1).min() >= LEAST_DIFFERENCE:
            chosen = np.vstack([chosen, place])
    return len(chosen)
