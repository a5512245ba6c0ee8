"""Whether a reference with near and far exchanged ever gives metric depth, over drives.

Each reference is read at every frame of a drive and handed to the alignment twice: as it is, and
negated. A frame has metres where the alignment holds what the node would publish.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.cli.options import require_some
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.types import FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment import AlignmentConfig, ScaleAligner
from lab import command
from lab.claims.alignment import FIRST_SEED
from lab.claims.alignment_references import FRAME_S, ON_THE_WAY, negated, truths
from lab.world.degradation import degraded
from lab.world.scenes import SCENES

__all__ = ['PolarityRow', 'bench_polarity', 'main']

_SIZE = (320, 240)


@dataclass(frozen=True)
class PolarityRow:
    """One kind of reference over `drives` drives of a family, shares from 0 to 1.

    `negated`: of the drives in which any frame had metres though the reference was negated.
    `within_1_s`, `within_3_s`, `ever`: of the drives with metres by then, with the reference as it
    is; `frames`: of their frames.
    """

    family: str
    reference: str
    drives: int
    negated: float
    within_1_s: float
    within_3_s: float
    ever: float
    frames: float


def bench_polarity(
    drives: int = 16,
    seconds: float = 6.0,
    families: Sequence[str] = tuple(SCENES),
    on_progress: Callable[[int, int], None] | None = None,
) -> list[PolarityRow]:
    """Judge every reference on `drives` drives of so many seconds in each family."""
    metric: dict[tuple[str, str, bool], list[npt.NDArray[np.bool_]]] = {}
    for number, family in enumerate(families):
        for done in range(drives):
            seed = FIRST_SEED + done
            frames = list(truths(family, seed, _SIZE, seconds))
            seen = [
                degraded(of.depth_m, seed=seed, frame=i, objects=of.objects)
                for i, of in enumerate(frames)
            ]
            for reference in ON_THE_WAY:
                read = [reference.draw(of, seed) for of in frames]
                for wrong, samples in ((False, read), (True, negated(read))):
                    found = _metric(reference.kind, seen, samples)
                    metric.setdefault((family, reference.name, wrong), []).append(found)
            if on_progress:
                on_progress(number * drives + done + 1, len(families) * drives)
    return [
        _row(family, name, metric[family, name, False], metric[family, name, True])
        for family in families
        for name in (reference.name for reference in ON_THE_WAY)
    ]


def _metric(
    kind: ReferenceKind, seen: Sequence[FloatImage], read: Sequence[ReferenceSamples]
) -> npt.NDArray[np.bool_]:
    """Return for each frame whether it has metric depth."""
    aligner = ScaleAligner(AlignmentConfig(kind))
    valid = []
    for frame, (inverse_depth, samples) in enumerate(zip(seen, read, strict=True)):
        stamp_ns = round(frame * FRAME_S * 1e9)
        aligner.update(inverse_depth, samples, stamp_ns)
        valid.append(aligner.current(stamp_ns) is not None)
    return np.array(valid)


def _row(
    family: str,
    reference: str,
    right: Sequence[npt.NDArray[np.bool_]],
    wrong: Sequence[npt.NDArray[np.bool_]],
) -> PolarityRow:
    def within(seconds: float) -> float:
        return float(np.mean([each[: round(seconds / FRAME_S)].any() for each in right]))

    return PolarityRow(
        family,
        reference,
        len(right),
        float(np.mean([each.any() for each in wrong])),
        within(1.0),
        within(3.0),
        float(np.mean([each.any() for each in right])),
        float(np.mean(np.concatenate(right))),
    )


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.polarity', __doc__)
    parser.add_argument(
        '--drives', type=int, metavar='N', default=16, help='of each family (default: %(default)s)'
    )
    command.add_json(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'drives')
    with progress('drive') as show:
        rows = bench_polarity(options.drives, on_progress=show)
    return print_rows(rows, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
