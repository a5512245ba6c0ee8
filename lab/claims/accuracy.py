"""What an arithmetic costs in accuracy: true depth, and the answers of float32, on new scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.studies.bench.configuration import Configuration, Engine
from depth_anything_ros.studies.bench.measure import REFERENCE, Bench, BenchPlan
from lab.training.data import HELD_OUT_SEED
from lab.training.metrics import fitted_depth
from lab.world.scenes import SCENES
from lab.world.world import World

__all__ = ['Accuracy', 'measure_accuracy']


@dataclass(frozen=True)
class Accuracy:
    """One network on all scenes, its depth fitted to the truth by scale and shift in each.

    `abs_rel` is the mean of |depth - truth| / truth, `ratio` that by the one of float32 in torch.
    `diff` is |depth - depth of float32| / depth of float32 in percent, over the pixels of all
    scenes. What is not known is NaN, and `note` says why.
    """

    variant: str
    backend: str
    precision: str
    input_size: int
    scenes: int
    abs_rel: float = np.nan
    ratio: float = np.nan
    diff_p50_percent: float = np.nan
    diff_p99_percent: float = np.nan
    note: str = ''


def measure_accuracy(
    configurations: Sequence[Configuration],
    scenes: int,
    size: tuple[int, int] = (640, 480),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Accuracy]:
    """Return a row for each configuration: rooms and roads by turns, which no network has seen.

    size: width and height of the pictures.
    """
    families = list(SCENES)
    drawn = [
        World(families[index % len(families)], HELD_OUT_SEED + index, size=size).picture(0.0)
        for index in range(scenes)
    ]
    images = [image for image, _ in drawn]
    truths = [depth_m for _, depth_m in drawn]
    known: dict[Configuration, list[FloatImage]] = {}

    def depths(bench: Bench, one: Configuration, engine: Engine) -> list[FloatImage]:
        asked = one.by(engine)
        if asked not in known:
            answers = bench.answers(asked, images)
            known[asked] = [fitted_depth(q, z) for q, z in zip(answers, truths, strict=True)]
        return known[asked]

    rows = []
    with Bench(BenchPlan(size)) as bench:
        for index, one in enumerate(configurations):
            row = Accuracy(one.variant, one.backend, one.precision, one.input_size, scenes)
            try:
                exact = depths(bench, one, REFERENCE)
                rows.append(_row(row, depths(bench, one, one.engine), exact, truths))
            except DepthAnythingError as error:
                rows.append(replace(row, note=str(error)))
            on_progress(index + 1, len(configurations))
    return rows


def _row(
    row: Accuracy,
    depths_m: Sequence[FloatImage],
    exact_m: Sequence[FloatImage],
    truths_m: Sequence[FloatImage],
) -> Accuracy:
    apart = [100.0 * np.abs(z - of) / of for z, of in zip(depths_m, exact_m, strict=True)]
    abs_rel, exact_abs_rel = (
        float(
            np.mean(
                [np.nanmean(np.abs(z - of) / of) for z, of in zip(all_m, truths_m, strict=True)]
            )
        )
        for all_m in (depths_m, exact_m)
    )
    p50, p99 = np.nanpercentile(np.stack(apart), (50, 99))
    return replace(
        row,
        abs_rel=abs_rel,
        ratio=abs_rel / exact_abs_rel,
        diff_p50_percent=float(p50),
        diff_p99_percent=float(p99),
    )
