from __future__ import annotations

import threading

import numpy as np
import pytest

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from lab.world.world import World

S = 1_000_000_000


def shift(x: float, y: float = 0.0, z: float = 0.0) -> Transform:
    return Transform(np.eye(3), np.array([x, y, z]))


def driving() -> TransformBuffer:
    """A base that drives along x at 1 m/s, with a camera 0.5 m ahead and a lidar above."""
    buffer = TransformBuffer()
    for tenth in range(51):
        buffer.put('odom', 'base', shift(tenth / 10), tenth * S // 10)
    buffer.put('base', 'camera', shift(0.5), static=True)
    buffer.put('base', 'mast', shift(0, 0, 1), static=True)
    buffer.put('mast', 'lidar', shift(0, 0, 0.5), static=True)
    return buffer


def at(buffer: TransformBuffer, target: str, source: str, stamp_ns: int) -> list[float]:
    return buffer.lookup(target, source, stamp_ns).translation.round(9).tolist()


def reason(buffer: TransformBuffer, target: str, source: str, stamp_ns: int) -> str:
    with pytest.raises(FrameError) as caught:
        buffer.lookup(target, source, stamp_ns)
    return caught.value.reason


def test_static_chains_hold_at_every_stamp() -> None:
    buffer = driving()
    for stamp in (-S, 0, 10**20):
        assert at(buffer, 'camera', 'lidar', stamp) == [-0.5, 0, 1.5]
        assert at(buffer, 'lidar', 'camera', stamp) == [0.5, 0, -1.5]
        assert buffer.lookup('camera', 'camera', stamp) is IDENTITY


def test_timed_transforms_are_interpolated() -> None:
    assert at(driving(), 'odom', 'camera', 2_350_000_000) == [2.85, 0, 0]
    assert at(driving(), 'camera', 'odom', 2_300_000_000) == [-2.8, 0, 0]


def test_beyond_the_ends_the_nearest_holds_for_the_bound_only() -> None:
    buffer = driving()
    assert at(buffer, 'odom', 'base', 5 * S + 50_000_000) == [5, 0, 0]
    assert reason(buffer, 'odom', 'base', 5 * S + 50_000_001) == 'transform_too_old'
    assert at(buffer, 'odom', 'base', -50_000_000) == [0, 0, 0]
    assert reason(buffer, 'odom', 'base', -50_000_001) == 'transform_too_new'


def test_no_pose_is_guessed_where_none_may_be() -> None:
    buffer = driving()
    for stamp, x in ((0, 0.5), (2 * S + 1, 2.5), (5 * S, 5.5)):
        found = buffer.lookup('odom', 'camera', stamp, extrapolate=False)
        assert np.allclose(found.translation, [x, 0, 0])
    for stamp, why in ((-1, 'transform_too_new'), (5 * S + 1, 'transform_too_old')):
        with pytest.raises(FrameError) as caught:
            buffer.lookup('odom', 'camera', stamp, extrapolate=False)
        assert caught.value.reason == why


def test_unconnected_and_unknown_frames_say_which() -> None:
    buffer = driving()
    buffer.put('island', 'palm', shift(1), static=True)
    assert reason(buffer, 'camera', 'palm', 0) == 'no_transform'
    with pytest.raises(FrameError, match=r"under 'odom' and 'island'"):
        buffer.lookup('camera', 'palm', 0)
    with pytest.raises(FrameError, match=r"frame 'sonar'"):
        buffer.lookup('camera', 'sonar', 0)
    # Above the frame that both share nothing is needed.
    assert at(buffer, 'camera', 'lidar', 99 * S) == [-0.5, 0, 1.5]


def test_leading_slashes_are_those_of_ros_1() -> None:
    assert at(driving(), '/camera', 'lidar', 0) == [-0.5, 0, 1.5]


def test_a_fixed_frame_makes_up_for_motion() -> None:
    buffer = driving()
    # The lidar measured 0.4 s, that is 0.4 m, before the camera.
    moved = buffer.lookup_through('camera', 2_400_000_000, 'lidar', 2 * S, 'odom')
    assert moved.translation == pytest.approx([-0.9, 0, 1.5])
    rigid = buffer.lookup_through('camera', 2_400_000_000, 'lidar', 2 * S, '')
    assert rigid.translation == pytest.approx([-0.5, 0, 1.5])


def test_a_fixed_frame_agrees_with_the_simulated_world() -> None:
    world = World('road', 3)
    buffer = TransformBuffer()
    for step in range(60):
        buffer.put('map', 'base', world.base(step / 50), step * S // 50)
    buffer.put('base', 'camera', world.base(0).inverse() @ world.camera_pose(0), static=True)
    buffer.put('base', 'lidar', world.rig.lidar.pose(), static=True)
    found = buffer.lookup_through('camera', 815_000_000, 'lidar', 753_000_000, 'map')
    lidar = world.base(0.753) @ world.rig.lidar.pose()
    expected = world.camera_pose(0.815).inverse() @ lidar
    # Straight lines between poses 20 ms apart, on a curve.
    assert np.allclose(found.matrix, expected.matrix, rtol=0, atol=1e-3)


def test_old_transforms_go() -> None:
    buffer = TransformBuffer()
    for second in range(20):
        buffer.put('a', 'b', shift(second), second * S)
    assert at(buffer, 'a', 'b', 9 * S) == [9, 0, 0]
    assert reason(buffer, 'a', 'b', 8 * S) == 'transform_too_new'


def test_late_transforms_find_their_place_and_equal_stamps_replace() -> None:
    buffer = TransformBuffer()
    for tenth in (0, 4, 2, 6):
        buffer.put('a', 'b', shift(tenth), tenth * S // 10)
    buffer.put('a', 'b', shift(30), 3 * S // 10)
    buffer.put('a', 'b', shift(3), 3 * S // 10)
    assert at(buffer, 'a', 'b', 250_000_000) == [2.5, 0, 0]
    assert at(buffer, 'a', 'b', 350_000_000) == [3.5, 0, 0]


def test_when_time_goes_back_timed_transforms_go_and_static_ones_stay() -> None:
    buffer = driving()
    buffer.put('odom', 'base', shift(0.1), S // 10)
    assert at(buffer, 'odom', 'base', S // 10) == [0.1, 0, 0]
    assert reason(buffer, 'odom', 'base', 5 * S) == 'transform_too_old'
    assert at(buffer, 'camera', 'lidar', 0) == [-0.5, 0, 1.5]
    buffer.clear()
    assert reason(buffer, 'odom', 'base', S // 10) == 'no_transform'
    assert at(buffer, 'camera', 'lidar', 0) == [-0.5, 0, 1.5]


def test_a_frame_can_change_its_parent_but_not_close_a_loop() -> None:
    buffer = TransformBuffer()
    buffer.put('a', 'b', shift(1), static=True)
    buffer.put('b', 'c', shift(1), static=True)
    for parent, child in (('c', 'a'), ('b', 'b'), ('', 'b'), ('a', '')):
        with pytest.raises(FrameError) as caught:
            buffer.put(parent, child, shift(1), static=True)
        assert caught.value.reason == 'bad_transform'
    buffer.put('a', 'c', shift(5), 3)
    assert at(buffer, 'a', 'c', 3) == [5, 0, 0]
    assert at(buffer, 'b', 'c', 3) == [4, 0, 0]


def test_threads_may_share_a_buffer() -> None:
    buffer = driving()
    failures: list[Exception] = []

    def write() -> None:
        for tenth in range(51, 400):
            buffer.put('odom', 'base', shift(tenth / 10), tenth * S // 10)

    def read() -> None:
        for _ in range(300):
            try:
                buffer.lookup('odom', 'lidar', 5 * S)
            except FrameError as error:
                if error.reason != 'transform_too_new':
                    failures.append(error)
            except Exception as error:  # noqa: BLE001 - whatever it is fails the test
                failures.append(error)

    threads = [threading.Thread(target=target) for target in (write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
