"""Names of topics that sample bags have."""

from depth_anything_ros.bag import GROUND_TRUTH as TRUTH

__all__ = ['TRUTH']
