"""The methods that are compared: networks alone, together, and with more than one look."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.model.variants import PATCH_PX
from depth_anything_ros.studies.accuracy.evaluate import Method, Passes
from depth_anything_ros.studies.depths import normalized
from depth_anything_ros.studies.inputs import Subject

__all__ = ['alone', 'average', 'ensembles', 'more_looks']

_SCALES = 0.75, 1.0, 1.25
_BILATERAL = 9, 0.1, 5.0
"""Diameter in pixels; standard deviations in shares of the spread of depth, and in pixels."""


def alone(subjects: Sequence[Subject]) -> list[Method]:
    """Return each network by itself, aligned; a metric one also as it is."""
    methods = []
    for one in subjects:
        is_metric = one.weights.checkpoint.max_depth_m is not None
        run = partial(Passes.depth, subject=one)
        if is_metric:
            methods.append(Method(f'{one.title}, in metres as it is', (one,), run, metric=True))
        methods.append(Method(f'{one.title}, aligned' if is_metric else one.title, (one,), run))
    return methods


def ensembles(subjects: Sequence[Subject]) -> list[Method]:
    """Return each network, and the mean of every two or more of them."""
    methods = alone(subjects)
    for count in range(2, len(subjects) + 1):
        for some in itertools.combinations(subjects, count):
            title = ' + '.join(one.title for one in some)
            methods.append(Method(title, some, partial(_together, subjects=some)))
    return methods


def more_looks(subject: Subject, sizes: Sequence[int]) -> list[Method]:
    """Return one network plain, mirrored, filtered, at several scales, and at each input size.

    A network that is made for one size is not run at others.
    """
    plain, name, own = subject.input_size, subject.title, (subject,)
    methods = [
        Method(f'{name} at {plain}', own, partial(Passes.depth, subject=subject)),
        Method(f'{name}, with the mirrored image', own, partial(_flipped, subject=subject)),
        Method(f'{name}, bilateral filter', own, partial(_filtered, subject=subject)),
    ]
    if subject.variant.input_size is not None:
        return methods
    scaled = [max(PATCH_PX, round(plain * scale / PATCH_PX) * PATCH_PX) for scale in _SCALES]
    title = f'{name}, mean of {", ".join(map(str, scaled))}'
    methods.append(Method(title, own, partial(_scaled, subject=subject, sizes=scaled)))
    for size in sizes:
        run = partial(Passes.depth, subject=subject, input_size=size)
        methods.append(Method(f'{name} at {size}', own, run))
    return methods


def average(depths: Sequence[FloatImage]) -> FloatImage:
    """Return the mean of inverse depths (H, W), each first aligned to the last."""
    wanted = depths[-1].ravel().astype(np.float64)
    total = np.zeros_like(wanted)
    for depth in depths:
        given = depth.ravel().astype(np.float64)
        spread = given.std()
        slope = np.mean((given - given.mean()) * (wanted - wanted.mean())) / max(spread**2, 1e-24)
        # Upside down is no agreement: then only the mean is known.
        total += max(slope, 0.0) * (given - given.mean()) + wanted.mean()
    return np.asarray(total.reshape(depths[-1].shape) / len(depths), np.float32)


def _together(passes: Passes, subjects: Sequence[Subject]) -> FloatImage:
    return average([passes.depth(one) for one in subjects])


def _flipped(passes: Passes, subject: Subject) -> FloatImage:
    return average([passes.depth(subject, flipped=True), passes.depth(subject)])


def _scaled(passes: Passes, subject: Subject, sizes: Sequence[int]) -> FloatImage:
    return average([passes.depth(subject, size) for size in sizes])


def _filtered(passes: Passes, subject: Subject) -> FloatImage:
    filtered = cv2.bilateralFilter(normalized(passes.depth(subject)), *_BILATERAL)
    return np.asarray(filtered, np.float32)
