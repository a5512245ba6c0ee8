"""Which topics are compared by their content, and how their messages become comparable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from depth_anything_ros.bag.reading import IMAGE
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.metrics import (
    cloud_figures,
    metric_figures,
    relative_figures,
)
from depth_anything_ros.messages.depth_images import depth_from_image, disparity_from_image
from depth_anything_ros.messages.point_clouds import points_from_cloud

__all__ = ['METRIC', 'RELATIVE', 'Measure', 'measure_of']

POINT_CLOUD = 'sensor_msgs/msg/PointCloud2'


class Measure(NamedTuple):
    """`values` takes a message and may raise FrameError; `figures` takes two of its values.

    `error` names the figure that tells better from worse.
    """

    name: str
    values: Callable[[Any], Any]
    figures: Callable[[Any, Any], dict[str, float]]
    error: str

    def compare(self, first: Any, second: Any) -> dict[str, float]:
        """Give the figures of two messages; FrameError where images differ in size, too."""
        values = self.values(first), self.values(second)
        if self is not CLOUD and values[0].shape != values[1].shape:
            sizes = ' and '.join(f'{x.shape[1]}x{x.shape[0]}' for x in values)
            raise FrameError('bad_size', f'the images in A and B have {sizes} pixels')
        return self.figures(*values)


def measure_of(topic: str, kind: str, encoding: str) -> Measure | None:
    """Give the measure of a topic by its type, its name and the encoding of its images.

    Relative depth has `relative` in its name (~/relative/image, ~/relative/raw), and metric
    depth `depth`; ~/depth/sigma is no depth.
    """
    if kind == POINT_CLOUD:
        return CLOUD
    parts = topic.split('/')
    if kind != IMAGE or encoding not in ('16UC1', 'mono16', '32FC1'):
        return None
    if 'relative' in parts:
        return RELATIVE if encoding == '32FC1' else None
    return METRIC if 'depth' in topic and parts[-1] != 'sigma' else None


METRIC = Measure('metric', depth_from_image, metric_figures, 'abs_rel')
RELATIVE = Measure('relative', disparity_from_image, relative_figures, 'ssi_error')
CLOUD = Measure('cloud', points_from_cloud, cloud_figures, 'cloud_m')
