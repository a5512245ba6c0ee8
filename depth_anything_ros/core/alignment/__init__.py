"""Metric scale: disparity and a reference in, depth in metres with its sigma out."""

from depth_anything_ros.core.alignment.aligned_depth import Alignment
from depth_anything_ros.core.alignment.aligner import ScaleAligner
from depth_anything_ros.core.alignment.config import AlignmentConfig, ReferenceKind
from depth_anything_ros.core.alignment.local_error import LocalError

__all__ = ['Alignment', 'AlignmentConfig', 'LocalError', 'ReferenceKind', 'ScaleAligner']
