"""Metric depth from end to end, on a bag with ground truth: one row for each reference."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.bag.discovery import color_topics, is_color
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.replay import BagReplay, CameraTopics, ReplayedImage
from depth_anything_ros.core.depth_errors import metric_figures
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import FloatImage, ReferenceKind
from depth_anything_ros.messages.depth_images import depth_from_image
from depth_anything_ros.messages.reference_messages import REFERENCE_TYPES
from depth_anything_ros.messages.stamps import ns_from_stamp

__all__ = ['Proof', 'prove']

_log = logging.getLogger(__name__)

# Every fourth pixel either way says as much as all of them.
_STRIDE = 4


@dataclass(frozen=True)
class Proof:
    """What one reference gave: means over the frames that were published.

    `published`: share of the images that got metric depth. `abs_rel`: mean |error| / truth.
    `delta1`: share of pixels within a factor of 1.25. `within_1_sigma`, `within_2_sigma`: share
    of errors below one and two standard deviations (68 and 95 % if sigma is right).
    `sigma_ratio`: mean sigma / depth by `abs_rel`. `refused`: reasons, with the frames of each.
    """

    bag: str
    network: str
    reference: str
    images: int
    published: float
    abs_rel: float
    delta1: float
    within_1_sigma: float
    within_2_sigma: float
    sigma_ratio: float
    refused: str


def prove(
    path: Path,
    backend: DepthBackend,
    parameters: Parameters,
    ground_truth: str,
    on_frame: Callable[[ReplayedImage], object] = lambda _: None,
) -> Iterator[Proof]:
    """Replay the bag at `path` once for each reference in it, and for the ground plane.

    Raises SettingError where the bag has no topic `ground_truth`, a depth image.
    """
    with BagReader(path) as reader:
        if ground_truth not in reader.topics:
            raise SettingError(
                f'bag {path} has no {ground_truth}: name the topic with its true depth '
                '(--ground-truth)'
            )
        image = color_topics(reader)[0]
        for name, topic, kind in _references(reader, ground_truth):
            given = replace(parameters, reference=replace(parameters.reference, type=kind))
            topics = CameraTopics(image, reference=topic)
            replay = BagReplay(reader, topics, backend, given)
            judge = _Judge(given)
            for each, truth in _with_truth(reader, replay, ground_truth):
                judge.add(each, truth)
                on_frame(each)
            yield judge.proof(path.name, backend.info.name, backend.info.variant, name)
        for missing in reader.left_out:
            _log.warning('left out: %s', missing.message)


def _references(reader: BagReader, ground_truth: str) -> Iterator[tuple[str, str, str]]:
    """Return the name of each reference, its topic and the parameter reference.type."""
    for topic in reader.of_type(*REFERENCE_TYPES):
        if topic == ground_truth:
            continue
        first = next(reader.messages([topic]))
        if REFERENCE_TYPES[first.kind] is ReferenceKind.DEPTH_IMAGE and is_color(first):
            continue
        yield topic, topic, REFERENCE_TYPES[first.kind].value
    yield 'ground plane', '', ReferenceKind.GROUND_PLANE.value


def _with_truth(
    reader: BagReader, replay: BagReplay, ground_truth: str
) -> Iterator[tuple[ReplayedImage, FloatImage | None]]:
    """Return each image with its true depth, both in the order of their stamps."""
    truths = (each.read() for each in reader.messages([ground_truth]))
    truth = next(truths, None)
    for image in replay:
        stamp_ns = ns_from_stamp(image.header.stamp)
        while truth is not None and ns_from_stamp(truth.header.stamp) < stamp_ns:
            truth = next(truths, None)
        same = truth is not None and ns_from_stamp(truth.header.stamp) == stamp_ns
        yield image, depth_from_image(truth) if truth is not None and same else None


class _Judge:
    """Sums up the frames of one replay."""

    def __init__(self, parameters: Parameters) -> None:
        self._limits = parameters.reference
        self._images = 0
        self._figures: list[tuple[float, ...]] = []
        self._refused: dict[str, int] = {}

    def add(self, image: ReplayedImage, truth: FloatImage | None) -> None:
        """Judge one image; without truth it is left out."""
        if truth is None:
            return
        self._images += 1
        frame = image.frame
        if frame is None or frame.depth_m is None or frame.sigma_m is None:
            reason = frame.scale.reason if frame else image.error.reason if image.error else ''
            self._refused[reason] = self._refused.get(reason, 0) + 1
            return
        z, sigma, true = (
            each[::_STRIDE, ::_STRIDE] for each in (frame.depth_m, frame.sigma_m, truth)
        )
        with np.errstate(invalid='ignore'):
            judged = np.isfinite(z) & (true >= self._limits.min_depth_m)
            judged &= true <= self._limits.max_depth_m
        self._figures.append(_figures(z[judged], sigma[judged], true[judged]))

    def proof(self, bag: str, backend: str, variant: str, reference: str) -> Proof:
        """Return the row."""
        means = np.mean(self._figures, axis=0).tolist() if self._figures else [float('nan')] * 5
        abs_rel, delta1, one, two, relative_sigma = means
        refused = sorted(self._refused.items(), key=lambda item: -item[1])
        return Proof(
            bag,
            backend if backend == variant else f'{variant}, {backend}',
            reference,
            self._images,
            len(self._figures) / max(1, self._images),
            abs_rel,
            delta1,
            one,
            two,
            relative_sigma / abs_rel,
            ', '.join(f'{count} {reason}' for reason, count in refused),
        )


def _figures(z: FloatImage, sigma: FloatImage, true: FloatImage) -> tuple[float, ...]:
    found = metric_figures(true, z)
    error = np.abs(z - true)
    return (
        found.get('abs_rel', np.nan),
        found.get('delta1', np.nan),
        float(np.mean(error < sigma)),
        float(np.mean(error < 2.0 * sigma)),
        float(np.mean(sigma / z)),
    )
