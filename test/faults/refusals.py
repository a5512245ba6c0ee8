"""Messages that are spoilt, and images that are not answered for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rig import values_of

from faults import NOTHING, Fault
from faults.robot import Robot


def changed(**values: Any) -> Callable[[Any], None]:
    """Return a cause that sets these fields of a message."""

    def change(message: Any) -> None:
        for name, value in values.items():
            setattr(message, name, value)

    return change


def cut(message: Any) -> None:
    message.data = message.data[: len(message.data) // 2]


def refused(name: str, reason: str, said: str, cause: Any) -> Fault:
    """A fault for which an image is not answered."""
    return Fault(name, NOTHING, (f'dropped_invalid_{reason}',), said, cause=cause)


def check_refused(robot: Robot, fault: Fault, spoil: Callable[[Any], None]) -> None:
    robot.good()
    stamps = [robot.tick(), robot.tick()]
    with robot.counting(fault, len(stamps)):
        for stamp_ns in stamps:
            message = robot.image(stamp_ns)
            spoil(message)
            robot.lose(message)
    # A jump back, as before each of these, starts the output's rate anew: nothing else comes out.
    status = robot.says(fault)
    assert status.level == DiagnosticStatus.ERROR
    assert status.message.startswith('every image is refused: ')
    assert values_of(status)['metric_valid'] == 'False'
    assert robot.told('throughput', fault.said).level == DiagnosticStatus.ERROR
    robot.good()
    assert [robot.published(stamp_ns) for stamp_ns in stamps] == [fault.published] * 2
