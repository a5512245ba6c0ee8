"""What is kept messages a camera."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages


def info(focal: float) -> SimpleNamespace:
    """Return a CameraInfo of 64 x 48 pixels, rectified to twice the focal length."""
    return SimpleNamespace(
        width=64,
        height=48,
        distortion_model='plumb_bob',
        d=[],
        k=[focal, 0.0, 32.0, 0.0, focal, 24.0, 0.0, 0.0, 1.0],
        r=[],
        p=[2 * focal, 0.0, 32.0, 0.0, 0.0, 2 * focal, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )


def test_a_camera_info_is_read_once_and_a_new_one_anew() -> None:
    messages = SceneMessages()
    messages.camera_info = info(50.0)
    first = messages.camera(64, 48, rectified=True)
    assert messages.camera(64, 48, rectified=True) is first
    assert messages.camera(64, 48, rectified=False).fx == 50.0
    assert messages.camera(64, 48, rectified=True) == first
    messages.camera_info = info(60.0)
    assert messages.camera(64, 48, rectified=True).fx == 120.0


@pytest.mark.parametrize(
    ('stamp_s', 'why'),
    [
        (1_700_000_001, 'is 1.00 s newer than the image, more than reference.sync_tolerance_s'),
        (5, 'is 1699999995.00 s older .*: start it again if it has stopped, else stamp both by'),
        (1_700_000_075, 'is 75.00 s newer .*: stamp both by the same clock'),
        (-(2**31), 's older than the image'),
    ],
)
def test_a_reference_by_another_clock_was_received(stamp_s: int, why: str) -> None:
    messages = SceneMessages()
    messages.kind = ReferenceKind.LASER_SCAN
    stamp = SimpleNamespace(sec=stamp_s, nanosec=0)
    messages.add_reference(SimpleNamespace(header=SimpleNamespace(stamp=stamp)))
    scene = MessageScene(messages, 'lens', 1_700_000_000 * 10**9, (64, 48), Parameters())
    with pytest.raises(FrameError, match=why):
        scene.reference(None)


def test_a_camera_info_that_does_not_fit_is_refused_again_and_again() -> None:
    messages = SceneMessages()
    messages.camera_info = info(50.0)
    messages.camera(64, 48, rectified=True)
    for _ in range(2):
        with pytest.raises(FrameError, match='50 x 40'):
            messages.camera(50, 40, rectified=True)
    messages.clear()
    with pytest.raises(FrameError, match='no camera_info yet'):
        messages.camera(64, 48, rectified=True)
