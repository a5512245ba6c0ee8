"""Accuracy, honesty and time of the metric alignment on synthetic scenes.

The ground truth is exact and the inverse depth errs as the network does
(`lab.world.degradation`). Depth is judged at every pixel with a true depth within 0.1 to 80 m. The
constants of the alignment were chosen on the scenes of seeds 0 to 63; other ones are reported.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.cli.options import require_some
from depth_anything_ros.cli.terminal import progress
from depth_anything_ros.core.types import FloatImage, ReferenceSamples
from depth_anything_ros.metric.alignment import AlignmentConfig
from depth_anything_ros.reports.text import plain_json
from lab import command
from lab.claims.alignment_baselines import BASELINES
from lab.claims.alignment_references import (
    CORRUPTIONS,
    REFERENCES,
    Corruption,
    ReferenceType,
    corrupted,
    truth,
)
from lab.claims.alignment_score import MAX_M, MIN_M, SceneView, Score, aligned
from lab.claims.alignment_table import MISSING, ORACLE, REFINED, ROBUST, AlignmentRow, print_table
from lab.world.scenes import SCENES

__all__ = ['FIRST_SEED', 'AlignmentRow', 'main', 'print_table', 'run']

FIRST_SEED = 7000
"""Seed of the first scene reported: none of those that constants were chosen on."""

SIZE = (640, 480)


def run(
    scenes: int = 32,
    families: Sequence[str] = tuple(SCENES),
    references: Sequence[ReferenceType] = REFERENCES,
    faults: Sequence[Corruption] = CORRUPTIONS,
    on_progress: Callable[[int, int], None] | None = None,
    first_seed: int = FIRST_SEED,
) -> list[AlignmentRow]:
    """Measure every method on `scenes` scenes for each family, reference and fault.

    `on_progress(done, total)` is called for each scene. Every method runs on one thread.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    rows: list[AlignmentRow] = []
    try:
        for number, family in enumerate(families):
            results: dict[tuple[str, str, str], list[Score | str]] = {}
            for done, seed in enumerate(range(first_seed, first_seed + scenes), 1):
                of = truth(family, seed, SIZE)
                views = {fault.gamma: SceneView(of, fault.gamma, seed) for fault in faults}
                for reference in references:
                    drawn = reference.draw(of, seed)
                    for fault in faults:
                        view = views[fault.gamma]
                        wrong = corrupted(drawn, fault, of.world.camera, seed)
                        for method, score in _methods(
                            view, reference, wrong, fault.name == 'clean'
                        ):
                            key = reference.name, fault.name, method
                            results.setdefault(key, []).append(score)
                if on_progress:
                    on_progress(number * scenes + done, len(families) * scenes)
            rows += [_row(family, *key, first_seed, scores) for key, scores in results.items()]
    finally:
        cv2.setNumThreads(threads)
    return rows


def _methods(
    view: SceneView, reference: ReferenceType, samples: ReferenceSamples, clean: bool
) -> Iterable[tuple[str, Score | str]]:
    """Run every method on one scene; a text instead of a score says why there is none."""
    q, z = _pairs(view.inverse_depth, samples)
    for name, method in BASELINES.items():
        yield name, view.timed(partial(method, q, z)) if q.size > 1 else 'no_samples'
    yield ORACLE, view.oracle
    for name, refinement in ((ROBUST, False), (REFINED, True)):
        config = AlignmentConfig(
            reference.kind,
            min_depth_m=MIN_M,
            max_depth_m=MAX_M,
            refinement=refinement,
        )
        if refinement and not config.refines:
            continue
        found, seconds = aligned(view.inverse_depth, config, samples)
        if not found.accepted:
            yield name, found.reason
        else:
            expected = view.expected_error(config, samples) if clean and not refinement else None
            yield name, view.alignment(found, seconds, expected)


def _pairs(
    inverse_depth: FloatImage, samples: ReferenceSamples
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return inverse depth and depth of all samples, for the methods without a gate."""
    inside = (samples.u >= 0) & (samples.u <= inverse_depth.shape[1] - 1)
    inside &= (samples.v >= 0) & (samples.v <= inverse_depth.shape[0] - 1)
    inside &= (samples.depth_m > MIN_M) & (samples.depth_m < MAX_M)
    u, v = (np.rint(each[inside]).astype(int) for each in (samples.u, samples.v))
    return inverse_depth[v, u].astype(float), samples.depth_m[inside].astype(float)


def _row(
    family: str,
    reference: str,
    fault: str,
    method: str,
    first_seed: int,
    scores: list[Score | str],
) -> AlignmentRow:
    good = [score for score in scores if isinstance(score, Score)]
    reasons = Counter(score for score in scores if isinstance(score, str))
    refusals = ', '.join(f'{count} {reason}' for reason, count in reasons.items())
    place = family, reference, fault, method, len(scores), first_seed
    if not good:
        note = MISSING if MISSING in reasons else 'nothing published'
        return AlignmentRow(*place, published=0.0, refusals=refusals, note=note)

    def mean(name: str) -> float:
        return float(np.mean([getattr(score, name) for score in good]))

    share = len(good) / len(scores)
    errors = [score.abs_rel for score in good]
    calibrations = [score.calibration for score in good if score.calibration is not None]
    one, two = np.mean(calibrations, axis=0) if calibrations else ((), ())
    held_out = [score.held_out for score in good if np.isfinite(score.held_out)]
    return AlignmentRow(
        *place,
        mean('abs_rel'),
        float(np.percentile(errors, 95)),
        share,
        mean('flagged') * share,
        mean('silent') * share,
        mean('coverage'),
        tuple(float(value) for value in one),
        tuple(float(value) for value in two),
        mean('mean_sigma') / mean('abs_rel'),
        mean('gain_of_drop'),
        float(np.mean(held_out)) if held_out else float('nan'),
        1e3 * float(np.median([score.seconds for score in good])),
        refusals,
        gain_if_redrawn=mean('gain_if_redrawn'),
    )


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.alignment', __doc__)
    parser.add_argument(
        '--scenes', type=int, metavar='N', default=32, help='of each cell (default: %(default)s)'
    )
    command.add_json(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'scenes')
    with progress('cell') as show:
        rows = run(options.scenes, on_progress=show)
    if options.json:
        print(plain_json(rows))
    else:
        print_table(rows)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
