"""Image in, depth frame out: infer, normalise, align with a reference, project."""

from depth_anything_ros.core.frame import DepthFrame, Wanted
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.pipeline.loading import fetch_weights, load_backend
from depth_anything_ros.pipeline.shared import SharedNetwork

__all__ = [
    'DepthFrame',
    'DepthPipeline',
    'SharedNetwork',
    'Wanted',
    'fetch_weights',
    'load_backend',
]
