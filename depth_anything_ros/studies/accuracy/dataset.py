"""Folders of images with true depth, and the scale in which it is stated.

DATASET/image/NAME.png (or another picture) and DATASET/depth/NAME.png (16 bits, 0 unknown) or
NAME.npy. DATASET/dataset.json states the scale, as in `EXAMPLE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.media.pictures import picture_suffixes, read_picture
from depth_anything_ros.settings.plain_yaml import plain_json_file

__all__ = ['Dataset', 'open_dataset']

EXAMPLE = '{"name": "mine", "metres_per_level": 0.001, "max_depth_m": 10}'

_KNOWN = {'nyu': (0.001, 10.0), 'kitti': (1.0 / 256.0, 80.0)}
"""Metres for a level, and the greatest depth judged, as these are distributed in 16-bit PNG."""


@dataclass(frozen=True)
class Dataset:
    """Pairs of an image and a depth file by name; depth beyond `max_depth_m` is not judged.

    `name` is nyu or kitti where figures are published. `alone`: files without a partner, in a
    sentence each.
    """

    name: str
    metres_per_level: float
    max_depth_m: float
    pairs: dict[str, tuple[Path, Path]]
    alone: tuple[str, ...]

    def read(self, name: str) -> tuple[BgrImage, FloatImage]:
        """Return image (H, W, 3), and depth (H, W) in metres, NaN where not judged.

        Raises DepthAnythingError for a pair that cannot be used.
        """
        image, depth = self.pairs[name]
        bgr = read_picture(image).bgr
        depth_m = _levels(depth) * np.float32(self.metres_per_level)
        if depth_m.shape != bgr.shape[:2]:
            sizes = ['x'.join(map(str, each.shape[1::-1])) for each in (depth_m, bgr)]
            raise SettingError(
                f'{depth} is {sizes[0]} and its image {sizes[1]}: give pairs of one size'
            )
        judged = (depth_m > 0) & (depth_m <= self.max_depth_m)
        if not judged.any():
            raise SettingError(
                f'{depth} holds no depth between 0 and {self.max_depth_m:g} m: check '
                'metres_per_level'
            )
        return bgr, np.where(judged, depth_m, np.float32(np.nan))


def open_dataset(folder: Path, like: str = '', most: int | None = None) -> Dataset:
    """Open a folder of pairs; `like` is 'nyu' or 'kitti', else dataset.json states the scale.

    `most`: as many pairs at most, spread over all. Raises SettingError for what is missing.
    """
    images = _files(folder / 'image', picture_suffixes())
    depths = _files(folder / 'depth', frozenset({'.png', '.npy'}))
    names = sorted(images.keys() & depths.keys())
    if not names:
        raise SettingError(
            f'{folder} has {len(images)} images and {len(depths)} depths, and no pair of them: '
            'put pairs image/NAME.png and depth/NAME.png (or .npy) there'
        )
    name, scale, max_depth_m = (like, *_KNOWN[like]) if like else _stated(folder)
    picks = np.linspace(0, len(names) - 1, min(most or len(names), len(names))).round()
    chosen = [names[int(index)] for index in picks]
    alone = [one for one in (images | depths).items() if one[0] not in names]
    return Dataset(
        name,
        scale,
        max_depth_m,
        {each: (images[each], depths[each]) for each in chosen},
        tuple(f'{path} has no partner' for _, path in sorted(alone)),
    )


def _stated(folder: Path) -> tuple[str, float, float]:
    path = folder / 'dataset.json'
    try:
        content = plain_json_file(path)
        scale, most = float(content['metres_per_level']), float(content['max_depth_m'])
        if not (0 < scale < np.inf and 0 < most < np.inf):
            raise ValueError('a scale that is not above 0')
        return str(content['name']), scale, most
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise SettingError(
            f'{path} states no scale ({err}): write {EXAMPLE}, or add --like nyu or kitti'
        ) from err


def _files(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise SettingError(f'{folder} is not there: a dataset has the folders image and depth')
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() in suffixes}


def _levels(path: Path) -> FloatImage:
    if path.suffix.lower() == '.npy':
        try:
            return np.asarray(np.load(path), np.float32)
        except Exception as err:  # NumPy raises whatever its parsers do
            raise SettingError(f'{path} is not an NPY file that can be read: {err}') from err
    levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.dtype != np.uint16 or levels.ndim != 2:
        raise SettingError(f'{path} is not a PNG of 16 bits in one channel: write depth as such')
    return levels.astype(np.float32)
