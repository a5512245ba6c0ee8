"""Which topics are compared by their content, and how their messages become comparable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from depth_anything_ros.bag.reading import IMAGE
from depth_anything_ros.core.depth_errors import (
    cloud_figures,
    metric_figures,
    relative_figures,
    scan_figures,
    sigma_figures,
)
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.scans import PlanarScan
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.messages.depth_images import depth_from_image, inverse_depth_from_image
from depth_anything_ros.messages.point_clouds import points_from_cloud
from depth_anything_ros.messages.scans import scan_from_message

__all__ = ['METRIC', 'RELATIVE', 'Measure', 'measure_of']

LASER_SCAN = 'sensor_msgs/msg/LaserScan'
POINT_CLOUD = 'sensor_msgs/msg/PointCloud2'


class Measure(NamedTuple):
    """`values` takes a message and may raise FrameError; `figures` takes two of its values.

    `error` names the figure that tells better from worse. `layout` words what both must have
    in common to be compared.
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


def measure_of(topic: str, kind: str, encoding: str) -> Measure | None:
    """Return the measure of a topic by its type, its name and the encoding of its images.

    Relative depth has `relative` in its name (~/relative/image, ~/relative/raw), and metric
    depth `depth`; ~/depth/sigma is its doubt.
    """
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    parts = topic.split('/')
    if kind != IMAGE or encoding not in ('16UC1', 'mono16', '32FC1'):
        return None
    if 'relative' in parts:
        return RELATIVE if encoding == '32FC1' else None
    if 'depth' not in topic:
        return None
    return SIGMA if parts[-1] == 'sigma' else METRIC


def _pixels(image: FloatImage) -> str:
    return f'{image.shape[1]}x{image.shape[0]} pixels'


def _beams(scan: PlanarScan) -> str:
    degrees = np.degrees((scan.bearing_min_rad, scan.step_rad))
    return f'{scan.ranges_m.size} beams from {degrees[0]:.2f} by {degrees[1]:.4g} degrees'


def _ranges(first: PlanarScan, second: PlanarScan) -> dict[str, float]:
    return scan_figures(first.ranges_m, second.ranges_m)


METRIC = Measure('metric', depth_from_image, metric_figures, 'abs_rel', _pixels)
RELATIVE = Measure('relative', inverse_depth_from_image, relative_figures, 'ssi_error', _pixels)
SIGMA = Measure('sigma', depth_from_image, sigma_figures, 'sigma_rel', _pixels)
SCAN = Measure('scan', scan_from_message, _ranges, 'abs_rel', _beams)
CLOUD = Measure('cloud', points_from_cloud, cloud_figures, 'cloud_m', lambda cloud: '')

_BY_KIND = {POINT_CLOUD: CLOUD, LASER_SCAN: SCAN}
"""Where the type alone tells; images need more."""
