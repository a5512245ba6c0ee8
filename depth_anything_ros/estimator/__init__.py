"""Image in, depth frame out: infer, normalise, align with a reference, project."""

from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.estimator.frame import DepthFrame, Wanted
from depth_anything_ros.estimator.pipeline import DepthPipeline
from depth_anything_ros.estimator.shared_network import SharedNetwork

__all__ = [
    'DepthFrame',
    'DepthPipeline',
    'SharedNetwork',
    'Wanted',
    'fetch_weights',
    'load_backend',
]
