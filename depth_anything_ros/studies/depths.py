"""Inverse depth of images by a network, in float32 through torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.registry import choose_backend, load
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.studies.inputs import NamedImage, Subject
from depth_anything_ros.studies.parts import Parts, digest

__all__ = ['depths_of', 'loaded', 'normalized']

OnImage = Callable[[], None]


@contextmanager
def loaded(subject: Subject, threads: int = 0) -> Iterator[DepthBackend]:
    """Load a network, and free it afterwards."""
    variant, checkpoint, weights = subject.weights.parameters
    wanted = {
        'variant': variant,
        'checkpoint': checkpoint.value,
        'weights': weights,
        'backend': 'torch',
        'precision': 'fp32',
        'input_size': subject.input_size,
        'threads': threads,
    }
    backend: DepthBackend = load(choose_backend(parameters_from_flat(wanted)))
    try:
        yield backend
    finally:
        backend.close()


def depths_of(
    subject: Subject,
    images: Sequence[NamedImage],
    parts: Parts,
    on_image: OnImage = lambda: None,
) -> list[FloatImage]:
    """Return inverse depth (H, W) of each image; those that `parts` holds are not run again."""
    found: list[FloatImage] = []
    keys = [digest(subject.key, image.bgr) for image in images]
    names = [f'{subject.variant.name}-{image.name}' for image in images]
    if all(map(parts.has_image, names, keys)):
        return [parts.image(*each, _missing) for each in zip(names, keys, strict=True)]
    with loaded(subject) as backend:
        for image, name, key in zip(images, names, keys, strict=True):
            found.append(parts.image(name, key, lambda bgr=image.bgr: backend.infer(bgr)))  # type: ignore[misc]
            on_image()
    return found


def normalized(inverse_depth: FloatImage) -> FloatImage:
    """Return inverse depth with its 2nd percentile at 0 and its 98th at 1, not clipped."""
    low, high = np.percentile(inverse_depth, (2.0, 98.0))
    return np.asarray((inverse_depth - low) / max(high - low, 1e-12), np.float32)


def _missing() -> FloatImage:
    raise AssertionError('a part that was there is gone')
