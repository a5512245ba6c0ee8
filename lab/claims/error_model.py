"""How the simulated network errs, beside real maps: size, tails, shift and correlations.

Scale and shift are those of the best robust fit to all pixels; the error is the log of the inverse
depth that they give over the true one. Real maps are .npz files with `inverse_depth` (H, W) and
`depth_m` (H, W) in 1/256 m, 0 where it is unknown.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.cli.options import require_some
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.types import FloatImage
from lab import command
from lab.claims.alignment_baselines import huber_oracle
from lab.claims.alignment_references import truth
from lab.claims.alignment_score import MAX_M, MIN_M
from lab.world.degradation import degraded
from lab.world.geometry import Array
from lab.world.scenes import SCENES

__all__ = ['ErrorRow', 'main', 'measured', 'real_rows', 'simulated_rows']

_SIZE = (640, 480)
_PERCENTILES = (10, 50, 90)
_PAIRS = 200_000
_FEWEST_PAIRS = 100
# A blur mixes these pixels with the sky, where lidars have no truth.
_SKY_EDGE_PX = 4
# Least and greatest distance as share of the longer side, and difference of the log output.
_BY_DISTANCE = [(0.8 * at, 1.2 * at, 0.0, 0.1) for at in (0.02, 0.05, 0.1, 0.2, 0.4)]
_BY_STEP = [(0.0, 0.05, *step) for step in pairwise((0.0, 0.1, 0.3, 0.6, np.inf))]


@dataclass(frozen=True)
class ErrorRow:
    """One map, or a percentile of each figure over simulated maps.

    `sd`, `mad_sigma` (1.4826 MAD) and `kurtosis` (3 for a normal distribution) are of the error.
    `shift`: inverse depth where the output is 0, as share of the far end's (P1).
    `zeros`: share of the image whose output is 0.
    `by_distance`: correlation of the errors of two pixels .02, .05, .1, .2 and .4 times the longer
    side apart, whose logs of the output differ by less than .1; `by_step`: of two pixels nearer
    than .05, whose logs differ by less than .1, .3, .6, and by more. NaN for too few such pixels.
    """

    name: str
    abs_rel: float
    sd: float
    mad_sigma: float
    kurtosis: float
    shift: float
    zeros: float
    by_distance: tuple[float, ...]
    by_step: tuple[float, ...]


def measured(inverse_depth: FloatImage, depth_m: FloatImage) -> Array:
    """Return the figures of an `ErrorRow`; depth (H, W) is 0 or not finite where unknown."""
    zero = inverse_depth == 0.0
    around = np.ones((2 * _SKY_EDGE_PX + 1,) * 2, np.uint8)
    known = cv2.dilate(zero.astype(np.uint8), around) == 0
    known &= (depth_m > MIN_M) & (depth_m < MAX_M)
    q, z = inverse_depth[known].astype(np.float64), depth_m[known].astype(np.float64)
    scale, shift = huber_oracle(q, z)
    depth = 1.0 / np.maximum(scale * q + shift, 1.0 / MAX_M)
    error = np.log(z / depth)
    error -= error.mean()
    images = np.full((2, *depth_m.shape), np.nan)
    images[:, known] = error, np.log(q)
    found = [
        np.mean(np.abs(depth - z) / z),
        error.std(),
        1.4826 * np.median(np.abs(error - np.median(error))),
        np.mean(error**4) / np.mean(error**2) ** 2,
        shift / np.percentile(1.0 / z, 1.0),
        zero.mean(),
    ]
    return np.array(found + [_correlation(images, *each) for each in _BY_DISTANCE + _BY_STEP])


def _correlation(images: Array, near: float, far: float, low: float, high: float) -> float:
    """Return the correlation of error within pairs of pixels; `images` is error and log output."""
    random = np.random.default_rng(0)
    here = np.argwhere(np.isfinite(images[0]))
    here = here[random.integers(len(here), size=_PAIRS)]
    angle = random.uniform(0.0, 2 * np.pi, _PAIRS)
    reach = random.uniform(near, far, _PAIRS) * max(images.shape)
    there = np.rint(here + (reach * np.stack([np.sin(angle), np.cos(angle)])).T).astype(int)
    inside = ((there >= 0) & (there < images.shape[1:])).all(axis=1)
    (error, log), (other, other_log) = (
        images[:, at[inside, 0], at[inside, 1]] for at in (here, there)
    )
    kept = (np.abs(log - other_log) >= low) & (np.abs(log - other_log) < high)
    if np.count_nonzero(kept) < _FEWEST_PAIRS:
        return float('nan')
    error, other = error[kept], other[kept]
    return float(error @ other / np.sqrt((error @ error) * (other @ other)))


def _row(name: str, figures: Array) -> ErrorRow:
    values = figures.round(3).tolist()
    return ErrorRow(*[name, *values[:6], tuple(values[6:11]), tuple(values[11:])])


def simulated_rows(scenes: int) -> list[ErrorRow]:
    """Return percentiles over so many scenes of each family, seeds from 0."""
    rows = []
    for family in SCENES:
        figures = []
        with progress(family) as show:
            for seed in range(scenes):
                of = truth(family, seed, _SIZE)
                inverse_depth = degraded(of.depth_m, seed=seed, objects=of.objects)
                figures.append(measured(inverse_depth, of.depth_m))
                show(seed + 1, scenes)
        with warnings.catch_warnings():
            # A figure that no scene has stays NaN.
            warnings.simplefilter('ignore', RuntimeWarning)
            found = np.nanpercentile(figures, _PERCENTILES, axis=0)
        rows += [_row(f'{family} P{n}', each) for n, each in zip(_PERCENTILES, found, strict=True)]
    return rows


def real_rows(folder: Path) -> list[ErrorRow]:
    """Return one row for each real map in `folder`; other files are named on stderr."""
    if not folder.is_dir():
        raise SettingError(f'{folder} is not a folder')
    rows = []
    for path in sorted(folder.iterdir()):
        arrays = dict(np.load(path)) if path.suffix == '.npz' else {}
        if {'inverse_depth', 'depth_m'} <= arrays.keys():
            figures = measured(arrays['inverse_depth'], arrays['depth_m'] / 256.0)
            rows.append(_row(path.stem, figures))
        else:
            print(f'{path.name}: skipped, no map with its depth', file=sys.stderr)
    return rows


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.error_model', __doc__)
    parser.add_argument('folder', metavar='FOLDER', nargs='?', type=Path, help='of real maps')
    parser.add_argument(
        '--scenes', type=int, metavar='N', default=32, help='of each family (default: %(default)s)'
    )
    command.add_json(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'scenes')
    real = real_rows(options.folder) if options.folder else []
    return print_rows(simulated_rows(options.scenes) + real, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
