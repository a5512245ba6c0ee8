"""Dissect networks on images: figures, pictures and arrays of every layer, into a folder."""

from __future__ import annotations

import fnmatch
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.preprocess import network_input, network_size
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.checkpoint import network_of
from depth_anything_ros.model.variants import PATCH_PX
from depth_anything_ros.studies.dissect.architecture import Unit, trace
from depth_anything_ros.studies.dissect.pictures import attention_picture, channels_picture
from depth_anything_ros.studies.dissect.record import Kind, record, stages
from depth_anything_ros.studies.inputs import Images, OnProgress, Subject, normalized
from depth_anything_ros.studies.parts import Parts, digest

__all__ = ['DissectPlan', 'array_bytes', 'dissect', 'layer_file', 'stage_file', 'traced']

_FLOAT_BYTES = 4
_CONVOLUTIONS = 33
"""That run, in every variant."""


@dataclass(frozen=True)
class DissectPlan:
    """What to write of layers whose names fit `layers`; `points`: in shares of the image."""

    folder: Path
    layers: tuple[str, ...]
    has_arrays: bool
    points: tuple[tuple[float, float], ...]

    def has(self, name: str) -> bool:
        """Return whether the layer of that name is written."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.layers)


def traced(subject: Subject, bgr: BgrImage) -> tuple[Unit, ...]:
    """Return the architecture for an image (H, W, 3)."""
    return trace(subject.variant, network_size(bgr.shape[0], bgr.shape[1], subject.input_size))


def array_bytes(subjects: Sequence[Subject], images: Images, plan: DissectPlan) -> int:
    """Return the bytes of all NPY files; SettingError where no layer has such a name."""
    total = 0
    for subject in subjects:
        for bgr in images.values():
            units = [one for one in traced(subject, bgr) if one.kind]
            chosen = [one for one in units if plan.has(one.name)]
            if not chosen:
                known = ', '.join(one.name for one in units[:3])
                raise SettingError(
                    f'--layers {",".join(plan.layers)} names no layer of {subject.variant.name}: '
                    f'give names or patterns such as {known}'
                )
            total += sum(_FLOAT_BYTES * math.prod(one.shape) for one in chosen)
    return total


def dissect(
    subjects: Sequence[Subject],
    images: Images,
    plan: DissectPlan,
    parts: Parts,
    on_progress: OnProgress = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Dissect every network on every image; a part that `parts` resumes is not run again.

    Returns the parts of layers.json. Progress is told by layers.
    """
    found: list[dict[str, Any]] = []
    # A block is measured twice: its attention, and its output.
    layers = [_CONVOLUTIONS + 2 * one.variant.depth for one in subjects]
    total, before = sum(layers) * len(images), 0
    for subject, count in zip(subjects, layers, strict=True):
        # Loaded once for all images, and only where one is not resumed.
        load = functools.cache(functools.partial(network_of, subject.weights))
        for name, bgr in images.items():
            key = digest(subject.key, bgr, plan.layers, plan.has_arrays, plan.points)

            def on_layer(order: int, before: int = before) -> None:
                on_progress(before + order, total)

            run = functools.partial(_dissected, subject, name, bgr, plan, load, on_layer)
            found.append(parts.plain(f'{subject.variant.name}-{name}', key, run))
            before += count
            on_progress(before, total)
    return found


def layer_file(layer: dict[str, Any]) -> str:
    """Return the files of a layer, in the folder of its network and image, without the ending."""
    if layer['kind'] == Kind.ATTENTION:
        return f'attention/block_{layer["number"]:02d}'
    return f'layers/{layer["order"]:03d}_{layer["name"]}'


def stage_file(title: str) -> str:
    """Return the picture of depth without a stage, without the ending."""
    return f'stages/without_{"_".join(title.split()[:2])}'


def _dissected(
    subject: Subject,
    name: str,
    bgr: BgrImage,
    plan: DissectPlan,
    load: Callable[[], DepthAnythingV2],
    on_layer: Callable[[int], None],
) -> dict[str, Any]:
    size = network_size(bgr.shape[0], bgr.shape[1], subject.input_size)
    grid = size[0] // PATCH_PX, size[1] // PATCH_PX
    folder = plan.folder / subject.variant.name / name
    for each in ('layers', 'attention', 'stages'):
        (folder / each).mkdir(parents=True, exist_ok=True)

    def write(stem: str, picture: BgrImage) -> None:
        (folder / f'{stem}.png').write_bytes(cv2.imencode('.png', picture)[1].tobytes())

    def on_output(layer: dict[str, Any], output: Tensor) -> None:
        on_layer(layer['order'])
        if layer['kind'] != Kind.ATTENTION and plan.has(layer['name']):
            write(layer_file(layer), channels_picture(output, grid))
            if plan.has_arrays:
                np.save(folder / f'{layer_file(layer)}.npy', output.float().numpy())

    def on_maps(number: int, maps: Tensor) -> None:
        small = cv2.resize(bgr, size[::-1], interpolation=cv2.INTER_AREA)
        picture = attention_picture(maps, plan.points, np.asarray(small, np.uint8))
        write(layer_file({'kind': Kind.ATTENTION, 'number': number}), picture)

    def on_depth(title: str, depth: FloatImage) -> None:
        write(title, colorize(normalized(depth), COLORMAPS['spectral_r']))

    network, image = load(), torch.from_numpy(network_input(bgr, size))[None]
    found = record(network, image, plan.points, on_output, on_maps)
    on_depth('depth', found.depth)
    np.save(folder / 'depth.npy', found.depth)
    removed = stages(network, image, found, lambda title, each: on_depth(stage_file(title), each))
    return {
        'variant': subject.variant.name,
        'image': name,
        'random_weights': subject.weights.random,
        'weights_sha256': subject.weights.sha256,
        'input_size': size,
        'layers': found.layers,
        'never_ran': [asdict(module) for module in found.never_ran],
        'stages': removed,
        'before_relu': found.before_relu,
        'depth': {
            'min': float(found.depth.min()),
            'max': float(found.depth.max()),
            'zeros': float(np.mean(found.depth == 0)),
        },
    }
