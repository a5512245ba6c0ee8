"""Metric samples from the robot's own motion: tracks, odometry's baseline, triangulation.

The length of a baseline is odometry's; rotation and direction are refined on the tracks.
"""

from depth_anything_ros.metric.odometry.camera_height import check_camera_height
from depth_anything_ros.metric.odometry.tracker import OdometryTracker

__all__ = ['OdometryTracker', 'check_camera_height']
