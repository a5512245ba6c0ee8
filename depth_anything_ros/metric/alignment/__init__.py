"""Metric scale: inverse depth and a reference in, depth in metres with its sigma out."""

from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.metric.alignment.aligner import ScaleAligner
from depth_anything_ros.metric.alignment.config import AlignmentConfig
from depth_anything_ros.metric.alignment.depth_and_sigma import Alignment
from depth_anything_ros.metric.alignment.local_error import LocalError

__all__ = ['Alignment', 'AlignmentConfig', 'LocalError', 'ReferenceKind', 'ScaleAligner']
