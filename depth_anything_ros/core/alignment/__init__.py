"""Metric scale: disparity and a reference in, depth in metres with its sigma out."""

from depth_anything_ros.core.alignment.aligned_depth import Alignment
from depth_anything_ros.core.alignment.aligner import ScaleAligner
from depth_anything_ros.core.alignment.config import AlignmentConfig, ReferenceKind

__all__ = ['Alignment', 'AlignmentConfig', 'ReferenceKind', 'ScaleAligner']
