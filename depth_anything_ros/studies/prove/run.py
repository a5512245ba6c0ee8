"""Replay a bag once for each reference in it, and judge the metric depth of every image."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.bag.discovery import color_topics
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.replay import BagReplay, CameraTopics, ReplayedImage
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.flicker import scale_jitter_percent
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.studies.prove.beside import Beside, Candidate, candidates, ranging_topics
from depth_anything_ros.studies.prove.figures import figures_of
from depth_anything_ros.studies.prove.held_out import HoldOut
from depth_anything_ros.studies.prove.judged import Judged
from depth_anything_ros.studies.prove.judges import HeldOutJudge, Judge, SensorJudge, TruthJudge
from depth_anything_ros.studies.prove.limits import Trust
from depth_anything_ros.studies.prove.results import FrameRow, Proof, ReferenceResult, WorstFrame
from depth_anything_ros.studies.prove.temporal import Temporal
from depth_anything_ros.studies.prove.worst import picture_of

__all__ = ['ProveOptions', 'prove']

_NAN = float('nan')
# Places judged in a frame, and in all frames of a reference: 50 bytes each.
_MOST, _LEAST, _MOST_IN_ALL = 1500, 50, 3_000_000
_WORST = 3

OnFrame = Callable[[ReplayedImage, Mapping[str, Judged]], object]
"""Called with each image, and what was judged of it by the name of the judge."""


@dataclass(frozen=True)
class ProveOptions:
    """What the user asks for; '' and () leave it to what is in the bag.

    `image`: the camera. `references`: topics or kinds. `judge`: a topic with a second sensor.
    `ground_truth`: a topic with true depth, which judges alone, and nothing is held out.
    """

    image: str = ''
    references: tuple[str, ...] = ()
    judge: str = ''
    ground_truth: str = ''
    trust: Trust = field(default_factory=Trust)


def prove(
    path: Path,
    backend: DepthBackend,
    parameters: Parameters,
    options: ProveOptions,
    on_frame: OnFrame = lambda image, judged: None,
) -> Iterator[ReferenceResult]:
    """Replay the bag at `path` once for each reference; SettingError for what it lacks."""
    if options.judge and options.ground_truth:
        raise SettingError('--judge and --ground-truth are two judges: give one of them')
    with BagReader(path) as reader:
        truth = options.ground_truth
        if truth and truth not in reader.topics:
            raise SettingError(
                f'bag {path} has no {truth}: name the topic with its true depth (--ground-truth)'
            )
        found = candidates(reader, parameters, options.references)
        for source in (each for each in found if not truth or each.topic != truth):
            run = _Run(reader, backend, source, options, on_frame)
            yield run.result()


class _Run:
    """One replay."""

    def __init__(
        self,
        reader: BagReader,
        backend: DepthBackend,
        source: Candidate,
        options: ProveOptions,
        on_frame: OnFrame,
    ) -> None:
        self._reader, self._source, self._options = reader, source, options
        self._on_frame = on_frame
        self._network = f'{backend.info.variant}, {backend.info.name}'
        image = options.image or color_topics(reader)[0]
        hold_out = HoldOut()
        self._replay = BagReplay(
            reader,
            CameraTopics(image, reference=source.topic),
            backend,
            source.parameters,
            hold_out.around if self._holds_out() else lambda scene: scene,
        )
        images = max(1, reader.topics[image].count)
        most = int(np.clip(_MOST_IN_ALL // images, _LEAST, _MOST))
        self._heard: list[Beside] = []
        self._judges = self._all_judges(hold_out, most)
        motions = [
            each
            for each in candidates(reader, source.parameters)
            if each.kind is ReferenceKind.ODOMETRY
        ]
        motion = Beside(reader, self._replay, motions[0]) if motions else None
        self._heard += [motion] if motion else []
        self._temporal = Temporal(motion)
        self._judged: dict[str, list[Judged]] = {each.name: [] for each in self._judges}
        self._rows: list[FrameRow] = []
        self._ms: list[float] = []
        self._worst: list[tuple[float, int, WorstFrame]] = []

    def _holds_out(self) -> bool:
        """Return whether the reference judges itself, as it does beside no other judge."""
        options, kind = self._options, self._source.kind
        if options.ground_truth or kind in (ReferenceKind.GROUND_PLANE, ReferenceKind.ODOMETRY):
            return False
        return options.judge in ('', self._source.topic)

    def _all_judges(self, hold_out: HoldOut, most: int) -> list[Judge]:
        reader, options = self._reader, self._options
        if options.ground_truth:
            return [TruthJudge(reader, self._source._replace(topic=options.ground_truth), most)]
        judges: list[Judge] = [HeldOutJudge(hold_out, most)] if self._holds_out() else []
        topics = [x for x in ranging_topics(reader, options.judge) if x != self._source.topic]
        areas = [x for x in topics if 'LaserScan' not in reader.topics[x].kind]
        # A scan sees a row of the image: it judges where nothing else does.
        for topic in areas or ([] if judges else topics):
            judge = SensorJudge(reader, self._replay, self._source._replace(topic=topic), most)
            self._heard.append(judge.beside)
            judges.append(judge)
        return judges

    def result(self) -> ReferenceResult:
        """Process every image, and sum up."""
        for message in self._reader.messages(
            self._replay.topics.union(*(each.topics for each in self._heard))
        ):
            for each in self._heard:
                # What is damaged of the reference is counted by the replay.
                try:
                    each.hear(message)
                except DepthAnythingError:
                    each.why['unreadable'] = each.why.get('unreadable', 0) + 1
            start_s = time.perf_counter()
            image = self._replay.process(message)
            if image is None:
                continue
            if image.frame is not None and image.frame.sigma_m is not None:
                self._ms.append((time.perf_counter() - start_s) * 1e3)
            self._temporal.add(image)
            self._note_tae()
            self._add(image)
        self._temporal.finish()
        self._note_tae()
        return self._summed()

    def _note_tae(self) -> None:
        if self._rows:
            self._rows[-1] = replace(self._rows[-1], tae=self._temporal.tae_before)

    def _add(self, image: ReplayedImage) -> None:
        stamp_ns = image.receive_ns if image.header is None else ns_from_stamp(image.header.stamp)
        time_s = (stamp_ns - self._rows[0].stamp_ns) * 1e-9 if self._rows else 0.0
        row = FrameRow(time_s, stamp_ns, '', {}, flicker=self._temporal.flicker)
        judged: dict[str, Judged] = {}
        frame = image.frame
        if frame is None:
            row = replace(row, reason=image.error.reason if image.error else 'no_frame')
        else:
            unknown = np.full(frame.inverse_depth.shape, np.nan, np.float32)
            depth_m, sigma_m = frame.depth_m, frame.sigma_m
            for judge in self._judges:
                # Without metres the outliers of the judge may say why.
                found = judge.see(
                    image,
                    unknown if depth_m is None else depth_m,
                    unknown if sigma_m is None else sigma_m,
                )
                if found is not None:
                    self._judged[judge.name].append(found)
                    if found.true_m.size:
                        judged[judge.name] = found
            errors = {name: each.abs_rel for name, each in judged.items()}
            scale = frame.scale.alignment.scale if frame.scale.alignment else _NAN
            row = replace(row, reason=frame.reason, abs_rel=errors, scale=scale)
            if judged:
                name = next(iter(judged))
                self._look_at(errors[name], frame, judged[name])
        self._rows.append(row)
        self._on_frame(image, judged)

    def _look_at(self, error: float, frame: Frame, judged: Judged) -> None:
        """Keep the frame where it is among the worst."""
        if len(self._worst) < _WORST or error > self._worst[0][0]:
            shown = WorstFrame(error, frame.stamp_ns, picture_of(frame, judged))
            heapq.heappush(self._worst, (error, -frame.stamp_ns, shown))
            if len(self._worst) > _WORST:
                heapq.heappop(self._worst)

    def _summed(self) -> ReferenceResult:
        # Without a judge the rest is worth a row.
        judged = self._judged or {'': []}
        figures = {name: figures_of(each, self._options.trust) for name, each in judged.items()}
        rows, temporal = self._rows, self._temporal
        steps_s = np.diff([row.time_s for row in rows])
        p50, p95 = np.percentile(self._ms, (50, 95)).tolist() if self._ms else (_NAN, _NAN)
        refused = Counter(row.reason for row in rows if row.reason)
        proofs = tuple(
            Proof(
                bag=self._reader.path.name,
                network=self._network,
                reference=self._source.name,
                judge=name,
                images=len(rows),
                judged=sum(frame.true_m.size > 0 for frame in judged[name]),
                published=1.0 - refused.total() / max(1, len(rows)),
                abs_rel=each.abs_rel,
                bias=each.bias,
                delta1=each.delta1,
                within_1_sigma=each.within_sigma[1],
                within_2_sigma=each.within_sigma[3],
                outliers=each.outliers,
                noise=each.noise,
                trust_m=each.trust_m,
                flicker=float(np.median(temporal.flickers)) if temporal.flickers else _NAN,
                scale_jitter_percent=scale_jitter_percent([row.scale for row in rows]),
                tae_percent=100.0 * float(np.mean(temporal.tae)) if temporal.tae else _NAN,
                ms_p50=p50,
                ms_p95=p95,
                period_ms=1e3 * float(np.median(steps_s)) if steps_s.size else _NAN,
                refused=dict(refused.most_common()),
            )
            for name, each in figures.items()
        )
        left_out = [each.message for each in (*self._replay.left_out, *self._reader.left_out)]
        return ReferenceResult(
            proofs,
            tuple(figures.values()),
            tuple(rows),
            tuple(shown for *_, shown in sorted(self._worst, reverse=True)),
            tuple(dict.fromkeys(left_out)),
        )
