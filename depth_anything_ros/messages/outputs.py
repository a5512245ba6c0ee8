"""The outputs of a frame as messages: one table, the same live and from a bag."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.types import DepthEncoding
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.messages.camera_info import camera_from_info, fill_camera_info
from depth_anything_ros.messages.compressed_depth import fill_compressed_depth
from depth_anything_ros.messages.depth_images import fill_depth_image
from depth_anything_ros.messages.images import fill_compressed, fill_image
from depth_anything_ros.messages.laser_scans import fill_scan
from depth_anything_ros.messages.point_clouds import CloudWriter

__all__ = ['OUTPUTS', 'Output', 'OutputWriter', 'key_values']


class OutputWriter:
    """Turns frames into messages. One thread may use it: it keeps buffers."""

    def __init__(
        self, types: Mapping[str, Callable[..., Any]], name: str, *, with_times: bool = True
    ) -> None:
        """`types` makes messages, by type name, of rclpy or of rosbags; `name` is the node's.

        Without times `frame_stats` is the same for equal input.
        """
        self.with_times = with_times
        self.types = types
        self.name = name
        self._clouds: dict[tuple[bool, bool], CloudWriter] = {}

    def message(self, output: Output, frame: Frame, header: Any, info: Any) -> Any | None:
        """Return the message of one output, or None where the frame does not have it.

        `header` is that of the image, `info` its CameraInfo or None. Writing counts as the stage
        'publish' of the frame.
        """
        with frame.times.stage('publish'):
            out = self.types[output.type]()
            out.header = header
            return out if output.fill(self, out, frame, info) else None

    def clouds(self, *, color: bool, sigma: bool) -> CloudWriter:
        """Return the writer of clouds with these fields."""
        if (color, sigma) not in self._clouds:
            field = self.types['sensor_msgs/msg/PointField']
            self._clouds[color, sigma] = CloudWriter(field, color=color, sigma=sigma)
        return self._clouds[color, sigma]


Fill = Callable[[OutputWriter, Any, Frame, Any], bool]
"""Writes a frame into a message, given the CameraInfo of its image; False for no message."""


@dataclass(frozen=True)
class Output:
    """One topic, `name` below the node's; its type, whether it shows metres, how it is written."""

    name: str
    type: str
    metric: bool
    fill: Fill


def _raw(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    fill_image(out, frame.inverse_depth, '32FC1')
    return True


def _normalized(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    fill_image(out, frame.normalized, '32FC1')
    return True


def _color(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    fill_image(out, frame.color(), 'bgr8')
    return True


def _jpeg(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    fill_compressed(out, frame.color(), frame.parameters.output.jpeg_quality)
    return True


def _depth(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    if frame.depth_m is None:
        return False
    fill_depth_image(out, frame.depth_m, DepthEncoding(frame.parameters.output.depth_encoding))
    return True


def _compressed_depth(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    if frame.depth_m is None:
        return False
    how = frame.parameters.output
    fill_compressed_depth(
        out,
        frame.depth_m,
        DepthEncoding(how.depth_encoding),
        how.compressed_depth_max_m,
        how.compressed_depth_quantization,
    )
    return True


def _camera_info(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    if frame.depth_m is None or info is None:
        return False
    height, width = frame.depth_m.shape
    try:
        # One that is not of this image must not go with its depth.
        camera_from_info(info, *frame.image_size, frame.parameters.rectified)
        fill_camera_info(out, info, width, height)
    except FrameError:
        # ~/status says what is wrong with it.
        return False
    return True


def _sigma(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    if frame.sigma_m is None:
        return False
    fill_depth_image(out, frame.sigma_m)
    return True


def _points(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    cloud = frame.cloud()
    if cloud is None:
        return False
    clouds = writer.clouds(color=cloud.bgr is not None, sigma=frame.parameters.cloud.sigma)
    clouds.fill(out, cloud)
    return True


def _samples(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    cloud = frame.samples()
    if cloud is None:
        return False
    writer.clouds(color=True, sigma=False).fill(out, cloud)
    return True


def _scan(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    scan = frame.scan()
    if scan is None:
        return False
    # In its own frame, and the image's header must stay what it is.
    out.header = type(out.header)(stamp=out.header.stamp, frame_id=frame.parameters.scan.frame)
    fill_scan(out, scan)
    return True


def _stats(writer: OutputWriter, out: Any, frame: Frame, info: Any) -> bool:
    status = writer.types['diagnostic_msgs/msg/DiagnosticStatus'](
        name=f'{writer.name}: frame', message=frame.scale.message
    )
    times = frame.times.ms if writer.with_times else {}
    figures: dict[str, object] = {f'{stage}_ms': ms for stage, ms in times.items()}
    pair = writer.types['diagnostic_msgs/msg/KeyValue']
    figures |= frame.scale.values() | {'flicker': frame.flicker}
    status.values = key_values(figures, pair)
    out.status = [status]
    return True


def key_values(values: Mapping[str, object], make: Callable[..., Any]) -> list[Any]:
    """Return one diagnostic_msgs/KeyValue each; figures are rounded, NaN is left empty.

    `make` is that class, of rclpy or of rosbags.
    """
    return [make(key=key, value=_text(value)) for key, value in values.items()]


def _text(value: object) -> str:
    if isinstance(value, float):
        return '' if math.isnan(value) else f'{value:.6g}'
    return str(value)


_IMAGE = 'sensor_msgs/msg/Image'

OUTPUTS = (
    Output('relative/raw', _IMAGE, False, _raw),
    Output('relative/image', _IMAGE, False, _normalized),
    Output('relative/image_color', _IMAGE, False, _color),
    Output('relative/image_color/compressed', 'sensor_msgs/msg/CompressedImage', False, _jpeg),
    Output('depth/image', _IMAGE, True, _depth),
    Output(
        'depth/image/compressedDepth', 'sensor_msgs/msg/CompressedImage', True, _compressed_depth
    ),
    Output('depth/camera_info', 'sensor_msgs/msg/CameraInfo', True, _camera_info),
    Output('depth/sigma', _IMAGE, True, _sigma),
    Output('points', 'sensor_msgs/msg/PointCloud2', True, _points),
    Output('scan', 'sensor_msgs/msg/LaserScan', True, _scan),
    Output('samples', 'sensor_msgs/msg/PointCloud2', True, _samples),
    Output('frame_stats', 'diagnostic_msgs/msg/DiagnosticArray', False, _stats),
)
"""Every output, in the order of publishing: a depth image goes before its camera_info."""
