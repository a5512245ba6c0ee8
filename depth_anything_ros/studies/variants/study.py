"""The study of the variants: contact sheet, agreement, disputes, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.reports.report import Block, Cell, Picture, Section, Steps, Table, Text
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.measure import BenchPlan, measure
from depth_anything_ros.studies.bench.work import million_parameters
from depth_anything_ros.studies.inputs import Images, OnProgress, Subject, mean_figures
from depth_anything_ros.studies.parts import Parts, digest
from depth_anything_ros.studies.variants.compare import agreement, disputes
from depth_anything_ros.studies.variants.sheet import contact_sheet, draw_disputes

__all__ = ['film_hours', 'sections', 'speed']

_FILM_FRAMES = 2 * 3600 * 24
"""Of a film of two hours, 24 a second."""

_ACROSS = 5
"""Images on a sheet: more are too small to see on a page."""

_AGREEMENT = (
    'ssi error: what is left against the largest network after the best scale and shift, per '
    'standard deviation. Disputed: share of pairs of points that the two order differently, of '
    'those that both decide by 5 % of their spread. Edge: share of the spread by which depth '
    'changes within a pixel, over the steepest fiftieth. Thin kept: share of the things thinner '
    'than 9 pixels in the depth of the largest network that are there, too.'
)
_DISPUTES = 'clearest disputes: points (x, y) in pixels, and which one is nearer'
_SPEED = (
    'Through torch in float32, each row in a process of its own that may use so many CPUs. The '
    'time of 100 frames is 100 medians; the film has 172,800 frames; the ratio is to the first '
    'network with as many threads. Memory is the most that the process held, Python and '
    'libraries included. Random weights are as fast as trained ones.'
)


def sections(images: Images, depths: Mapping[str, Sequence[FloatImage]]) -> list[Section]:
    """Return the sections. `depths`: inverse depth of each image by title, the largest last."""
    sheets = []
    for at in range(0, len(images), _ACROSS):
        some = slice(at, at + _ACROSS)
        found_in = {title: each[some] for title, each in depths.items()}
        name = f'contact_sheet_{at // _ACROSS + 1}' if at else 'contact_sheet'
        sheets.append(Picture(contact_sheet(list(images.values())[some], found_in), name))
    *_, largest = depths
    steps: list[tuple[str, list[Block]]] = []
    figures: dict[str, list[dict[str, float]]] = {title: [] for title in depths}
    for index, (name, bgr) in enumerate(images.items()):
        of_image = {title: each[index] for title, each in depths.items()}
        found = {title: agreement(each, of_image[largest]) for title, each in of_image.items()}
        for title, each in found.items():
            figures[title].append(each)
        blocks: list[Block] = [Table.of('network', found)]
        if clearest := disputes(of_image):
            rows = {
                f'{number}': {'A at': f'{one.a}', 'B at': f'{one.b}', **one.nearer}
                for number, one in enumerate(clearest, 1)
            }
            blocks += [
                Table.of('pair', rows, _DISPUTES),
                Picture(draw_disputes(bgr, clearest), f'disputed/{name}'),
            ]
        else:
            blocks.append(Text('No pair of points is ordered differently by a clear margin.'))
        steps.append((name, blocks))
    means = {title: mean_figures(each) for title, each in figures.items()}
    return [
        Section('Contact sheet', sheets),
        Section(
            f'Agreement with {largest}',
            [Text(_AGREEMENT), Table.of('network', means, 'mean of images')],
        ),
        Section('Image by image', [Steps(steps)]),
    ]


def speed(
    subjects: Sequence[Subject],
    threads: Sequence[int],
    plan: BenchPlan,
    parts: Parts,
    on_progress: OnProgress,
) -> Section:
    """Return the section of what each network costs with each number of threads, by `bench`."""
    rows: dict[str, dict[str, Cell]] = {}
    left_out: list[Block] = []
    firsts: dict[int, float] = {}
    for subject in subjects:
        name, weights = subject.variant.name, subject.weights
        million = million_parameters(name)
        size = weights.path.stat().st_size / 1e6 if weights.path else 4 * million
        for count in threads:
            asked = Configuration(
                name, 'torch', 'fp32', subject.input_size, 1, count, weights=weights.parameters[2]
            )
            key = digest(subject.key, count, plan)
            run = partial(_only_row, asked, plan)
            found = parts.plain(f'speed-{name}-{count}', key, run)
            on_progress(len(rows) + 1, len(subjects) * len(threads))
            if found['timing'] is None:
                left_out.append(Text(f'{subject.title}, {count} threads: {found["note"]}'))
                continue
            ms = found['timing']['p50_ms']
            rows[f'{subject.title}, threads: {count}'] = {
                's for 100 frames': ms / 10,
                'ratio': ms / firsts.setdefault(count, ms),
                'hours for a film': film_hours(ms),
                'frames timed': found['timing']['calls'],
                'CoV %': found['timing']['cov_percent'],
                'memory MB': found['resident_mb'],
                'million parameters': million,
                'size on disk MB': size,
            }
    table = [Table.of('network', rows)] if rows else []
    return Section('Speed, memory and size', [Text(_SPEED), *table, *left_out])


def film_hours(ms: float) -> float:
    """Return the hours for a film of two hours at 24 frames a second, `ms` a frame."""
    return _FILM_FRAMES * ms / 3.6e6


def _only_row(asked: Configuration, plan: BenchPlan) -> dict[str, Any]:
    (row,) = measure([asked], plan)
    return asdict(row)
