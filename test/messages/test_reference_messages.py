"""Messages of references as arrays, and what is kept around a camera."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drive import DEPTH, DEPTH_INFO, INFO, LIDAR, SCAN, drive

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import Camera
from depth_anything_ros.messages.reference_messages import (
    REFERENCE_TYPES,
    camera_info_beside,
    kind_of_type,
    reference_from_message,
)
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.references import DepthImage, Points, Reference, Scan

LENS = 'camera_optical_frame'


def first(topic: str) -> tuple[str, Any]:
    return next((kind, m) for name, kind, m in drive('room').messages if name == topic)


def camera() -> Camera:
    return drive('room').world.camera


def read(kind: str, message: Any, info: Any) -> Reference:
    return reference_from_message(
        REFERENCE_TYPES[kind], message, info, LENS, camera(), lambda frame, stamp_ns: IDENTITY
    )


@pytest.mark.parametrize(('topic', 'value'), [(LIDAR, Points), (SCAN, Scan)])
def test_each_type_is_read_where_and_when_it_was_measured(topic: str, value: type) -> None:
    kind, message = first(topic)
    asked = []

    def camera_from(frame_id: str, stamp_ns: int) -> Transform:
        asked.append((frame_id, stamp_ns))
        return IDENTITY

    found = reference_from_message(
        REFERENCE_TYPES[kind], message, None, LENS, camera(), camera_from
    )
    assert isinstance(found, value)
    assert found.camera_from_sensor is IDENTITY
    assert found.stamp_ns == ns_from_stamp(message.header.stamp)
    assert asked == [(message.header.frame_id, found.stamp_ns)]


def test_a_cloud_with_sigma_keeps_it_and_loses_points_without() -> None:
    kind, message = first(LIDAR)
    # Its intensity, float32, in the place of sigma.
    fields = [deepcopy(each) for each in message.fields]
    intensity = next(each for each in fields if each.name == 'intensity')
    intensity.name = 'sigma'
    data = message.data.copy()
    at = intensity.offset
    data[at : at + 4] = np.frombuffer(np.float32(np.nan).tobytes(), np.uint8)
    found = read(kind, replace(message, fields=fields, data=data), None)
    assert isinstance(found, Points)
    assert found.sigma_m is not None
    assert np.isnan(found.xyz[0]).all()
    assert np.isfinite(found.xyz[1:]).all()
    plain = read(kind, message, None)
    assert isinstance(plain, Points)
    assert plain.sigma_m is None


def test_a_range_is_no_reference_and_the_message_says_what_is() -> None:
    with pytest.raises(SettingError, match='camera_height_m'):
        kind_of_type('sensor_msgs/msg/Range', '/sonar')
    with pytest.raises(SettingError, match=r'/imu is sensor_msgs/msg/Imu: .*PointCloud2'):
        kind_of_type('sensor_msgs/msg/Imu', '/imu')


def test_camera_info_is_beside_its_image() -> None:
    assert camera_info_beside('/front/image_raw') == '/front/camera_info'
    assert camera_info_beside('/front/image_raw/compressed') == '/front/camera_info'
    assert camera_info_beside('/image') == '/camera_info'


def test_a_depth_image_of_another_camera_needs_that_cameras_intrinsics() -> None:
    kind, message = first(DEPTH)
    _, info = first(DEPTH_INFO)
    found = read(kind, message, info)
    assert isinstance(found, DepthImage)
    assert found.camera is not None
    assert found.camera.width == message.width
    with pytest.raises(FrameError, match='remap reference/camera_info'):
        read(kind, message, None)


@pytest.mark.parametrize('zoom', [1.0, 2.0])
def test_a_depth_image_in_the_frame_of_the_image_is_registered_if_it_shows_the_same(
    zoom: float,
) -> None:
    kind, message = first(DEPTH)
    message = replace(message, header=replace(message.header, frame_id=LENS))
    _, info = first(INFO)
    scale = message.width / info.width
    assert message.height == round(info.height * scale)
    k = info.k * scale * zoom
    k[[2, 5]] = (info.k[[2, 5]] + 0.5) * scale - 0.5
    p = np.hstack([k.reshape(3, 3), np.zeros((3, 1))]).ravel()
    size = {'width': message.width, 'height': message.height}
    found = read(kind, message, replace(info, **size, k=k, p=p))
    assert isinstance(found, DepthImage)
    assert (found.camera is None) == (zoom == 1.0)


def test_what_is_received_is_dropped_on_demand() -> None:
    messages = SceneMessages()
    messages.kind = REFERENCE_TYPES[first(LIDAR)[0]]
    _, messages.camera_info = first(INFO)
    _, message = first(LIDAR)
    messages.add_reference(message)
    stamp_ns = ns_from_stamp(message.header.stamp)

    def why(at_ns: int) -> str:
        scene = MessageScene(messages, LENS, at_ns, (160, 120), Parameters())
        with pytest.raises(FrameError) as caught:
            scene.reference(None)
        assert caught.value.reason == 'no_reference'
        return str(caught.value)

    assert messages.nearest(stamp_ns + 10**7, 0.1)
    assert '1.00 s older' in why(stamp_ns + 10**9)
    # Its sensor counts from its own start.
    assert '1800000000.00 s older' in why(stamp_ns + 1_800_000_000 * 10**9)
    messages.clear()
    assert 'nothing received' in why(stamp_ns)
    zero = replace(message.header.stamp, sec=0, nanosec=0)
    messages.add_reference(replace(message, header=replace(message.header, stamp=zero)))
    assert 'the reference has the stamp 0' in why(stamp_ns)
    with pytest.raises(FrameError, match='no camera_info'):
        messages.camera(160, 120, rectified=True)
