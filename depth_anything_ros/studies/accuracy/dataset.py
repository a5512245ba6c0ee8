"""Folders of images with true depth, and the scale in which it is stated.

DATASET/image/NAME.png (or another picture) and DATASET/depth/NAME.png (16 bits, 0 unknown) or
NAME.npy. DATASET/dataset.json states the scale:
{"name": "...", "metres_per_level": 0.001, "max_depth_m": 10}.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.media.pictures import picture_suffixes, read_picture

__all__ = ['KNOWN', 'Dataset', 'Pair', 'Scale', 'open_dataset']


@dataclass(frozen=True)
class Scale:
    """Metres for a level of the depth images, and the depth beyond which nothing is judged."""

    metres_per_level: float
    max_depth_m: float


KNOWN = {'nyu': Scale(0.001, 10.0), 'kitti': Scale(1.0 / 256.0, 80.0)}
"""Datasets by name, in the form in which they are distributed as 16-bit PNG."""


@dataclass(frozen=True)
class Pair:
    """An image and its true depth, as files."""

    name: str
    image: Path
    depth: Path


@dataclass(frozen=True)
class Dataset:
    """Pairs in the order of their names; `name` is nyu or kitti where figures are published."""

    name: str
    scale: Scale
    pairs: tuple[Pair, ...]

    def read(self) -> Iterator[tuple[Pair, BgrImage, FloatImage]]:
        """Return each image (H, W, 3) with its depth (H, W) in metres, NaN where not judged.

        Raises SettingError for a file that cannot be used.
        """
        for pair in self.pairs:
            try:
                bgr = read_picture(pair.image).bgr
            except FrameError as err:
                raise SettingError(str(err)) from err
            depth_m = _levels(pair.depth) * np.float32(self.scale.metres_per_level)
            if depth_m.shape != bgr.shape[:2]:
                sizes = [f'{each.shape[1]}x{each.shape[0]}' for each in (depth_m, bgr)]
                raise SettingError(
                    f'{pair.depth} is {sizes[0]} and its image {sizes[1]}: give pairs of one size'
                )
            judged = np.isfinite(depth_m) & (depth_m > 0) & (depth_m <= self.scale.max_depth_m)
            if not judged.any():
                raise SettingError(
                    f'{pair.depth} holds no depth between 0 and {self.scale.max_depth_m:g} m: '
                    'check metres_per_level'
                )
            yield pair, bgr, np.where(judged, depth_m, np.float32(np.nan))


def open_dataset(folder: Path, like: str = '', most: int | None = None) -> Dataset:
    """Open a folder of pairs; `like` is 'nyu' or 'kitti', else dataset.json states the scale.

    `most`: as many pairs at most, spread over all. Raises SettingError for what is missing.
    """
    name, scale = (like, KNOWN[like]) if like else _stated(folder)
    images = {path.stem: path for path in _files(folder / 'image', picture_suffixes())}
    depths = {path.stem: path for path in _files(folder / 'depth', {'.png', '.npy'})}
    names = sorted(images.keys() & depths.keys())
    if not names:
        raise SettingError(
            f'{folder} holds no pair: put image/NAME.png and depth/NAME.png (or .npy) there, '
            f'found {len(images)} images and {len(depths)} depths'
        )
    alone = sorted(images.keys() ^ depths.keys())
    if alone:
        raise SettingError(f'{folder}: {alone[0]} has no partner ({len(alone)} in all): remove it')
    if most is not None and most < len(names):
        picks = np.linspace(0, len(names) - 1, most).round().astype(int)
        names = [names[index] for index in picks]
    return Dataset(name, scale, tuple(Pair(one, images[one], depths[one]) for one in names))


def _stated(folder: Path) -> tuple[str, Scale]:
    path = folder / 'dataset.json'
    try:
        content = json.loads(path.read_text())
        scale = Scale(float(content['metres_per_level']), float(content['max_depth_m']))
        name = str(content['name'])
    except OSError as err:
        raise SettingError(
            f'{path} cannot be read ({err.strerror}): state the scale there, as in {_EXAMPLE}, '
            'or add --like nyu or kitti'
        ) from err
    except (ValueError, KeyError, TypeError) as err:
        raise SettingError(f'{path} states no scale ({err}): write {_EXAMPLE}') from err
    if not all(
        math.isfinite(each) and each > 0 for each in (scale.metres_per_level, scale.max_depth_m)
    ):
        raise SettingError(f'{path} has a scale that is not above 0: write {_EXAMPLE}')
    return name, scale


_EXAMPLE = '{"name": "mine", "metres_per_level": 0.001, "max_depth_m": 10}'


def _files(folder: Path, suffixes: set[str] | frozenset[str]) -> list[Path]:
    if not folder.is_dir():
        raise SettingError(f'{folder} is not there: a dataset has the folders image and depth')
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes]


def _levels(path: Path) -> FloatImage:
    if path.suffix.lower() == '.npy':
        try:
            return np.asarray(np.load(path), np.float32)
        except (OSError, ValueError) as err:
            raise SettingError(f'{path} is no NPY file that can be read: {err}') from err
    levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.dtype != np.uint16 or levels.ndim != 2:
        raise SettingError(f'{path} is no PNG of 16 bits in one channel: write depth as such')
    return levels.astype(np.float32)
