"""How inverse depth is distributed in an image: figures, slices, and a surface to turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import cv2
import numpy as np
from plotly import graph_objects

from depth_anything_ros.core.types import FloatImage, Floats
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
from depth_anything_ros.studies.depths import normalized
from depth_anything_ros.studies.dissect.pictures import depth_picture
from depth_anything_ros.studies.inputs import NamedImage

__all__ = ['Distribution', 'measure_distribution', 'sections']

_BINS = 120
_SURFACE_PX = 140
_PLACES = 0.25, 0.5, 0.75
_FLAT = 0.01
_AT_LIMIT = 1e-3
_SKY = 0.02

_MEANING = (
    'Inverse depth as the network puts it out: of unknown scale and shift, larger = nearer, no '
    'metres. Smoothness: share of pixels that differ by less than 1 % of the spread (2nd to 98th '
    'percentile) from their neighbours. At a limit: share within a thousandth of the range from '
    'the least or the greatest value. Sky: share of pixels below 2 % of the greatest inverse '
    'depth that reach the upper border through such pixels; open sky tends to 0.'
)
_HEAD: tuple[Cell, ...] = (
    *('image', 'min', 'max', 'mean', 'median', 'std', 'zeros', 'at the least'),
    *('at the greatest', 'smooth', 'sky'),
)


@dataclass(frozen=True)
class Distribution:
    """Figures of one inverse depth; the last six are shares of its pixels."""

    min: float
    max: float
    mean: float
    median: float
    std: float
    zeros: float
    at_min: float
    at_max: float
    smooth: float
    sky: float


def measure_distribution(inverse_depth: FloatImage) -> Distribution:
    """Return the figures of inverse depth (H, W)."""
    low, high = float(inverse_depth.min()), float(inverse_depth.max())
    margin = _AT_LIMIT * (high - low)
    steps = np.hypot(*np.gradient(normalized(inverse_depth)))
    return Distribution(
        low,
        high,
        float(inverse_depth.mean()),
        float(np.median(inverse_depth)),
        float(inverse_depth.std()),
        float(np.mean(inverse_depth == 0)),
        float(np.mean(inverse_depth <= low + margin)),
        float(np.mean(inverse_depth >= high - margin)),
        float(np.mean(steps < _FLAT)),
        _sky(inverse_depth, _SKY * high),
    )


def sections(
    title: str, images: Sequence[NamedImage], depths: Sequence[FloatImage]
) -> list[Section]:
    """Return the sections of one network. `depths`: inverse depth (H, W) of each image."""
    rows: list[Sequence[Cell]] = [_HEAD]
    steps: list[tuple[str, list[Block]]] = []
    for image, depth in zip(images, depths, strict=True):
        found = measure_distribution(depth)
        rows.append([image.name, *astuple(found)])
        picture = Picture(depth_picture(depth), f'depth/{title.split()[0]}-{image.name}')
        steps.append(
            (image.name, [picture, _histogram(depth, found), *_slices(depth), _surface(depth)])
        )
    return [Section(title, [Text(_MEANING), Table(rows), Steps(steps)])]


def _sky(inverse_depth: FloatImage, most: float) -> float:
    far = (inverse_depth <= most).astype(np.uint8)
    _, labels = cv2.connectedComponents(far, connectivity=4)
    at_top = np.unique(labels[0][far[0] > 0])
    return float(np.isin(labels, at_top).mean()) if at_top.size else 0.0


def _histogram(depth: FloatImage, found: Distribution) -> Graph:
    counts, edges = np.histogram(depth, bins=_BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    figure = graph_objects.Figure(
        graph_objects.Bar(x=_listed(middles), y=_listed(counts / depth.size), name='share')
    )
    figure.add_vline(x=found.mean, line_color='#D55E00', annotation_text='mean')
    figure.add_vline(
        x=found.median,
        line_color='#009E73',
        annotation_text='median',
        annotation_position='bottom right',
    )
    figure.update_layout(
        xaxis_title='inverse depth', yaxis_title='share of pixels', bargap=0, height=380
    )
    return Graph(figure, 'histogram')


def _slices(depth: FloatImage) -> list[Graph]:
    graphs = []
    for axis, name in ((0, 'row'), (1, 'column')):
        figure = graph_objects.Figure()
        for place in _PLACES:
            index = int(place * (depth.shape[axis] - 1))
            figure.add_scatter(y=_listed(np.take(depth, index, axis)), name=f'{name} {index}')
        figure.update_layout(xaxis_title='pixel', yaxis_title='inverse depth', height=380)
        graphs.append(Graph(figure, f'{name}s at a quarter, half and three quarters'))
    return graphs


def _surface(depth: FloatImage) -> Graph:
    height = max(2, round(_SURFACE_PX * depth.shape[0] / depth.shape[1]))
    small = cv2.resize(depth, (_SURFACE_PX, height), interpolation=cv2.INTER_AREA)
    surface = graph_objects.Surface(z=[_listed(row) for row in small], colorscale='Viridis')
    figure = graph_objects.Figure(surface)
    figure.update_layout(
        height=620,
        scene={
            'yaxis': {'autorange': 'reversed', 'title': 'row'},
            'xaxis': {'title': 'column'},
            'zaxis': {'title': 'inverse depth'},
            'aspectmode': 'manual',
            'aspectratio': {'x': 1.2, 'y': 1.2 * depth.shape[0] / depth.shape[1], 'z': 0.6},
            'camera': {'eye': {'x': 0.0, 'y': -1.3, 'z': 1.1}},
        },
    )
    return Graph(figure, 'surface: drag to turn it')


def _listed(values: FloatImage | Floats) -> list[float]:
    """Return numbers of five digits: a page of full float64 is several times as long."""
    return [float(f'{value:.5g}') for value in values]
