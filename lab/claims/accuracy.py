"""What a precision costs in accuracy: error of depth, and difference from float32."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.cli.network_grid import add_grid, conditions_of, configurations
from depth_anything_ros.cli.options import add_size, require_some
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.depth_errors import metric_figures
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.studies.bench.configuration import Configuration, Engine
from depth_anything_ros.studies.bench.measure import REFERENCE, Bench, BenchPlan
from lab import command
from lab.training.data import HELD_OUT_SEED
from lab.training.metrics import fitted_depth
from lab.world.scenes import SCENES
from lab.world.world import World

__all__ = ['Accuracy', 'main', 'measure_accuracy']


_CALIBRATION_PICTURES = 32


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

    size: width and height of the pictures. int8 is calibrated on other rooms and roads.
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
            inverse_depths = bench.inverse_depths(asked, images)
            known[asked] = [
                fitted_depth(q, z) for q, z in zip(inverse_depths, truths, strict=True)
            ]
        return known[asked]

    rows = []
    with (
        tempfile.TemporaryDirectory(prefix='calibration-') as folder,
        Bench(BenchPlan(size)) as bench,
    ):
        _render(Path(folder))
        for index, one in enumerate(replace(one, calibration=folder) for one in configurations):
            row = Accuracy(one.variant, one.backend, one.precision, one.input_size, scenes)
            try:
                exact = depths(bench, one, REFERENCE)
                rows.append(_row(row, depths(bench, one, one.engine), exact, truths))
            except DepthAnythingError as error:
                rows.append(replace(row, note=str(error)))
            on_progress(index + 1, len(configurations))
    return rows


def _render(folder: Path) -> None:
    """Write the pictures that int8 is calibrated on."""
    families = list(SCENES)
    for index in range(_CALIBRATION_PICTURES):
        bgr, _ = World(families[index % len(families)], seed=index).picture(0.0)
        cv2.imwrite(str(folder / f'{index:02d}.png'), bgr)


def _row(
    row: Accuracy,
    depths_m: Sequence[FloatImage],
    exact_m: Sequence[FloatImage],
    truths_m: Sequence[FloatImage],
) -> Accuracy:
    apart = [100.0 * np.abs(z - of) / of for z, of in zip(depths_m, exact_m, strict=True)]
    abs_rel, exact_abs_rel = _abs_rel(depths_m, truths_m), _abs_rel(exact_m, truths_m)
    p50, p99 = np.nanpercentile(np.stack(apart), (50, 99))
    return replace(
        row,
        abs_rel=abs_rel,
        ratio=abs_rel / exact_abs_rel,
        diff_p50_percent=float(p50),
        diff_p99_percent=float(p99),
    )


def _abs_rel(depths_m: Sequence[FloatImage], truths_m: Sequence[FloatImage]) -> float:
    pairs = zip(truths_m, depths_m, strict=True)
    return float(np.mean([metric_figures(truth, depth)['abs_rel'] for truth, depth in pairs]))


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.accuracy', __doc__)
    parser.add_argument('--scenes', type=int, metavar='N', default=32, help='default: %(default)s')
    add_size(parser)
    command.add_json(parser)
    add_grid(parser, 'A list gives a row for each of its values.')
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'scenes')
    wanted, conditions = conditions_of(configurations(options), options.size)
    with progress('row') as show:
        rows = measure_accuracy(wanted, options.scenes, options.size, show)
    ran = [row for row in rows if not row.note]
    if not options.json:
        print('\n'.join(conditions.lines()), end='\n\n')
        for row in rows:
            if row.note:
                print(f'left out: {row.backend} {row.precision}: {row.note}', file=sys.stderr)
    columns = [field.name for field in fields(Accuracy) if field.name != 'note']
    print_rows(rows if options.json else ran, options.json, columns)
    return 0 if ran else 1


if __name__ == '__main__':
    raise SystemExit(main())
