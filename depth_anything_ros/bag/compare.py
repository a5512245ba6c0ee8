"""Compare two bags frame by frame: what a stack's CI asks after a change.

Frames are matched by the stamp in their header, topic by topic. Both bags are read first for
their headers, and then, pair by pair, for what is measured: but for some bytes per message,
memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from depth_anything_ros.bag.compare_content import (
    compare_content,
    flickers,
    is_metric_depth,
    judge_by_ground_truth,
    measure_of,
)
from depth_anything_ros.bag.compare_frames import (
    CAMERA_INFO,
    TopicFrames,
    check_labels,
    check_latency,
    check_presence,
    index_frames,
    latencies_ms,
    match,
)
from depth_anything_ros.bag.compare_results import (
    CompareLimits,
    CompareProgress,
    Comparison,
    Failure,
    GroundTruthResult,
    OnProgress,
    TopicResult,
)
from depth_anything_ros.bag.discovery import find_cameras
from depth_anything_ros.bag.plan import NODE
from depth_anything_ros.bag.reading import BagReader, BagTopic
from depth_anything_ros.core.errors import SettingError

__all__ = ['compare_bags']

# What rosbag2 records of every ROS system besides the robot's own topics.
_SYSTEM = ('/rosout', '/parameter_events', '/events/')


def compare_bags(
    a: Path | str,
    b: Path | str,
    limits: CompareLimits | None = None,
    topics: Collection[str] | None = None,
    truth: str = '',
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Compare the bag `b` with `a`, which was good.

    `topics` names those to compare; without, every topic of A but those of ROS itself.
    `truth` names a topic of A with metric depth, against which the depth of both is judged as
    well, and of B where A has none. `on_progress` is called with how many of how many messages
    are read.
    SettingError where a bag or a topic is not there.
    """
    with BagReader(a) as bag_a, BagReader(b) as bag_b:
        if truth:
            bag_a.require(truth)
        for name in topics or ():
            if name not in bag_b.topics:
                bag_a.require(name)
            elif name not in bag_a.topics and not truth:
                raise SettingError(f'only {b} has topic {name}: name one that {a} has, too')
        return _Compare(
            bag_a, bag_b, limits or CompareLimits(), topics, truth, on_progress
        ).compare()


class _Compare:
    """One comparison."""

    def __init__(
        self,
        bag_a: BagReader,
        bag_b: BagReader,
        limits: CompareLimits,
        topics: Collection[str] | None,
        truth: str,
        on_progress: OnProgress | None,
    ) -> None:
        self.a, self.b, self.limits, self.truth = bag_a, bag_b, limits, truth
        self.failures: list[Failure] = []
        self.notes: list[str] = []
        self.names = _chosen(bag_a, topics)
        self.new = [x for x in _chosen(bag_b, topics) if x not in self.names]
        if not self.names and not (truth and self.new):
            raise SettingError(f'bag {bag_a.path} has no messages to compare: check the path')
        indexed_a = {*self.names, *([truth] if truth else ())}
        indexed_b = {x for x in self.names if x in bag_b.topics} | set(self.new if truth else ())
        self.progress = CompareProgress(on_progress)
        self.frames_a = index_frames(bag_a, indexed_a, self.progress)
        self.frames_b = index_frames(bag_b, indexed_b, self.progress)
        cameras = [x for x in find_cameras(bag_a).usable if f'{NODE}/' not in x]
        self.pictures = next((self.frames_a[x] for x in cameras if x in self.frames_a), None)

    def compare(self) -> Comparison:
        """Return all that was found."""
        true = self.true_depth() if self.truth else None
        topics = [self.topic(self.a.topics[name]) for name in self.names]
        truth = self.against(true) if true else []
        if self.new:
            self.notes.append(f'only B has {", ".join(self.new)}: nothing in A to compare with')
        parts = [(bag.path, each) for bag in (self.a, self.b) for each in bag.left_out]
        left_out = tuple(dict.fromkeys(f'{path}: {each.message}' for path, each in parts))
        outcome = tuple(self.failures), (*left_out, *self.notes), left_out
        return Comparison(self.a.path, self.b.path, tuple(topics), tuple(truth), *outcome)

    def topic(self, mine: BagTopic) -> TopicResult:
        """Compare one topic of A with that of B."""
        name, other = mine.name, self.b.topics.get(mine.name)
        result = TopicResult(name, mine.kind, '', mine.count, other.count if other else 0)
        if other is None or not other.count:
            text = f'is not in B, and has {mine.count} messages in A'
            self.failures.append(Failure(name, 'dropped', text))
            return result
        if other.kind != mine.kind:
            text = f'has type {other.kind} in B, and {mine.kind} in A'
            self.failures.append(Failure(name, 'type', text))
            return result
        a, b = self.frames_a.get(name), self.frames_b.get(name)
        # Diagnostics are stamped by the clock of their sender.
        if not (a and b) or mine.kind.startswith('diagnostic_msgs/'):
            return result
        places = match(a, b)
        self.failures += check_presence(a, b, places, self.limits)
        self.failures += check_labels(a, b, places)
        self.failures += check_latency(a, b, self.limits)
        result.missing, result.extra = len(places.missing), len(places.extra)
        if late := latencies_ms(a, b):
            result.latency_a_ms, result.latency_b_ms = late
        measure = measure_of(a)
        if measure is not None:
            content = compare_content(a, b, places, measure.compare, self.limits, self.progress)
            if self.pictures and measure.name == 'relative':
                was, now = flickers(a, self.pictures), flickers(b, self.pictures)
                for stamp_ns in sorted(was.keys() & now.keys()):
                    growth = max(0.0, now[stamp_ns] - was[stamp_ns])
                    content.add('flicker', stamp_ns, growth, self.limits)
            self.failures += content.failures(name)
            result.measured = measure.name
            result.figures = {key: stats.figure() for key, stats in content.stats.items()}
        elif mine.kind == CAMERA_INFO:
            # All that a camera_info says is part of its label.
            result.measured = 'calibration'
        return result

    def true_depth(self) -> TopicFrames:
        """Return the ground truth; SettingError where it is not metric depth."""
        frames = self.frames_a.get(self.truth)
        if frames is None or not is_metric_depth(frames):
            raise SettingError(
                f'topic {self.truth} of {self.a.path} holds no depth in metres or millimetres: '
                'name one that does as ground truth'
            )
        return frames

    def against(self, truth: TopicFrames) -> list[GroundTruthResult]:
        """Judge the depth topics of A and B by ground truth."""
        results = []
        for name in [*self.names, *self.new]:
            a, b = self.frames_a.get(name), self.frames_b.get(name)
            if name == self.truth or not (a or b):
                continue
            judged = judge_by_ground_truth(truth, a, b, self.limits, self.progress)
            if judged is not None:
                results.append(judged[0])
                self.failures += judged[1]
        if not results:
            self.notes.append(f'no depth shares stamps and frame with ground truth {self.truth}')
        return results


def _chosen(bag: BagReader, topics: Collection[str] | None) -> list[str]:
    filled = [x.name for x in bag.topics.values() if x.count]
    if topics is not None:
        return [x for x in filled if x in topics]
    return [x for x in filled if not x.startswith(_SYSTEM)]
