"""What every study takes, images and networks, and what it says of them on its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from depth_anything_ros import __version__
from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.registry import choose_backend, load
from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.media.sources import open_source
from depth_anything_ros.model.releases import release_for
from depth_anything_ros.model.variants import ANNOUNCED, Checkpoint, Variant
from depth_anything_ros.model.weights import find
from depth_anything_ros.model.weights_file import WeightsFile
from depth_anything_ros.reports.report import Report, Section, Text
from depth_anything_ros.studies.bench.configuration import weights_here
from depth_anything_ros.studies.machine import machine_line
from depth_anything_ros.studies.parts import Parts, digest

__all__ = [
    'Images',
    'OnProgress',
    'Subject',
    'depths_of',
    'images_of',
    'loaded',
    'mean_figures',
    'normalized',
    'report_of',
    'subjects_of',
]

Images = dict[str, BgrImage]
"""Images, uint8 (H, W, 3) BGR, by the name of their file without the ending."""

_MOST_NAMES = 20

OnProgress = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True)
class Subject:
    """A network to study: a variant with its weights, at an input size in pixels."""

    weights: WeightsFile
    input_size: int

    @property
    def variant(self) -> Variant:
        """The architecture."""
        return self.weights.card.architecture

    @property
    def title(self) -> str:
        """Its name on pages, which says when the weights are random."""
        return self.variant.name + (' (random weights)' if self.weights.random else '')

    @property
    def key(self) -> tuple[object, ...]:
        """What its results depend on."""
        return __version__, *self.weights.parameters[:2], self.weights.sha256, self.input_size


def images_of(sources: Sequence[str]) -> tuple[Images, list[str]]:
    """Return the images in files and folders, and why others cannot be read.

    Names are made distinct. Raises SettingError for a film, for what is no image, and where none
    can be read.
    """
    found: Images = {}
    left_out: list[str] = []
    for text in sources:
        source = open_source(text)
        if source.moving:
            raise SettingError(f'{text} is a film or a webcam: give images, or frames of it')
        for shot in source.shots:
            stem = name = shot.name.replace('/', '_')
            count = 1
            while name in found:
                count += 1
                name = f'{stem}_{count}'
            try:
                found[name] = shot.read().bgr
            except FrameError as err:
                left_out.append(str(err))
    if not found:
        raise SettingError(left_out[0])
    return found, left_out


def subjects_of(
    variants: Sequence[str],
    weights: str,
    input_size: int,
    checkpoint: Checkpoint = Checkpoint.RELATIVE,
) -> list[Subject]:
    """Return the networks. Without `weights`, the released ones in the cache, else random ones.

    Nothing is downloaded. Raises WeightsError for a path that cannot be used.
    """
    subjects = []
    for name in variants:
        # Random weights stand in for those of a relative network that were released only.
        may_be_random = checkpoint is Checkpoint.RELATIVE and name not in ANNOUNCED
        here = weights_here(name, weights) if may_be_random else weights
        file = find(name, checkpoint, here)
        if here and not weights and (row := release_for(name, checkpoint)):
            why = f'as {row.file} is not in the cache (`{row.fetch_command}`)'
            file = replace(file, not_here=why)
        subjects.append(Subject(file, file.card.pinned_size or input_size))
    return subjects


def loaded(subject: Subject) -> closing[DepthBackend]:
    """Load a network in float32 through torch; leaving its context frees it."""
    variant, checkpoint, weights = subject.weights.parameters
    wanted = {'variant': variant, 'checkpoint': checkpoint.value, 'weights': weights}
    fixed = {'backend': 'torch', 'precision': 'fp32', 'input_size': subject.input_size}
    return closing(load(choose_backend(parameters_from_flat(wanted | fixed))))


def depths_of(
    subject: Subject, images: Images, parts: Parts, on_progress: OnProgress
) -> list[FloatImage]:
    """Return inverse depth (H, W) of each image; those that `parts` holds are not run again."""
    found: list[FloatImage] = []
    with ExitStack() as stack:
        # Loaded where one is not there, and once.
        backend = cache(lambda: stack.enter_context(loaded(subject)))
        for name, bgr in images.items():
            run = partial(lambda bgr: backend().infer(bgr), bgr)
            key = digest(subject.key, bgr)
            found.append(parts.image(f'{subject.variant.name}-{name}', key, run))
            on_progress(len(found), len(images))
    return found


def normalized(inverse_depth: FloatImage) -> FloatImage:
    """Return inverse depth with its 2nd percentile at 0 and its 98th at 1, not clipped."""
    low, high = np.percentile(inverse_depth, (2.0, 98.0))
    return np.asarray((inverse_depth - low) / max(high - low, 1e-12), np.float32)


def mean_figures(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of each figure over the images where it is defined: no None, no NaN."""
    found = {name: np.array([one[name] for one in figures], float) for name in figures[0]}
    known = {name: each[~np.isnan(each)] for name, each in found.items()}
    return {name: float(each.mean()) if each.size else np.nan for name, each in known.items()}


def report_of(
    title: str,
    command: str,
    subjects: Sequence[Subject],
    images: Sequence[str],
    left_out: Sequence[str],
    sections: Sequence[Section],
) -> Report:
    """Return the report, which says which weights ran, with a warning where they are random."""
    facts = {f'weights of {one.variant.name}': _weights(one.weights) for one in subjects}
    some = [*images[:_MOST_NAMES], *(['...'] if len(images) > _MOST_NAMES else [])]
    facts |= {'images': f'{len(images)}: {", ".join(some)}', 'machine': machine_line()}
    if left_out:
        facts['left out'] = f'{len(left_out)}: {"; ".join(left_out[:_MOST_NAMES])}'
    random = ', '.join(one.variant.name for one in subjects if one.weights.random)
    if random:
        text = (
            f'{random}: random weights. Shapes, sizes, memory and speed are those of the trained '
            'network. Depth, and every figure made from it, says nothing about the trained one. '
            'Fetch the released weights with `depth_anything weights fetch --variant NAME`.'
        )
        sections = [Section('Weights', [Text(text, is_warning=True)]), *sections]
    return Report(title, command, facts, sections)


def _weights(file: WeightsFile) -> str:
    if file.path is None:
        return 'random, not trained'
    what = file.card.licence if file.known else 'not a released file'
    return f'{file.path.name}, sha256 {file.sha256[:12]}, {what}'
