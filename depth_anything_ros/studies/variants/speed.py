"""What each variant costs: time of 100 frames and of a film, memory, size; timed by `bench`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from depth_anything_ros.reports.report import Cell
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.measure import BenchPlan, measure
from depth_anything_ros.studies.inputs import Subject
from depth_anything_ros.studies.parts import Parts, digest

__all__ = ['COLUMNS', 'film_hours', 'speed_rows']

_FRAMES = 100
_FILM_FRAMES = 2 * 3600 * 24
"""Of a film of two hours, 24 a second."""

COLUMNS: tuple[str, ...] = (
    'network',
    'threads',
    's for 100 frames',
    'ratio',
    'hours for a film',
    'frames timed',
    'CoV %',
    'memory MB',
    'parameters, millions',
    'size on disk MB',
)


def speed_rows(
    subjects: Sequence[Subject],
    threads: Sequence[int],
    plan: BenchPlan,
    parts: Parts,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[list[Cell]]:
    """Return a row of `COLUMNS` for each network and number of threads, through torch in float32.

    The time of 100 frames is 100 medians of those that `plan` times; the ratio is to the first
    network with as many threads.
    """
    rows: list[list[Cell]] = []
    firsts: dict[int, float] = {}
    for subject in subjects:
        for count in threads:
            name = subject.variant.name
            _, _, weights = subject.weights.parameters
            asked = Configuration(
                name, 'torch', 'fp32', subject.input_size, threads=count, weights=weights
            )
            key = digest(subject.key, count, plan)
            found = parts.plain(
                f'speed-{name}-{count}',
                key,
                lambda asked=asked: [asdict(row) for row in measure([asked], plan)],  # type: ignore[misc]
            )[0]
            on_progress(len(rows) + 1, len(subjects) * len(threads))
            if found['timing'] is None:
                rows.append([subject.title, count, found['note'], *[None] * 7])
                continue
            timing = found['timing']
            ms = timing['p50_ms']
            ratio = ms / firsts.setdefault(count, ms)
            million = _parameters(subject) / 1e6
            path = subject.weights.path
            size = path.stat().st_size / 1e6 if path else 4 * million
            rows.append(
                [
                    *(subject.title, count, _FRAMES * ms / 1e3, ratio, film_hours(ms)),
                    *(timing['calls'], timing['cov_percent'], found['resident_mb']),
                    *(million, size),
                ]
            )
    return rows


def film_hours(ms: float) -> float:
    """Return the hours for a film of two hours at 24 frames a second."""
    return _FILM_FRAMES * ms / 3.6e6


def _parameters(subject: Subject) -> int:
    import torch

    from depth_anything_ros.model.network import DepthAnythingV2

    with torch.device('meta'):
        network = DepthAnythingV2(subject.variant)
    return sum(each.numel() for each in network.parameters())
