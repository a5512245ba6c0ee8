"""Rendered pictures with true inverse depth, for training and judging the `demo` variant.

The scenes are the ones that `python -m lab.sample` draws, seen from the same rig with a
little play in its mounting. Seeds of training, held-out and sample scenes are disjoint.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from depth_anything_ros.core.types import BgrImage, FloatImage
from lab.world.camera import depth_image, render, view_of
from lab.world.geometry import Array
from lab.world.rig import RIGS, base_pose, optical, pinhole
from lab.world.scenes import SCENES, make_scene

__all__ = [
    'HELD_OUT_SEED',
    'SIZE',
    'TRAINING_SEED',
    'DataSet',
    'default_cache',
    'draw',
    'open_cache',
]

SIZE = (168, 126)
"""Width and height of the pictures: what 640x480 becomes at the variant's input size."""

TRAINING_SEED = 10_000_000
HELD_OUT_SEED = 5_000_000
"""Sample bags use the seeds below."""

_VIEWS_PER_SCENE = 2
_DRIVE_S = 6.0
_CHUNK = 40


@dataclass(frozen=True, eq=False)
class DataSet:
    """Memory-mapped samples.

    `images` (N, 126, 168, 3) uint8 BGR, `inverse_depth` (N, 126, 168) float16 in 1/m with 0 for
    the sky. Even numbers are rooms, odd ones roads.
    """

    images: Array
    inverse_depth: Array


def default_cache() -> Path:
    """Return the folder for rendered data: under XDG_CACHE_HOME, or the temporary folder."""
    base = os.environ.get('XDG_CACHE_HOME') or tempfile.gettempdir()
    return Path(base) / 'depth_anything_ros' / 'demo_data'


def draw(index: int, first_seed: int) -> tuple[BgrImage, FloatImage]:
    """Render sample `index`: the picture and its depth along Z in metres, inf for the sky."""
    names = tuple(SCENES)
    name = names[index % len(names)]
    seed = first_seed + index // len(names) // _VIEWS_PER_SCENE
    random = np.random.default_rng([first_seed, index])
    time_s = random.uniform(0.0, _DRIVE_S)
    mount = RIGS[name].camera
    mount = replace(
        mount,
        z_m=mount.z_m + random.uniform(-0.05, 0.05),
        pitch_rad=mount.pitch_rad + np.radians(random.uniform(-1.5, 1.5)),
        roll_rad=np.radians(random.uniform(-1.0, 1.0)),
    )
    camera = pinhole(*SIZE, focal=RIGS[name].camera_focal * random.uniform(0.95, 1.05))
    drawn = make_scene(name, seed, _DRIVE_S)
    scene = replace(drawn.at(time_s), grain=drawn.grain * random.uniform(0.3, 1.5))
    pose = base_pose(*scene.path.pose(time_s)) @ optical(mount.pose())
    view = view_of(scene, camera, pose)
    return render(scene, view, int(random.integers(1 << 31))), depth_image(view)


def open_cache(folder: Path, count: int, seed: int, processes: int = 2) -> DataSet:
    """Open the data of `count` samples, rendering it first if it is not there."""
    done = folder / f'demo-{count}-{seed}'
    if not done.is_dir():
        done.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix='partial-', dir=done.parent))
        try:
            _render_all(partial, count, TRAINING_SEED + seed * 1_000_000, processes)
            partial.rename(done)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return DataSet(
        np.load(done / 'images.npy', mmap_mode='r'),
        np.load(done / 'inverse_depth.npy', mmap_mode='r'),
    )


def _render_all(folder: Path, count: int, first_seed: int, processes: int) -> None:
    width, height = SIZE
    for name, dtype, shape in (
        ('images', 'uint8', (count, height, width, 3)),
        ('inverse_depth', 'float16', (count, height, width)),
    ):
        np.lib.format.open_memmap(folder / f'{name}.npy', 'w+', dtype, shape).flush()
    chunks = [
        (str(folder), start, min(start + _CHUNK, count), first_seed)
        for start in range(0, count, _CHUNK)
    ]
    with (
        multiprocessing.get_context('spawn').Pool(processes) as pool,
        tqdm(total=count, desc='rendering', unit='img', mininterval=2.0) as bar,
    ):
        for made in pool.imap_unordered(_render_chunk, chunks):
            bar.update(made)


def _render_chunk(job: tuple[str, int, int, int]) -> int:
    folder, start, stop, first_seed = job
    cv2.setNumThreads(1)
    images = np.load(f'{folder}/images.npy', mmap_mode='r+')
    inverse_depth = np.load(f'{folder}/inverse_depth.npy', mmap_mode='r+')
    for index in range(start, stop):
        image, depth = draw(index, first_seed)
        images[index] = image
        inverse_depth[index] = 1.0 / depth
    return stop - start
