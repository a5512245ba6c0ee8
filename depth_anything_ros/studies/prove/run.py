"""Replay a bag once for each reference in it, and judge the metric depth of every image."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.bag.discovery import color_topics
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.replay import BagReplay, CameraTopics, ReplayedImage
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.flicker import Look, alignment_error, flicker, look_of, scale_jitter
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import FloatImage, ReferenceKind
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.messages.reference_messages import REFERENCE_TYPES
from depth_anything_ros.messages.scene_messages import MessageScene
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.references import Odometry, Reference
from depth_anything_ros.studies.prove import beside
from depth_anything_ros.studies.prove.beside import Beside, Candidate
from depth_anything_ros.studies.prove.figures import Proof, ProofLimits, figures_of
from depth_anything_ros.studies.prove.judged import HoldOut, Judged, Split, judged

__all__ = ['HELD_OUT', 'TRUTH', 'Asked', 'Result', 'check', 'prove']

HELD_OUT, TRUTH = 'held out', 'ground truth'
"""Names of judges; others are topics."""

# Places judged in a frame, and in all frames of a reference: 50 bytes each.
_MOST, _LEAST, _MOST_IN_ALL = 1500, 50, 3_000_000


class FrameRow(NamedTuple):
    """One image: seconds from the first, and why it has no metres. `abs_rel` is by judge."""

    time_s: float
    reason: str
    abs_rel: Mapping[str, float]
    scale: float
    flicker: float
    tae: float


class Result(NamedTuple):
    """One replay. `worst`: frames to look at, and what the first judge says of them."""

    proofs: list[Proof]
    frames: list[FrameRow]
    worst: list[tuple[Frame, Judged]]
    left_out: list[str]


class Asked(NamedTuple):
    """What the user asks for; '' and () leave it to what is in the bag.

    `image`: the camera. `references`: topics or kinds. `judge`: a topic with a second sensor.
    `ground_truth`: a topic with true depth, which judges alone.
    """

    image: str = ''
    references: tuple[str, ...] = ()
    judge: str = ''
    ground_truth: str = ''
    limits: ProofLimits = ProofLimits()


def prove(
    path: Path,
    backend: DepthBackend,
    parameters: Parameters,
    asked: Asked,
    on_frame: Callable[[ReplayedImage, Mapping[str, Judged]], object] = lambda image, found: None,
) -> Iterator[Result]:
    """Replay the bag at `path` once for each reference; SettingError for what it lacks.

    `on_frame` gets each image, and what was judged of it by the name of the judge.
    """
    with BagReader(path) as reader:
        for source in _sources(reader, parameters, asked):
            yield _Run(reader, backend, source, asked).result(on_frame)


def check(path: Path, parameters: Parameters, asked: Asked) -> None:
    """SettingError for what the bag at `path` lacks, before a network is there."""
    with BagReader(path) as reader:
        _sources(reader, parameters, asked)


def _sources(reader: BagReader, parameters: Parameters, asked: Asked) -> list[Candidate]:
    for name in filter(None, (asked.judge, asked.ground_truth)):
        if not beside.measures(reader, reader.require(name).name):
            raise SettingError(f'topic {name} of bag {reader.path} holds no depth, cloud or scan')
    reader.require(asked.image or color_topics(reader)[0])
    found = beside.candidates(reader, parameters, asked.references)
    return [each for each in found if not each.topic or each.topic != asked.ground_truth]


class _Run:
    """One replay."""

    def __init__(
        self, reader: BagReader, backend: DepthBackend, source: Candidate, asked: Asked
    ) -> None:
        self._reader, self._source, self._limits = reader, source, asked.limits
        self._network = f'{backend.info.variant}, {backend.info.name}'
        known, parameters = beside.candidates(reader, source.parameters), source.parameters
        sensors = [x.topic for x in known if x.topic and x.kind is not ReferenceKind.ODOMETRY]
        image, only = asked.image or color_topics(reader)[0], asked.ground_truth or asked.judge
        # Where no other sensor was asked for, a sensor judges itself.
        held = source.topic in sensors and only in ('', source.topic)
        self._hold_out = HoldOut()
        choose = {'choose': self._hold_out.choose} if held else {}
        topics = CameraTopics(image, reference=source.topic)
        self._replay = BagReplay(reader, topics, backend, parameters, **choose)
        others = [each for each in ([only] if only else sensors) if each != source.topic]
        areas = [each for each in others if 'LaserScan' not in reader.topics[each].kind]
        # A scan sees a row of the image: it judges where nothing else does.
        judges = [
            Candidate(topic, REFERENCE_TYPES[reader.topics[topic].kind], topic, parameters)
            for topic in areas or ([] if held else others)
        ]
        if asked.ground_truth:
            same = replace(parameters.reference, sync_tolerance_s=0.0)
            exact = replace(parameters, reference=same)
            judges = [each._replace(name=TRUTH, parameters=exact) for each in judges]
        motions = [each for each in known if each.kind is ReferenceKind.ODOMETRY][:1]
        self._heard = [Beside(reader, self._replay, each) for each in (*judges, *motions)]
        images = max(1, reader.topics[image].count)
        self._most = int(np.clip(_MOST_IN_ALL // images, _LEAST, _MOST))
        names = [*([HELD_OUT] if held else []), *(each.name for each in judges)]
        self._judged: dict[str, list[Judged]] = {name: [] for name in names}
        self._rows, self._start_ns = list[FrameRow](), 0
        self._ms: list[float] = []
        self._worst: list[tuple[Frame, Judged]] = []
        self._look: Look | None = None
        self._posed: tuple[FloatImage, Odometry] | None = None

    def result(self, on_frame: Callable[[ReplayedImage, Mapping[str, Judged]], object]) -> Result:
        """Process every image, and sum up."""
        # An image is judged once the next one is there: what is stamped about it may come after.
        waiting: list[tuple[ReplayedImage, list[MessageScene], Split | None]] = []
        topics = self._replay.topics.union(*(each.topics for each in self._heard))
        for message in self._reader.messages(topics):
            for each in self._heard:
                each.hear(message)
            start_s = time.perf_counter()
            image = self._replay.process(message)
            if image is not None:
                if image.frame is not None and image.frame.sigma_m is not None:
                    self._ms.append((time.perf_counter() - start_s) * 1e3)
                if waiting:
                    on_frame(waiting[0][0], self._add(*waiting.pop()))
                scenes = [each.scene(image) for each in self._heard] if image.frame else []
                waiting.append((image, scenes, self._hold_out.split))
                # Where the next reference is not read nothing is held out.
                self._hold_out.split = None
        if waiting:
            on_frame(waiting[0][0], self._add(*waiting.pop()))
        return self._summed()

    def _add(
        self, image: ReplayedImage, scenes: list[MessageScene], split: Split | None
    ) -> dict[str, Judged]:
        stamp_ns = image.receive_ns if image.header is None else ns_from_stamp(image.header.stamp)
        frame, reason = image.frame, image.error.reason if image.error else ''
        found: dict[str, Judged] = {}
        scale = jump = tae = math.nan
        before, posed, self._look, self._posed = self._look, self._posed, None, None
        if frame is not None:
            reason, self._look = frame.reason, look_of(frame.image, frame.inverse_depth)
            jump = flicker(before, self._look) if before else math.nan
            scale = frame.scale.alignment.scale if frame.scale.alignment else math.nan
            read = {x.name: x.read(scene) for x, scene in zip(self._heard, scenes, strict=True)}
            found = self._seen(frame, read, split)
            poses = [each for each in read.values() if isinstance(each, Odometry)]
            if poses and frame.depth_m is not None:
                self._posed = frame.depth_m, poses[0]
                if posed and posed[0].shape == frame.depth_m.shape:
                    move = poses[0].transform.inverse() @ posed[1].transform
                    tae = alignment_error(posed[0], frame.depth_m, move, frame.camera())
            for each in list(found.values())[:1]:
                worst = [*self._worst, (frame, each)]
                self._worst = sorted(worst, key=lambda entry: -entry[1].abs_rel)[:3]
        errors = {name: each.abs_rel for name, each in found.items()}
        self._start_ns = self._start_ns or stamp_ns
        time_s = (stamp_ns - self._start_ns) * 1e-9
        self._rows.append(FrameRow(time_s, reason, errors, scale, jump, tae))
        return found

    def _seen(
        self, frame: Frame, read: Mapping[str, Reference | None], split: Split | None
    ) -> dict[str, Judged]:
        """Return what each judge says of a frame; of one without metres it counts outliers."""
        limits = self._source.parameters.reference
        splits = {HELD_OUT: split}
        for name, measured in read.items():
            if measured is not None and not isinstance(measured, Odometry):
                all_m = measured.samples(frame.camera(), limits.min_depth_m, limits.max_depth_m)
                splits[name] = Split(all_m, np.ones(all_m.u.size, bool))
        unknown = np.full(frame.inverse_depth.shape, np.nan, np.float32)
        depth_m, sigma_m = (unknown if x is None else x for x in (frame.depth_m, frame.sigma_m))
        found: dict[str, Judged] = {}
        for name, kept in self._judged.items():
            if each := splits.get(name):
                one = judged(each, depth_m, sigma_m, self._most, exact=name == TRUTH)
                kept += [one] if one else []
                found |= {name: one} if one and one.true_m.size else {}
        return found

    def _summed(self) -> Result:
        rows, left_out = self._rows, (*self._replay.left_out, *self._reader.left_out)
        refused = Counter(row.reason for row in rows if row.reason)
        flickers, taes = (
            [each for each in values if math.isfinite(each)] or [math.nan]
            for values in ([row.flicker for row in rows], [row.tae for row in rows])
        )
        ms = np.percentile(self._ms or [math.nan], (50, 95)).tolist()
        proofs = [
            Proof(
                **figures_of(each, self._limits),
                bag=self._reader.path.name,
                network=self._network,
                reference=self._source.name,
                judge=name,
                images=len(rows),
                judged=sum(name in row.abs_rel for row in rows),
                published=1.0 - refused.total() / max(1, len(rows)),
                refused=dict(refused.most_common()),
                flicker=float(np.median(flickers)),
                scale_jitter_percent=scale_jitter([row.scale for row in rows]),
                tae_percent=100.0 * float(np.mean(taes)),
                ms_p50=ms[0],
                ms_p95=ms[1],
                period_ms=1e3 * rows[-1].time_s / (len(rows) - 1 or math.nan),
            )
            # Without a judge the rest is worth a row.
            for name, each in (self._judged or {'': []}).items()
        ]
        told = list(dict.fromkeys(each.message for each in left_out))
        return Result(proofs, rows, self._worst, told)
