"""Write a folder of images with true depth, as `depth_anything study accuracy` reads them.

Held-out pictures of the simulated world, or one real photograph with disparity: 'Motorcycle' of
the Middlebury stereo benchmark of 2014, a quarter of its size, which scikit-image ships.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.reports.text import plain_json
from lab import command
from lab.training.data import HELD_OUT_SEED, draw

__all__ = ['main', 'write_pairs']

_MAX_DEPTH_M = 80.0

# Calibration of 'Motorcycle' (Scharstein et al., 2014), for a quarter of the size.
_FOCAL_PX = 994.978
_BASELINE_M = 0.193001
_OFFSET_PX = 31.086

_Sample = tuple[str, BgrImage, FloatImage]


def write_pairs(out: Path, count: int, photograph: bool = False) -> int:
    """Write pairs into the new folder `out`; return how many.

    SettingError where it is there, or where nothing is asked for.
    """
    if out.exists():
        raise SettingError(f'{out} exists: give a folder that does not')
    if count < 1 and not photograph:
        raise SettingError(f'--count is {count}: give 1 or more, or --photograph')
    written = 0
    for folder in ('image', 'depth'):
        (out / folder).mkdir(parents=True)
    for name, bgr, depth_m in _samples(count, photograph):
        cv2.imwrite(str(out / 'image' / f'{name}.png'), bgr)
        np.save(out / 'depth' / f'{name}.npy', depth_m)
        written += 1
    stated = {'name': 'lab', 'metres_per_level': 1.0, 'max_depth_m': _MAX_DEPTH_M}
    (out / 'dataset.json').write_text(plain_json(stated) + '\n')
    return written


def _samples(count: int, photograph: bool) -> Iterator[_Sample]:
    for index in range(count):
        yield f'scene_{index:04d}', *draw(index, HELD_OUT_SEED)
    if photograph:
        from skimage.data import stereo_motorcycle

        left, _, disparity_px = stereo_motorcycle()
        depth_m = _FOCAL_PX * _BASELINE_M / (disparity_px + _OFFSET_PX)
        known = np.isfinite(disparity_px) & (disparity_px > 0)
        yield (
            'motorcycle',
            np.ascontiguousarray(left[..., ::-1]),
            np.where(known, depth_m, np.nan).astype(np.float32),
        )


def main(args: Sequence[str] | None = None) -> int:
    """Write the folder that the options name."""
    parser = command.parser_of('lab.depth_pairs', __doc__)
    parser.add_argument('out', type=Path, metavar='OUT', help='folder to write')
    parser.add_argument(
        '--count', type=int, metavar='N', default=20, help='rendered pairs (default: 20)'
    )
    parser.add_argument(
        '--photograph', action='store_true', help='the real one as well (needs scikit-image)'
    )
    return command.run(parser, args, _write)


def _write(options: argparse.Namespace) -> int:
    written = write_pairs(options.out, options.count, options.photograph)
    print(f'{written} pairs in {options.out}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
