"""The content of two topics compared frame by frame, with each other or with ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple

import cv2
import numpy as np

from depth_anything_ros.bag.compare_frames import Match, TopicFrames, match, paired
from depth_anything_ros.bag.compare_results import (
    NAMED,
    CompareLimits,
    CompareProgress,
    Failure,
    Figure,
    FigureStats,
    GroundTruthResult,
    is_minimum,
)
from depth_anything_ros.bag.discovery import IMAGE, bgr_of
from depth_anything_ros.core.depth_errors import (
    cloud_figures,
    metric_figures,
    relative_figures,
    scan_figures,
    sigma_figures,
)
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.flicker import flicker, look_of
from depth_anything_ros.core.geometry.planar_scan import PlanarScan
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.messages.compressed_depth import depth_from_message
from depth_anything_ros.messages.depth_images import inverse_depth_from_image
from depth_anything_ros.messages.laser_scans import scan_from_message
from depth_anything_ros.messages.point_clouds import points_from_cloud

__all__ = ['compare_content', 'flickers', 'is_metric_depth', 'judge_by_ground_truth', 'measure_of']


class Measure(NamedTuple):
    """`values` takes a message and may raise FrameError; `figures` takes two of its values.

    `error` names the figure to judge by. `layout` describes what both must have in common to
    be compared.
    """

    name: str
    values: Callable[[Any], Any]
    figures: Callable[[Any, Any], dict[str, float]]
    error: str
    layout: Callable[[Any], str]

    def compare(self, first: Any, second: Any) -> dict[str, float]:
        """Return the figures of two messages; FrameError where they differ in layout, too."""
        values = self.values(first), self.values(second)
        layouts = [self.layout(x) for x in values]
        if layouts[0] != layouts[1]:
            raise FrameError('bad_size', f'A has {layouts[0]}, and B {layouts[1]}')
        return self.figures(*values)


def measure_of(frames: TopicFrames) -> Measure | None:
    """Return the measure of a topic by its type, its name and the encoding of its images.

    Relative depth has `relative` in its name (~/relative/image, ~/relative/raw), and metric
    depth `depth`; ~/depth/sigma its standard deviation.
    """
    if frames.kind in _BY_KIND:
        return _BY_KIND[frames.kind]
    parts, encoding = frames.topic.split('/'), frames.label(0).encoding
    if 'compressedDepth' in encoding:
        return METRIC
    if frames.kind != IMAGE or encoding not in ('16UC1', 'mono16', '32FC1'):
        return None
    if 'relative' in parts:
        return RELATIVE if encoding == '32FC1' else None
    if 'depth' not in frames.topic:
        return None
    return SIGMA if parts[-1] == 'sigma' else METRIC


def _pixels(image: FloatImage) -> str:
    return f'{image.shape[1]}x{image.shape[0]} pixels'


def _beams(scan: PlanarScan) -> str:
    degrees = np.degrees((scan.bearing_min_rad, scan.step_rad))
    return f'{scan.ranges_m.size} beams from {degrees[0]:.2f} by {degrees[1]:.4g} degrees'


def _ranges(first: PlanarScan, second: PlanarScan) -> dict[str, float]:
    return scan_figures(first.ranges_m, second.ranges_m)


METRIC = Measure('metric', depth_from_message, metric_figures, 'abs_rel', _pixels)
RELATIVE = Measure('relative', inverse_depth_from_image, relative_figures, 'ssi_error', _pixels)
SIGMA = Measure('sigma', depth_from_message, sigma_figures, 'sigma_rel', _pixels)
SCAN = Measure('scan', scan_from_message, _ranges, 'abs_rel', _beams)
CLOUD = Measure('cloud', points_from_cloud, cloud_figures, 'cloud_m', lambda cloud: '')

_BY_KIND = {'sensor_msgs/msg/PointCloud2': CLOUD, 'sensor_msgs/msg/LaserScan': SCAN}
"""Measures by message type; images need more."""

_DEPTH = (METRIC.name, RELATIVE.name)


@dataclass
class Content:
    """Figures by name, and the stamps of frames without, by the reason."""

    stats: dict[str, FigureStats] = field(default_factory=dict)
    unread: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, stamp_ns: int, value: float, limits: CompareLimits) -> None:
        """Add the figure of one frame."""
        stats = self.stats.setdefault(name, FigureStats(name, getattr(limits, name)))
        stats.add(stamp_ns, value)

    def failures(self, topic: str) -> Iterator[Failure]:
        """Return a failure for each figure beyond its limit and each reason."""
        for reason, stamps in self.unread.items():
            text = f'cannot be compared in {len(stamps)} frames: {reason}; first'
            named = tuple((stamp, None) for stamp in stamps[:NAMED])
            yield Failure(topic, 'unreadable', text, named)
        for name, each in self.stats.items():
            figure = each.figure()
            if figure.beyond:
                where = 'below' if is_minimum(name) else 'beyond'
                text = f'{name} is {where} {figure.limit:g} in {figure.beyond} of {figure.frames} '
                text += f'frames, mean {figure.mean:.4g}, worst'
                yield Failure(topic, name, text, figure.worst)


def compare_content(
    a: TopicFrames,
    b: TopicFrames,
    places: Match,
    figures: Callable[[Any, Any], dict[str, float]],
    limits: CompareLimits,
    progress: CompareProgress,
) -> Content:
    """Run `figures` on the messages of each matched pair; it may raise FrameError."""
    content = Content()
    progress.expect(len(places.a))
    for place, mine, other in paired(a, b, places):
        stamp_ns = a.stamps_ns[place]
        try:
            found = figures(mine.read(), other.read())
        except FrameError as err:
            content.unread.setdefault(str(err), []).append(stamp_ns)
            found = {}
        for name, value in found.items():
            content.add(name, stamp_ns, value, limits)
        progress.step()
    return content


def flickers(depth: TopicFrames, pictures: TopicFrames) -> dict[int, float]:
    """Return the flicker of relative depth since the frame before, by stamp, where it is known."""
    before, found = None, {}
    for place, message, picture in paired(depth, pictures, match(depth, pictures)):
        with suppress(FrameError):
            bgr = bgr_of(pictures.kind, picture.read())
            look = look_of(bgr, inverse_depth_from_image(message.read()))
            found[depth.stamps_ns[place]] = flicker(before, look) if before else np.nan
            before = look
    return {stamp_ns: value for stamp_ns, value in found.items() if np.isfinite(value)}


def is_metric_depth(frames: TopicFrames) -> bool:
    """Return whether the topic holds metric depth."""
    return measure_of(frames) == METRIC


def judge_by_ground_truth(
    truth: TopicFrames,
    a: TopicFrames | None,
    b: TopicFrames | None,
    limits: CompareLimits,
    progress: CompareProgress,
) -> tuple[GroundTruthResult, list[Failure]] | None:
    """Judge one topic of either bag or of both, on the frames that all have.

    None for what is no depth, and where it shares no stamps or not the frame of the ground truth.
    """
    sides = [side for side in (a, b) if side is not None]
    measure = measure_of(sides[0])
    frames = {side.label(0).frame_id for side in (truth, *sides)}
    if measure is None or measure.name not in _DEPTH or len(frames) != 1:
        return None
    matches = [match(truth, side) for side in sides]
    common = reduce(np.intersect1d, [places.a for places in matches])
    if not len(common):
        return None
    figures = _against(measure)
    found: list[dict[str, Figure]] = []
    for side, places in zip(sides, matches, strict=True):
        kept = np.isin(places.a, common)
        places = places._replace(a=places.a[kept], b=places.b[kept])
        content = compare_content(truth, side, places, figures, limits, progress)
        found.append({name: each.figure() for name, each in content.stats.items()})
    means = [{name: figure.mean for name, figure in each.items()} for each in found]
    of_a = means[0] if a is not None else None
    of_b = means[-1] if b is not None else None
    result = GroundTruthResult(sides[0].topic, measure.name, len(common), of_a, of_b)
    return result, _worse(result, measure, found[-1], limits)


def _against(measure: Measure) -> Callable[[Any, Any], dict[str, float]]:
    """Return the figures of a message of `measure` against one of ground truth."""

    def figures(truth: Any, message: Any) -> dict[str, float]:
        depth_m, found = METRIC.values(truth), measure.values(message)
        if depth_m.shape != found.shape:
            size = found.shape[1], found.shape[0]
            depth_m = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return measure.figures(depth_m if measure == METRIC else 1.0 / depth_m, found)

    return figures


def _worse(
    result: GroundTruthResult, measure: Measure, figures: dict[str, Figure], limits: CompareLimits
) -> list[Failure]:
    """Return a failure if the mean error of B grew by more than its limit."""
    name = measure.error
    if not (result.a and result.b and name in result.a and name in result.b):
        return []
    was, now = result.a[name], result.b[name]
    if now - was <= limits.truth_worse:
        return []
    text = f'{name} against ground truth grows from {was:.4g} to {now:.4g}, worst'
    return [Failure(result.topic, 'truth_worse', text, figures[name].worst)]
