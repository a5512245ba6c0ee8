"""Monocular depth for ROS 2 with Depth Anything V2: relative always, metric only when proven."""

__version__ = '0.1.0'
