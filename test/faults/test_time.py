"""Stamps and clocks."""

from __future__ import annotations

import time
from collections.abc import Callable

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rig import values_of
from rosgraph_msgs.msg import Clock

from faults import ALL, NO_METRES, Fault, faults
from faults.robot import SECOND, Robot


def any_stamp(name: str, choose: Callable[[Robot], int], reason: str = 'no_reference') -> Fault:
    # Without a reference of its own: none of another time is taken for it.
    return Fault(name, NO_METRES, (f'refused_{reason}',), reason, cause=choose)


@faults(
    any_stamp('zero', lambda _: 0, 'no_stamp'),
    any_stamp('before 1970', lambda _: -5 * SECOND),
    any_stamp('five seconds back', lambda robot: robot.now - 5 * SECOND),
    any_stamp('an hour later', lambda robot: robot.now + 3600 * SECOND),
    any_stamp('the last second that can be told', lambda _: (2**31 - 1) * SECOND),
)
def test_any_stamp_is_answered_and_harms_no_later_frame(robot: Robot, fault: Fault) -> None:
    """An image with any stamp is answered, and with metres where a reference has that stamp."""
    robot.good()
    stamp_ns = fault.cause(robot)
    with robot.counting(fault):
        assert robot.ask(robot.image(stamp_ns))['metric_valid'] == 'False'
        robot.says(fault)
    robot.good()
    assert robot.published(stamp_ns) == fault.published
    # With a reference of its stamp it has metres, as where a bag begins.
    again_ns = stamp_ns + 7
    robot.refer(robot.cloud(again_ns))
    assert robot.ask(robot.image(again_ns))['metric_valid'] == 'True'
    # And a reference alone harms none.
    robot.good()
    robot.refer(robot.cloud(stamp_ns + 8))
    robot.good()


def hour_ahead() -> int:
    return time.time_ns() + 3600 * SECOND


@faults(Fault('stamps an hour ahead of the clock', ALL, said='s ahead of the clock of this node'))
def test_stamps_ahead_of_the_clock_are_told(robot: Robot, fault: Fault) -> None:
    """Clocks that disagree cost no frame and are said in /diagnostics, with a WARN."""
    rig = robot.rig
    assert rig.set_parameter('max_image_age_s', 1.0)[0]
    # Two seconds back: time went back, and the figures of the frames before are dropped.
    stamps = [hour_ahead() + 2 * SECOND, hour_ahead()]
    with robot.counting(fault):
        for stamp_ns in stamps:
            robot.refer(robot.cloud(stamp_ns))
            robot.ask(robot.image(stamp_ns))
        assert robot.told('latency', fault.said).level == DiagnosticStatus.WARN
        robot.good()
    assert [robot.published(stamp_ns) for stamp_ns in stamps] == [fault.published] * 2
    robot.told('latency', 'behind the clock')
    assert rig.set_parameter('max_image_age_s', 0.0)[0]


@faults(
    Fault('an hour forward', ALL, cause=3600 * SECOND),
    Fault('ten seconds back', ALL, cause=-10 * SECOND),
)
def test_clock_jumps_under_simulated_time(robot: Robot, fault: Fault) -> None:
    """A clock that jumps costs no frame: the first image after it has metres."""
    rig = robot.rig
    clock = rig.peer.create_publisher(Clock, '/clock', 10)
    assert rig.set_parameter('max_image_age_s', 1.0)[0]
    own = rig.node.get_clock()

    def set_clock(now_ns: int) -> None:
        message = Clock(clock=Time(sec=now_ns // SECOND, nanosec=now_ns % SECOND))

        def there() -> bool:
            clock.publish(message)
            return own.now().nanoseconds == now_ns

        rig.until(there)
        robot.now = now_ns - SECOND // 2

    with robot.counting(fault):
        assert rig.set_parameter('use_sim_time', True)[0]
        for now_ns in (robot.now, robot.now + fault.cause):
            set_clock(now_ns)
            # 0.4 and 0.3 s old by that clock.
            robot.good()
            robot.good()
            assert robot.published(robot.now) == fault.published
        age_ms = float(values_of(robot.told('latency', 'ms from stamp'))['age_p50_ms'])
        assert 290.0 < age_ms < 410.0
        assert rig.set_parameter('use_sim_time', False)[0]
    assert rig.set_parameter('max_image_age_s', 0.0)[0]
    rig.peer.destroy_publisher(clock)
