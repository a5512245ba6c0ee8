"""What is lost while the scale of the last reference is carried on, over drives.

The alignment has a reference in eight frames, then none: AbsRel of each frame after that, robust
and refined, and whether the reference is taken back at once when it returns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.cli.options import require_some
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.types import FloatImage, ReferenceSamples
from depth_anything_ros.metric.alignment import Alignment, AlignmentConfig, ScaleAligner
from lab import command
from lab.claims.alignment import FIRST_SEED
from lab.claims.alignment_references import FRAME_S, ON_THE_WAY, Truth, truths
from lab.world.degradation import degraded
from lab.world.scenes import SCENES

__all__ = ['CarryingRow', 'bench_carrying', 'main']

_SIZE = (320, 240)
_WITH, _WITHOUT = 8, 5


@dataclass(frozen=True)
class CarryingRow:
    """One kind of reference over `drives` drives of a family.

    `abs_rel_N`: mean AbsRel N tenths of a second after the last reference. `taken_back`: share of
    the drives whose first reference after 0.6 s is accepted.
    """

    family: str
    reference: str
    fit: str
    drives: int
    abs_rel_0: float
    abs_rel_1: float
    abs_rel_2: float
    abs_rel_3: float
    abs_rel_4: float
    abs_rel_5: float
    taken_back: float


def bench_carrying(
    drives: int = 16,
    families: Sequence[str] = tuple(SCENES),
    on_progress: Callable[[int, int], None] | None = None,
) -> list[CarryingRow]:
    """Judge every reference on `drives` drives in each family."""
    found: dict[tuple[str, str, str], list[list[float]]] = {}
    for number, family in enumerate(families):
        for done in range(drives):
            seed = FIRST_SEED + done
            frames = [
                (of, degraded(of.depth_m, seed=seed, frame=i, objects=of.objects))
                for i, of in enumerate(truths(family, seed, _SIZE, 1.5))
            ]
            for reference in ON_THE_WAY:
                read = [reference.draw(of, seed) for of, _ in frames]
                for refinement in (False, True):
                    config = AlignmentConfig(reference.kind, refinement=refinement)
                    if refinement and not config.refines:
                        continue
                    fit = 'refined' if refinement else 'robust'
                    carried = _carried(ScaleAligner(config), frames, read)
                    found.setdefault((family, reference.name, fit), []).append(carried)
            if on_progress:
                on_progress(number * drives + done + 1, len(families) * drives)
    return [
        CarryingRow(*key, len(each), *(float(value) for value in np.nanmean(each, axis=0)))
        for key, each in found.items()
    ]


def _carried(
    aligner: ScaleAligner,
    frames: Sequence[tuple[Truth, FloatImage]],
    read: Sequence[ReferenceSamples],
) -> list[float]:
    """Return AbsRel by tenths of a second without a reference, and whether it is taken back."""
    errors = []
    for i, (of, inverse_depth) in enumerate(frames[: _WITH + _WITHOUT]):
        stamp_ns = round(i * FRAME_S * 1e9)
        if i < _WITH:
            aligner.update(inverse_depth, read[i], stamp_ns)
        else:
            aligner.follow(inverse_depth, stamp_ns)
        if i >= _WITH - 1:
            errors.append(_error(aligner.current(stamp_ns), inverse_depth, of.depth_m))
    back = _WITH + _WITHOUT
    taken = aligner.update(frames[back][1], read[back], round(back * FRAME_S * 1e9))
    return [*errors, float(taken.accepted)]


def _error(found: Alignment | None, inverse_depth: FloatImage, true: FloatImage) -> float:
    """Return AbsRel, NaN where nothing is held."""
    if found is None:
        return float('nan')
    with np.errstate(invalid='ignore'):
        error = np.abs(found.metric_depth(inverse_depth) / true - 1.0)
    return float(np.nanmean(error[np.isfinite(true)]))


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.carrying', __doc__)
    parser.add_argument(
        '--drives', type=int, metavar='N', default=16, help='of each family (default: %(default)s)'
    )
    command.add_json(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'drives')
    with progress('drive') as show:
        rows = bench_carrying(options.drives, on_progress=show)
    return print_rows(rows, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
