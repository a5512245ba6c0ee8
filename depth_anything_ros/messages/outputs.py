"""The topics of a depth frame, and the message of each: the same live and from a bag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.estimator.frame import DepthFrame, Wanted
from depth_anything_ros.messages.camera_info import camera_from_info, fill_camera_info
from depth_anything_ros.messages.depth_images import fill_depth_image
from depth_anything_ros.messages.diagnostics import key_values
from depth_anything_ros.messages.images import fill_compressed, fill_image
from depth_anything_ros.messages.point_clouds import CloudWriter
from depth_anything_ros.messages.scans import fill_scan

__all__ = ['OUTPUTS', 'Output', 'OutputWriter']


@dataclass(frozen=True)
class Output:
    """One topic, `name` below the node's; its type, and the part of a frame that it shows."""

    name: str
    type: str
    wanted: Wanted


OUTPUTS = (
    Output('relative/raw', 'sensor_msgs/msg/Image', Wanted.INVERSE_DEPTH),
    Output('relative/image', 'sensor_msgs/msg/Image', Wanted.NORMALIZED),
    Output('relative/image_color', 'sensor_msgs/msg/Image', Wanted.COLOR),
    Output('relative/image_color/compressed', 'sensor_msgs/msg/CompressedImage', Wanted.COLOR),
    Output('depth/image', 'sensor_msgs/msg/Image', Wanted.DEPTH),
    Output('depth/camera_info', 'sensor_msgs/msg/CameraInfo', Wanted.DEPTH),
    Output('depth/sigma', 'sensor_msgs/msg/Image', Wanted.SIGMA),
    Output('points', 'sensor_msgs/msg/PointCloud2', Wanted.POINTS),
    Output('scan', 'sensor_msgs/msg/LaserScan', Wanted.SCAN),
    Output('frame_stats', 'diagnostic_msgs/msg/DiagnosticArray', Wanted.SCALE),
)
"""Every output, in the order of publishing: a depth image goes before its camera_info."""


class OutputWriter:
    """Turns frames into messages. One thread may use it: it keeps buffers."""

    def __init__(self, types: Mapping[str, Callable[..., Any]], name: str) -> None:
        """`types` makes messages, by type name, of rclpy or of rosbags; `name` is the node's."""
        self._types = types
        self._name = name
        self._clouds: dict[tuple[bool, bool], CloudWriter] = {}
        self._fill: dict[str, Callable[[Any, DepthFrame, Parameters, Any], bool]] = {
            'relative/raw': lambda out, frame, *_: _image(out, frame.inverse_depth),
            'relative/image': lambda out, frame, *_: _image(out, frame.normalized),
            'relative/image_color': lambda out, frame, *_: _image(out, frame.color, 'bgr8'),
            'relative/image_color/compressed': _jpeg,
            'depth/image': lambda out, frame, *_: _depth(out, frame.depth_m),
            'depth/camera_info': _camera_info,
            'depth/sigma': lambda out, frame, *_: _depth(out, frame.sigma_m),
            'points': self._points,
            'scan': _scan,
            'frame_stats': self._stats,
        }

    def message(
        self, output: Output, frame: DepthFrame, header: Any, info: Any, parameters: Parameters
    ) -> Any | None:
        """Return the message of one output, or None where the frame does not have it.

        `header` is that of the image, `info` its CameraInfo or None.
        """
        out = self._types[output.type]()
        out.header = header
        return out if self._fill[output.name](out, frame, parameters, info) else None

    def _points(self, out: Any, frame: DepthFrame, parameters: Parameters, _: Any) -> bool:
        if frame.cloud is None:
            return False
        layout = frame.cloud.bgr is not None, parameters.cloud.sigma
        if layout not in self._clouds:
            field = self._types['sensor_msgs/msg/PointField']
            self._clouds[layout] = CloudWriter(field, color=layout[0], sigma=layout[1])
        self._clouds[layout].fill(out, frame.cloud)
        return True

    def _stats(self, out: Any, frame: DepthFrame, *_: Any) -> bool:
        status = self._types['diagnostic_msgs/msg/DiagnosticStatus'](
            name=f'{self._name}: frame', message=frame.scale.message
        )
        times = {f'{stage}_ms': ms for stage, ms in frame.times.ms.items()}
        pair = self._types['diagnostic_msgs/msg/KeyValue']
        status.values = key_values(times | frame.scale.values(), pair)
        out.status = [status]
        return True


def _image(out: Any, pixels: Any, encoding: str = '32FC1') -> bool:
    if pixels is None:
        return False
    fill_image(out, pixels, encoding)
    return True


def _jpeg(out: Any, frame: DepthFrame, parameters: Parameters, _: Any) -> bool:
    if frame.color is None:
        return False
    fill_compressed(out, frame.color, parameters.output.jpeg_quality)
    return True


def _depth(out: Any, metres: Any) -> bool:
    if metres is None:
        return False
    fill_depth_image(out, metres)
    return True


def _camera_info(out: Any, frame: DepthFrame, parameters: Parameters, info: Any) -> bool:
    if frame.depth_m is None or info is None:
        return False
    height, width = frame.depth_m.shape
    try:
        # One that is not of this image must not go with its depth.
        camera_from_info(info, *frame.image_size, parameters.rectified)
        fill_camera_info(out, info, width, height)
    except FrameError:
        # ~/status says what is wrong with it.
        return False
    return True


def _scan(out: Any, frame: DepthFrame, *_: Any) -> bool:
    if frame.scan is None:
        return False
    # In its own frame, and the image's header must stay what it is.
    header = type(out.header)(stamp=out.header.stamp, frame_id=frame.scan_frame)
    out.header = header
    fill_scan(out, frame.scan)
    return True
