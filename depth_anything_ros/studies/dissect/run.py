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

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.preprocess import network_input, network_size
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.checkpoint import network_of
from depth_anything_ros.model.variants import PATCH_PX
from depth_anything_ros.studies.dissect.architecture import Unit, draw, trace
from depth_anything_ros.studies.dissect.attention import PointMaps
from depth_anything_ros.studies.dissect.layer import Kind, Layer
from depth_anything_ros.studies.dissect.pictures import (
    attention_picture,
    channels_picture,
    depth_picture,
)
from depth_anything_ros.studies.dissect.record import record, stages
from depth_anything_ros.studies.inputs import NamedImage, Subject
from depth_anything_ros.studies.parts import Parts, digest

__all__ = ['DissectPlan', 'Dissection', 'array_bytes', 'dissect', 'file_stem', 'stage_stem']

_FLOAT_BYTES = 4
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class DissectPlan:
    """What to write of layers whose names fit `layers`; `points`: in shares of the image."""

    folder: Path
    layers: tuple[str, ...] = ('*',)
    has_arrays: bool = True
    points: tuple[tuple[float, float], ...] = ((0.5, 0.5), (0.25, 0.75), (0.75, 0.25))

    def has(self, name: str) -> bool:
        """Return whether the layer of that name is written."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.layers)


@dataclass(frozen=True)
class Dissection:
    """All networks on all images: `parts` as in layers.json, and the architecture of each."""

    parts: list[dict[str, Any]]
    architectures: dict[str, list[Unit]]


def array_bytes(
    subjects: Sequence[Subject], images: Sequence[NamedImage], plan: DissectPlan
) -> int:
    """Return the bytes of all NPY files; SettingError where no layer has such a name."""
    total = 0
    for subject in subjects:
        for image in images:
            units = trace(subject.variant, _size(subject, image))
            chosen = [one for one in units if plan.has(one.name) and one.kind]
            if not chosen:
                known = ', '.join(one.name for one in units[1:4])
                raise SettingError(
                    f'--layers {",".join(plan.layers)} names no layer of {subject.variant.name}: '
                    f'give names or patterns such as {known}'
                )
            total += sum(_FLOAT_BYTES * math.prod(one.shape) for one in chosen)
    return total


def dissect(
    subjects: Sequence[Subject],
    images: Sequence[NamedImage],
    plan: DissectPlan,
    parts: Parts,
    on_progress: OnProgress = lambda done, total: None,
) -> Dissection:
    """Dissect every network on every image; a part that `parts` resumes is not run again."""
    found, architectures = [], {}
    total = len(subjects) * len(images)
    for subject in subjects:
        name = subject.variant.name
        architectures[name] = trace(subject.variant, _size(subject, images[0]))
        draw(architectures[name], name, _folder(plan.folder / name) / 'architecture.png')
        # Loaded once for all images, and only where one is not resumed.
        load = functools.cache(functools.partial(network_of, subject.weights))
        for image in images:
            key = digest(subject.key, image.bgr, plan.layers, plan.has_arrays, plan.points)
            work = _Work(subject, image, plan, load)
            found.append(parts.plain(f'{name}-{image.name}', key, work.run))
            on_progress(len(found), total)
    return Dissection(found, architectures)


def _size(subject: Subject, image: NamedImage) -> tuple[int, int]:
    return network_size(image.bgr.shape[0], image.bgr.shape[1], subject.input_size)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


class _Work:
    """One network on one image."""

    def __init__(
        self,
        subject: Subject,
        image: NamedImage,
        plan: DissectPlan,
        load: Callable[[], DepthAnythingV2],
    ) -> None:
        self._subject = subject
        self._load = load
        self._image = image
        self._plan = plan
        self._size = _size(subject, image)
        self._grid = self._size[0] // PATCH_PX, self._size[1] // PATCH_PX
        small = cv2.resize(image.bgr, self._size[::-1], interpolation=cv2.INTER_AREA)
        self._small = np.asarray(small, np.uint8)
        self._folder = plan.folder / subject.variant.name / image.name

    def run(self) -> dict[str, Any]:
        for name in ('layers', 'attention', 'stages'):
            _folder(self._folder / name)
        network = self._load()
        tensor = torch.from_numpy(network_input(self._image.bgr, self._size))[None]
        found, tapped, depth = record(
            network, tensor, self._plan.points, self._on_output, self._on_maps
        )
        self._write(self._folder / 'depth.png', depth_picture(depth))
        np.save(self._folder / 'depth.npy', depth)
        removed = stages(network, tensor, tapped, depth, self._on_stage)
        return {
            'variant': self._subject.variant.name,
            'image': self._image.name,
            'random_weights': self._subject.weights.random,
            'weights_sha256': self._subject.weights.sha256,
            'input_size': list(self._size),
            'layers': [asdict(layer) for layer in found.layers],
            'never_ran': [asdict(module) for module in found.never_ran],
            'heads': [[asdict(head) for head in block] for block in found.heads],
            'stages': [asdict(stage) for stage in removed],
            'before_relu': list(found.before_relu),
            'depth': {
                'min': float(depth.min()),
                'max': float(depth.max()),
                'mean': float(depth.mean()),
                'std': float(depth.std()),
                'zeros': float(np.mean(depth == 0)),
            },
        }

    def _on_output(self, layer: Layer, output: Tensor) -> None:
        if layer.kind is Kind.ATTENTION or not self._plan.has(layer.name):
            return
        stem = self._folder / 'layers' / file_stem(layer.order, layer.name)
        self._write(stem.with_name(f'{stem.name}.png'), channels_picture(output, self._grid))
        if self._plan.has_arrays:
            np.save(stem.with_name(f'{stem.name}.npy'), output.float().numpy())

    def _on_maps(self, maps: PointMaps) -> None:
        path = self._folder / 'attention' / f'block_{maps.block:02d}.png'
        self._write(path, attention_picture(maps.maps, self._plan.points, self._small))

    def _on_stage(self, title: str, depth: Any) -> None:
        path = self._folder / 'stages' / f'{stage_stem(title)}.png'
        self._write(path, depth_picture(depth))

    def _write(self, path: Path, picture: Any) -> None:
        path.write_bytes(cv2.imencode('.png', picture)[1].tobytes())


def file_stem(order: int, name: str) -> str:
    """Return the name of a layer's files, without the ending."""
    return f'{order:03d}_{name}'


def stage_stem(title: str) -> str:
    """Return the name of a stage's picture, without the ending."""
    return 'without_' + '_'.join(title.split()[:2])
