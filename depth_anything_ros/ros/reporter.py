"""Publishes /diagnostics and ~/status, in every lifecycle state."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from depth_anything_ros.ros.diagnostics import (
    Snapshot,
    Verdict,
    camera_verdicts,
    joint_status,
    model_verdict,
    status_message,
    status_verdict,
)
from depth_anything_ros.ros.qos import LATCHED, RECENT, create_publisher, name_problem

__all__ = ['TWINS_AFTER_S', 'Reporter']

TWINS_AFTER_S = 25.0
"""How long another node of the same name is there before that is told."""


_MOST_LINES, _LINES_WITHIN_S = 6, 30.0


class Reporter:
    """Publishes /diagnostics at its period, and ~/status whenever it changes.

    Where cameras have names, each has a status of its own too.
    """

    def __init__(self, node: Node, snapshot: Callable[[], Snapshot]) -> None:
        """Advertise the topics on `node` and start the timer."""
        self._node = node
        self._name = node.get_fully_qualified_name()
        self._snapshot = snapshot
        self._last: dict[str, Verdict] = {}
        self._problems: dict[str, str] = {}
        self._logged = self._twins = ''
        self._logged_s: deque[float] = deque(maxlen=_MOST_LINES)
        self._alone_s = time.monotonic()
        now = snapshot()
        self._statuses = {
            name: create_publisher(
                node, DiagnosticStatus, f'~/{name}/status' if name else '~/status', LATCHED
            )
            for name in ('', *filter(None, now.cameras))
        }
        self._diagnostics = create_publisher(node, DiagnosticArray, '/diagnostics', RECENT)
        # Steady time: a paused bag must not silence the node.
        node.create_timer(
            now.parameters.diagnostics.period_s,
            self.report,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def report_status(self) -> None:
        """Publish ~/status if it changed, by what the graph showed at the last report."""
        self._report_status(replace(self._snapshot(), twins=self._twins))

    def report(self) -> None:
        """Publish how things stand now."""
        self._twins = self._lasting(name_problem(self._node))
        now = replace(self._snapshot(), twins=self._twins)
        active = now.state == 'active'
        self._problems = {
            name: camera.problem() if active else '' for name, camera in now.cameras.items()
        }
        self._report_status(now)
        verdicts = {'model': model_verdict(now)}
        for name, camera in now.cameras.items():
            for part, verdict in camera_verdicts(now, camera, self._problems[name]).items():
                verdicts[f'{name} {part}'.lstrip()] = verdict
        array = DiagnosticArray(
            status=[
                status_message(f'{self._name}: {part}', now.hardware_id, verdict)
                for part, verdict in verdicts.items()
            ]
        )
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _lasting(self, twins: str) -> str:
        """Return `twins` once it lasts: DDS lists a node that was killed for 20 s."""
        now_s = time.monotonic()
        if not twins:
            self._alone_s = now_s
        return twins if now_s - self._alone_s > TWINS_AFTER_S else ''

    def _report_status(self, now: Snapshot) -> None:
        verdicts = {
            name: status_verdict(now, camera, self._problems.get(name, ''))
            for name, camera in now.cameras.items()
        }
        if '' not in verdicts:
            verdicts[''] = joint_status(verdicts)
        for name, verdict in verdicts.items():
            if verdict != self._last.get(name):
                self._last[name] = verdict
                part = f'{name} status'.lstrip()
                self._statuses[name].publish(
                    status_message(f'{self._name}: {part}', now.hardware_id, verdict)
                )
        if now.state == 'active':
            self._log(verdicts[''])

    def _log(self, verdict: Verdict) -> None:
        """Log what is wrong once, and that it is over: a terminal shows no topics.

        What comes and goes with every frame is told by a later report.
        """
        now_s, full = time.monotonic(), len(self._logged_s) == _MOST_LINES
        if verdict.code == self._logged or (full and now_s - self._logged_s[0] < _LINES_WITHIN_S):
            return
        self._logged_s.append(now_s)
        self._logged = verdict.code
        logger = self._node.get_logger()
        if verdict.code:
            logger.warning(verdict.message)
        else:
            logger.info(verdict.message)
