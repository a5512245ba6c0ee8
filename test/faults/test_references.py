"""References and camera_info that give no metres."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rig import values_of
from sensor_msgs.msg import PointCloud2, PointField

from faults import ALL, DEPTH, NO_METRES, SIGMA, Fault, faults
from faults.refusals import changed, cut
from faults.robot import BOUND, SECOND, Robot, abs_rel


def x_only(message: PointCloud2) -> None:
    message.fields = message.fields[:1]


def whole_cloud(message: PointCloud2, points: np.ndarray) -> None:
    """Put points float32 (N, 3) into the message."""
    message.fields = [
        PointField(name=name, offset=4 * at, datatype=PointField.FLOAT32, count=1)
        for at, name in enumerate('xyz')
    ]
    message.point_step = 12
    message.height, message.width, message.row_step = 1, len(points), 12 * len(points)
    message.data = array('B', points.tobytes())


def filled(value: float) -> Callable[[PointCloud2], None]:
    """Return a cause that makes all coordinates one value."""

    def fill(message: PointCloud2) -> None:
        whole_cloud(message, np.full((message.width * message.height, 3), value, np.float32))

    return fill


def noise(count: int) -> Callable[[PointCloud2], None]:
    """Return a cause that puts points all around the sensor, as near and as far as a room is."""

    def scatter(message: PointCloud2) -> None:
        random = np.random.default_rng(0)
        whole_cloud(message, random.uniform(-5.0, 5.0, (count, 3)).astype(np.float32))

    return scatter


def bad_cloud(name: str, reason: str, said: str, cause: Callable[[Any], None]) -> Fault:
    return Fault(name, NO_METRES, (f'refused_{reason}',), said, ALL, cause)


@faults(
    bad_cloud('no y and z', 'bad_fields', "has no field 'y'", x_only),
    bad_cloud('no fields', 'bad_fields', "has no field 'x'", changed(fields=[])),
    bad_cloud('a point_step of 0', 'bad_fields', 'must set point_step', changed(point_step=0)),
    bad_cloud('half the data', 'bad_data_size', 'must set row_step', cut),
    bad_cloud(
        'the largest size that can be told',
        'bad_size',
        'more than the limit',
        changed(width=2**32 - 1, height=2**32 - 1),
    ),
    bad_cloud('no points', 'too_few_samples', 'too few samples', changed(width=0, height=0)),
    bad_cloud('all NaN', 'too_few_samples', 'too few samples', filled(np.nan)),
    bad_cloud('all infinite', 'too_few_samples', 'too few samples', filled(np.inf)),
    bad_cloud('all zero', 'too_few_samples', 'too few samples', filled(0.0)),
    bad_cloud('all beyond what can be squared', 'too_few_samples', 'too few', filled(3e38)),
)
def test_a_bad_reference_gives_no_metres_and_moves_none(robot: Robot, fault: Fault) -> None:
    """A bad reference cloud gives no metres, with a WARN, and moves none that are held."""
    rig = robot.rig

    def ask() -> tuple[int, dict[str, str]]:
        stamp_ns = robot.tick()
        cloud = robot.cloud(stamp_ns)
        fault.cause(cloud)
        robot.refer(cloud)
        return stamp_ns, robot.ask(robot.image(stamp_ns))

    with robot.counting(fault, 2):
        alone_ns, figures = ask()
        assert figures['metric_valid'] == 'False'
        status = robot.says(fault)
        assert status.level == DiagnosticStatus.WARN
        assert status.message.startswith('no metric depth: ')
        good = robot.good()
        # The scale of the good frame is held, and no worse for the bad one.
        held_ns, figures = ask()
        assert figures['metric_valid'] == 'True'
        assert float(figures['scale']) == pytest.approx(float(good['scale']), rel=0.01)
        rig.until(lambda: rig.status().message.startswith('metric depth held: '))
    robot.good()
    assert robot.published(alone_ns) == fault.published
    assert robot.published(held_ns) == fault.held
    assert abs_rel(robot.depth(held_ns), robot.truth) < BOUND


NO_FIT = (
    'ambiguous',
    'poor_fit',
    'contradicts_network',
    'polarity_unobserved',
    'unobservable_slope',
)
WRONG = (*(f'refused_{reason}' for reason in NO_FIT),)


@faults(Fault('points at random', NO_METRES, WRONG, 'no metric depth', cause=noise(3000)))
def test_noise_gives_no_metres_and_must_be_outlived(robot: Robot, fault: Fault) -> None:
    """A reference that does not fit what the image shows gives no metres until it is outlived."""
    stamps = [robot.tick() for _ in range(3)]
    with robot.counting(fault, len(stamps)):
        for stamp_ns in stamps:
            cloud = robot.cloud(stamp_ns)
            fault.cause(cloud)
            robot.refer(cloud)
            assert robot.ask(robot.image(stamp_ns))['metric_valid'] == 'False'
        robot.says(fault)
    outlive(robot)
    assert [robot.published(stamp_ns) for stamp_ns in stamps] == [fault.published] * 3


@faults(
    Fault(
        'ten million points at random, after a good frame',
        ALL,
        (*WRONG, 'refused_jump'),
        'metric depth held',
        cause=noise(10_000_000),
    )
)
def test_ten_million_points_cost_one_slow_frame(robot: Robot, fault: Fault) -> None:
    """A reference too large to be of use costs one slow frame; the scale from before is held."""
    robot.good()
    stamp_ns = robot.tick()
    cloud = robot.cloud(stamp_ns)
    fault.cause(cloud)
    with robot.counting(fault):
        # As from the subscription: 120 MB do not pass through the shared memory of the tests.
        robot.around.add_reference(cloud)
        robot.ask(robot.image(stamp_ns))
        robot.says(fault)
        robot.rig.until(lambda: robot.published(stamp_ns) == fault.published)
    outlive(robot)


def outlive(robot: Robot) -> None:
    """What once called far what is near is trusted again after eight frames, see Polarity."""
    for _ in range(8):
        stamp_ns = robot.tick()
        robot.refer(robot.cloud(stamp_ns))
        figures = robot.ask(robot.image(stamp_ns))
    assert figures['metric_valid'] == 'True'
    robot.good()


@faults(Fault('a frame that tf lacks', NO_METRES, ('refused_no_transform',), "'nowhere'"))
def test_a_reference_in_an_unknown_frame(robot: Robot, fault: Fault) -> None:
    """A reference that cannot be brought to the camera gives no metres, with a WARN."""
    rig = robot.rig
    extrinsics = rig.node.parameters.reference.extrinsics
    assert rig.set_parameter('reference.extrinsics', '')[0]
    stamp_ns = robot.tick()
    cloud = robot.cloud(stamp_ns)
    cloud.header.frame_id = 'nowhere'
    with robot.counting(fault):
        robot.refer(cloud)
        robot.ask(robot.image(stamp_ns))
        assert robot.says(fault).level == DiagnosticStatus.WARN
    assert rig.set_parameter('reference.extrinsics', extrinsics)[0]
    robot.good()
    assert robot.published(stamp_ns) == fault.published


def bad_info(name: str, said: str, **changes: Any) -> Fault:
    # Depth needs no intrinsics while the scale is held; whoever makes points of it does.
    held = NO_METRES | {DEPTH, SIGMA}
    return Fault(name, NO_METRES, ('refused_bad_camera_info',), said, held, changes)


@faults(
    bad_info('all zero', 'is not calibrated', k=np.zeros(9), p=np.zeros(12)),
    bad_info('all NaN', 'not finite', k=np.full(9, np.nan), p=np.full(12, np.nan)),
    bad_info('the size of another image', 'is for 640 x 480', width=640, height=480),
    bad_info('no size', 'has no size', width=0, height=0),
    bad_info('a binning that does not fit', 'does not fit', binning_x=1000),
)
def test_a_bad_camera_info_gives_no_metres_and_is_not_handed_on(
    robot: Robot, fault: Fault
) -> None:
    """A bad camera_info gives no metres, with a WARN, and is not handed on."""
    robot.good()
    with robot.counting(fault, 2):
        robot.inform(robot.info(**fault.cause))
        held_ns = robot.tick()
        robot.ask(robot.image(held_ns))
        status = robot.says(fault)
        robot.rig.until(lambda: fault.said in robot.rig.status().message)
        assert fault.said in values_of(robot.rig.status())['camera_info']
        assert status.level == DiagnosticStatus.WARN
        # Longer than a scale is held.
        robot.now += SECOND
        alone_ns = robot.tick()
        robot.refer(robot.cloud(alone_ns))
        assert robot.ask(robot.image(alone_ns))['metric_valid'] == 'False'
    robot.inform(robot.info())
    robot.good()
    assert robot.published(held_ns) == fault.held
    assert robot.published(alone_ns) == fault.published
