"""Messages of references as measurements, and what is kept around a camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drive import DEPTH, DEPTH_INFO, INFO, LIDAR, SCAN, drive

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.scans import PlanarScan
from depth_anything_ros.core.types import CameraModel
from depth_anything_ros.messages.references import REFERENCE_TYPES, measurement_from
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.messages.surroundings import Surroundings
from depth_anything_ros.metric.references import DepthMap

LENS = 'camera_optical_frame'


def first(topic: str) -> tuple[str, Any]:
    return next((kind, m) for name, kind, m in drive('room').messages if name == topic)


def camera() -> CameraModel:
    return drive('room').world.camera


@pytest.mark.parametrize(('topic', 'value'), [(LIDAR, np.ndarray), (SCAN, PlanarScan)])
def test_each_type_is_read(topic: str, value: type) -> None:
    kind, message = first(topic)
    measured = measurement_from(REFERENCE_TYPES[kind], message, None, LENS, camera())
    assert isinstance(measured.value, value)
    assert measured.frame_id == message.header.frame_id
    assert measured.stamp_ns == ns_from_stamp(message.header.stamp)


def test_a_depth_image_of_another_camera_needs_that_cameras_intrinsics() -> None:
    kind, message = first(DEPTH)
    _, info = first(DEPTH_INFO)
    measured = measurement_from(REFERENCE_TYPES[kind], message, info, LENS, camera())
    assert isinstance(measured.value, DepthMap)
    assert measured.value.camera is not None
    assert measured.value.camera.width == message.width
    with pytest.raises(FrameError, match='remap reference/camera_info'):
        measurement_from(REFERENCE_TYPES[kind], message, None, LENS, camera())


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
    measured = measurement_from(
        REFERENCE_TYPES[kind], message, replace(info, **size, k=k, p=p), LENS, camera()
    )
    assert isinstance(measured.value, DepthMap)
    assert (measured.value.camera is None) == (zoom == 1.0)


def test_what_is_received_is_forgotten_on_demand() -> None:
    around = Surroundings()
    _, around.camera_info = first(INFO)
    _, message = first(LIDAR)
    around.add_reference(message)
    stamp_ns = ns_from_stamp(message.header.stamp)
    assert around.paired(stamp_ns + 10**7, 0.1)
    assert not around.paired(stamp_ns + 10**9, 0.1)
    assert '1.00 s older' in around.unpaired(stamp_ns + 10**9, 0.1)
    around.forget()
    assert not around.paired(stamp_ns, 0.1)
    assert 'nothing received' in around.unpaired(stamp_ns, 0.1)
    with pytest.raises(FrameError, match='no camera_info'):
        around.camera(160, 120, rectified=True)
