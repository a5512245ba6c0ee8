"""The page of the variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple

import numpy as np

from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.reports.report import Block, Cell, Picture, Section, Steps, Table, Text
from depth_anything_ros.studies.inputs import NamedImage
from depth_anything_ros.studies.variants.compare import agreement, disputes, draw_disputes
from depth_anything_ros.studies.variants.sheet import contact_sheet
from depth_anything_ros.studies.variants.speed import COLUMNS

__all__ = ['sections']

_AGREEMENT = (
    'ssi error: what is left against the largest network after the best scale and shift, per '
    'standard deviation. Disputed: share of pairs of points that the two order differently, of '
    'those that both decide by 5 % of their spread. Edge: share of the spread by which depth '
    'changes within a pixel, over the steepest fiftieth. Thin kept: share of the things thinner '
    'than 9 pixels in the depth of the largest network that are there, too.'
)
_SPEED = (
    'Through torch in float32, each row in a process of its own that may use so many CPUs. The '
    'time of 100 frames is 100 medians; the film has 172,800 frames. Memory is the most that the '
    'process held, Python and libraries included. Random weights are as fast as trained ones.'
)


def sections(
    images: Sequence[NamedImage],
    depths: Mapping[str, Sequence[FloatImage]],
    speed: Sequence[Sequence[Cell]],
) -> list[Section]:
    """Return the sections. `depths`: inverse depth of each image by title, the largest last."""
    sheet = Picture(contact_sheet(images, depths), 'contact_sheet')
    largest = list(depths)[-1]
    steps: list[tuple[str, list[Block]]] = []
    head: list[Cell] = [
        'network',
        'ssi error',
        'rank correlation',
        'disputed',
        'edge',
        'thin kept',
    ]
    means: dict[str, list[tuple[float, ...]]] = {}
    for index, image in enumerate(images):
        of_image = {title: each[index] for title, each in depths.items()}
        rows: list[list[Cell]] = [head]
        for title, depth in of_image.items():
            figures = astuple(agreement(depth, of_image[largest]))
            rows.append([title, *figures])
            means.setdefault(title, []).append(figures)
        steps.append((image.name, [Table(rows), *_disputed(image, of_image)]))
    overall: list[list[Cell]] = [head, *([title, *_mean(each)] for title, each in means.items())]
    found = [
        Section('Contact sheet', [sheet]),
        Section(f'Agreement with {largest}', [Text(_AGREEMENT), Table(overall, 'mean of images')]),
        Section('Image by image', [Steps(steps)]),
    ]
    if speed:
        found.append(Section('Speed, memory and size', [Text(_SPEED), Table([COLUMNS, *speed])]))
    return found


def _disputed(image: NamedImage, depths: Mapping[str, FloatImage]) -> list[Block]:
    found = disputes(depths)
    if not found:
        return [Text('No pair of points is ordered differently by a clear margin.')]
    rows: list[list[Cell]] = [['pair', 'A at', 'B at', *(f'nearer: {name}' for name in depths)]]
    for number, one in enumerate(found, 1):
        at = [f'{x}, {y}' for x, y in (one.a, one.b)]
        rows.append([number, *at, *(one.nearer[name] for name in depths)])
    picture = Picture(draw_disputes(image.bgr, found), f'disputed/{image.name}')
    return [Table(rows, 'the clearest disputes: points in pixels'), picture]


def _mean(figures: Sequence[tuple[float | None, ...]]) -> list[float | None]:
    known = [
        [value for value in column if value is not None] for column in zip(*figures, strict=True)
    ]
    return [float(np.mean(values)) if values else None for values in known]
