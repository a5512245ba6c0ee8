"""Who judges the metric depth of a frame: held-out samples, a second sensor, or the truth."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.replay import BagReplay, ReplayedImage
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.messages.depth_images import depth_from_image
from depth_anything_ros.messages.reference_messages import REFERENCE_TYPES
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.references import Odometry
from depth_anything_ros.studies.prove.beside import Beside, Candidate
from depth_anything_ros.studies.prove.held_out import HoldOut, Split
from depth_anything_ros.studies.prove.judged import Judged, judged_by_samples, judged_by_truth

__all__ = ['HeldOutJudge', 'Judge', 'SensorJudge', 'TruthJudge']


class Judge(Protocol):
    """Sees each image that has metric depth."""

    name: str

    def see(self, image: ReplayedImage, depth_m: FloatImage, sigma_m: FloatImage) -> Judged | None:
        """Judge a frame; None where there is nothing to judge it by."""
        ...


class HeldOutJudge:
    """The samples of the reference that were kept from the alignment."""

    name = 'held out'

    def __init__(self, hold_out: HoldOut, most: int) -> None:
        self._hold_out, self._most = hold_out, most

    def see(self, image: ReplayedImage, depth_m: FloatImage, sigma_m: FloatImage) -> Judged | None:
        """Judge a frame whose reference was new; see Judge."""
        split = self._hold_out.split
        return split and judged_by_samples(split, depth_m, sigma_m, self._most)


class SensorJudge:
    """All samples of another sensor; `beside` hears its messages."""

    def __init__(self, reader: BagReader, replay: BagReplay, source: Candidate, most: int) -> None:
        self.name = source.topic
        self._limits, self._most = source.parameters.reference, most
        kind = REFERENCE_TYPES[reader.topics[source.topic].kind]
        self.beside = Beside(reader, replay, source._replace(kind=kind))

    def see(self, image: ReplayedImage, depth_m: FloatImage, sigma_m: FloatImage) -> Judged | None:
        """Judge a frame; see Judge."""
        found = self.beside.at(image)
        if found is None or isinstance(found, Odometry) or image.frame is None:
            return None
        limits = self._limits.min_depth_m, self._limits.max_depth_m
        samples = found.samples(image.frame.camera(), *limits)
        split = Split(samples, np.ones(samples.u.size, bool))
        return judged_by_samples(split, depth_m, sigma_m, self._most)


class TruthJudge:
    """True depth of each image, by its very stamp; asked in the order of stamps."""

    name = 'ground truth'

    def __init__(self, reader: BagReader, source: Candidate, most: int) -> None:
        self._messages = (each.read() for each in reader.messages([source.topic]))
        self._limits, self._most = source.parameters.reference, most
        self._next = next(self._messages, None)

    def see(self, image: ReplayedImage, depth_m: FloatImage, sigma_m: FloatImage) -> Judged | None:
        """Judge a frame; see Judge."""
        stamp_ns = ns_from_stamp(image.header.stamp)
        while self._next is not None and ns_from_stamp(self._next.header.stamp) < stamp_ns:
            self._next = next(self._messages, None)
        if self._next is None or ns_from_stamp(self._next.header.stamp) != stamp_ns:
            return None
        limits = self._limits.min_depth_m, self._limits.max_depth_m
        return judged_by_truth(depth_from_image(self._next), depth_m, sigma_m, limits, self._most)
