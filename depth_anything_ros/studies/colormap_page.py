"""The page of the colormaps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from plotly import graph_objects

from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.depth_errors import relative_figures
from depth_anything_ros.core.types import BgrImage, FloatImage
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
from depth_anything_ros.studies.colormap_figures import (
    CONDITIONS,
    LEAST_DIFFERENCE,
    judge,
    lightness,
    recommended,
    seen,
)
from depth_anything_ros.studies.depths import normalized
from depth_anything_ros.studies.inputs import NamedImage
from depth_anything_ros.studies.plots import COLOURS

__all__ = ['sections']

_TILE_PX = 220
_BAR_PX = 14

_MEANING = (
    'Lightness: of CAM02-UCS, 0 to 100; each turn of it is an edge that is not there. Step CoV: '
    'coefficient of variation of the perceived step, every fifth of the 256 rows; 0 is '
    f'uniform. Told apart: depths that differ by {LEAST_DIFFERENCE:g} or more from all others, '
    'where 1 is just noticeable side by side; for normal vision, without one kind of cone '
    '(Machado et al., 2009), and in grey. Order: rank correlation of lightness with depth in the '
    'images, mean; 1 keeps the order.'
)


def sections(images: Sequence[NamedImage], depths: Sequence[FloatImage]) -> list[Section]:
    """Return the sections. `depths`: inverse depth (H, W) of each image."""
    figures = [judge(name, table) for name, table in COLORMAPS.items()]
    relative = [np.clip(normalized(depth), 0.0, 1.0) for depth in depths]
    head: list[Cell] = ['map', 'monotonic', 'turns', 'lightness range', 'step CoV']
    rows: list[list[Cell]] = [[*head, *(f'told apart, {name}' for name in CONDITIONS), 'order']]
    for one in figures:
        order = np.mean([_order(each, one.name) for each in relative])
        rows.append(
            [
                *(one.name, 'yes' if one.monotonic else 'no', one.reversals),
                *(one.lightness_range, one.step_cov, *one.told_apart.values(), float(order)),
            ]
        )
    best, why = recommended(figures)
    steps: list[tuple[str, list[Block]]] = [
        (image.name, [Picture(_sheet(each), f'colormaps/{image.name}')])
        for image, each in zip(images, relative, strict=True)
    ]
    columns = f'Columns: {", ".join(CONDITIONS)}. Rows: {", ".join(COLORMAPS)}.'
    return [
        Section(f'Recommended: {best}', [Text(why)]),
        Section('The maps in figures', [Text(_MEANING), Table(rows), *_graphs()]),
        Section('The same depth in each', [Text(columns), Steps(steps)]),
    ]


def _order(relative: FloatImage, name: str) -> float:
    levels = np.rint(relative * 255).astype(np.int64)
    rows = np.asarray(lightness(COLORMAPS[name]), np.float32)[levels]
    return abs(relative_figures(relative, rows).get('rank_correlation', 0.0))


def _sheet(relative: FloatImage) -> BgrImage:
    """Draw a row for each map and a column for each condition, with a bar from far to near."""
    height = round(_TILE_PX * relative.shape[0] / relative.shape[1])
    small = cv2.resize(relative, (_TILE_PX, height), interpolation=cv2.INTER_AREA)
    bar = np.tile(np.linspace(0.0, 1.0, _TILE_PX, dtype=np.float32), (_BAR_PX, 1))
    tile = np.vstack([small, bar])
    rows = []
    for table in COLORMAPS.values():
        drawn = [colorize(tile, seen(table, condition)) for condition in CONDITIONS]
        rows.append(
            np.hstack(
                [np.pad(each, ((4, 4), (4, 4), (0, 0)), constant_values=255) for each in drawn]
            )
        )
    return np.vstack(rows)


def _graphs() -> list[Graph]:
    figure = graph_objects.Figure()
    places = list(np.linspace(0.0, 1.0, 256).round(3))
    for (name, table), colour in zip(COLORMAPS.items(), COLOURS, strict=True):
        values = list(lightness(table).round(2))
        figure.add_scatter(x=places, y=values, name=name, line_color=colour)
    figure.update_layout(xaxis_title='depth, 0 far to 1 near', yaxis_title="lightness J'")
    return [Graph(figure, 'lightness over depth')]
