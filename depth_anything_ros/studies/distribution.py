"""How inverse depth is distributed in an image: figures, slices, and a surface to turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.reports.report import Block, Graph, Picture, Section, Steps, Table, Text
from depth_anything_ros.studies.inputs import Images, normalized
from depth_anything_ros.studies.tiles import fitted

__all__ = ['distribution', 'sections']

_BINS = 120
_SURFACE_PX = 140
_PLACES = 0.25, 0.5, 0.75
_FLAT = 0.01
_AT_LIMIT = 1e-3
_SKY = 0.02

_MEANING = (
    'Inverse depth as the network puts it out: of unknown scale and shift, larger = nearer, no '
    'metres. Smooth: share of pixels that differ by less than 1 % of the spread (2nd to 98th '
    'percentile) from their neighbours. At a limit: share within a thousandth of the range from '
    'the least or the greatest value. Sky: share of pixels below 2 % of the greatest inverse '
    'depth that reach the upper border through such pixels; open sky tends to 0.'
)


def distribution(inverse_depth: FloatImage) -> dict[str, float]:
    """Return the figures of inverse depth (H, W); those from 'zeros' on are shares of pixels."""
    low, high = float(inverse_depth.min()), float(inverse_depth.max())
    margin = _AT_LIMIT * (high - low)
    steps = np.hypot(*np.gradient(normalized(inverse_depth)))
    far = (inverse_depth <= _SKY * high).astype(np.uint8)
    labels = cv2.connectedComponents(far, connectivity=4)[1]
    at_top = np.unique(labels[0])
    return {
        'min': low,
        'max': high,
        'mean': float(inverse_depth.mean()),
        'median': float(np.median(inverse_depth)),
        'std': float(inverse_depth.std()),
        'zeros': float(np.mean(inverse_depth == 0)),
        'at the least': float(np.mean(inverse_depth <= low + margin)),
        'at the greatest': float(np.mean(inverse_depth >= high - margin)),
        'smooth': float(np.mean(steps < _FLAT)),
        # Label 0 is what is no sky.
        'sky': float(np.isin(labels, at_top[at_top > 0]).mean()),
    }


def sections(title: str, images: Images, depths: Sequence[FloatImage]) -> list[Section]:
    """Return the sections of one network. `depths`: inverse depth (H, W) of each image."""
    figures = {name: distribution(depth) for name, depth in zip(images, depths, strict=True)}
    steps: list[tuple[str, list[Block]]] = []
    for (name, found), depth in zip(figures.items(), depths, strict=True):
        drawn = np.hstack([images[name], colorize(normalized(depth), COLORMAPS['spectral_r'])])
        stem = f'depth/{title.split()[0]}-{name}'
        picture = Picture(drawn, stem, f'{name}, and its depth: near red, far blue')
        graphs = [_histogram(depth, found), _slices(depth, 0), _slices(depth, 1), _surface(depth)]
        steps.append((name, [picture, *graphs]))
    return [Section(title, [Text(_MEANING), Table.of('image', figures), Steps(steps)])]


def _histogram(depth: FloatImage, found: dict[str, float]) -> Graph:
    counts, edges = np.histogram(depth, bins=_BINS)
    bars = {
        'type': 'bar',
        'x': _listed(edges[:-1]),
        'y': _listed(counts / depth.size),
        'offset': 0,
    }
    most = float(counts.max() / depth.size)
    lines = [
        {'type': 'scatter', 'mode': 'lines', 'name': name, 'x': [found[name]] * 2, 'y': [0, most]}
        for name in ('mean', 'median')
    ]
    data: list[dict[str, Any]] = [bars | {'name': 'share of pixels'}, *lines]
    return Graph.of(data, 'inverse depth', 'share of pixels', 'histogram')


def _slices(depth: FloatImage, axis: int) -> Graph:
    name = ('row', 'column')[axis]
    places = [int(place * (depth.shape[axis] - 1)) for place in _PLACES]
    data = [
        {'type': 'scatter', 'name': f'{name} {at}', 'y': _listed(np.take(depth, at, axis))}
        for at in places
    ]
    caption = f'{name}s at a quarter, half and three quarters'
    return Graph.of(data, 'pixel', 'inverse depth', caption)


def _surface(depth: FloatImage) -> Graph:
    aspect = depth.shape[0] / depth.shape[1]
    small = fitted(depth, _SURFACE_PX)
    surface = {'type': 'surface', 'z': [_listed(row) for row in small], 'colorscale': 'Viridis'}
    scene = {
        'yaxis': {'autorange': 'reversed', 'title': {'text': 'row'}},
        'xaxis': {'title': {'text': 'column'}},
        'zaxis': {'title': {'text': 'inverse depth'}},
        'aspectmode': 'manual',
        'aspectratio': {'x': 1.2, 'y': 1.2 * aspect, 'z': 0.6},
        'camera': {'eye': {'x': 0.0, 'y': -1.3, 'z': 1.1}},
    }
    layout = {'height': 620, 'scene': scene}
    return Graph({'data': [surface], 'layout': layout}, 'surface: drag to turn it')


def _listed(values: npt.NDArray[Any]) -> list[float]:
    """Return numbers of five digits: a page of full float64 is several times as long."""
    return [float(f'{value:.5g}') for value in values]
