"""Publishes /diagnostics and ~/status, in every lifecycle state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from depth_anything_ros.backends.base import BackendInfo, NetworkOutput
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.processor import process_status
from depth_anything_ros.ros.camera import NodeCamera
from depth_anything_ros.ros.diagnostics import (
    ERROR,
    OK,
    STALE,
    WARN,
    Verdict,
    latency_verdict,
    metric_verdict,
    status_message,
    stream_trouble,
    throughput_verdict,
)
from depth_anything_ros.ros.qos import LATCHED, RECENT, create_publisher

__all__ = ['Reporter', 'Snapshot']


@dataclass(frozen=True)
class Snapshot:
    """What the node is at this moment.

    `failure` is why the last transition or download failed, `progress` how far a download is,
    `degraded` why the network runs at less than was asked for, each '' for nothing.
    """

    state: str
    failure: str
    progress: str
    parameters: Parameters
    backend: BackendInfo | None
    degraded: str
    cameras: Mapping[str, NodeCamera]


class Reporter:
    """Publishes /diagnostics at its period, and ~/status whenever it changes.

    Where cameras have names, each has a status of its own too.
    """

    def __init__(self, node: Node, snapshot: Callable[[], Snapshot]) -> None:
        """Advertise the topics on `node` and start the timer."""
        self._node = node
        self._snapshot = snapshot
        self._last: dict[str, Verdict] = {}
        self._problems: dict[str, str] = {}
        self._logged: tuple[str, ...] = ()
        self._statuses = {
            name: create_publisher(
                node, DiagnosticStatus, f'~/{name}/status' if name else '~/status', LATCHED
            )
            for name in ('', *filter(None, snapshot().cameras))
        }
        self._diagnostics = create_publisher(node, DiagnosticArray, '/diagnostics', RECENT)
        # Steady time: a paused bag must not silence the node.
        node.create_timer(
            snapshot().parameters.diagnostics.period_s,
            self.report,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def report_status(self) -> None:
        """Publish ~/status if it changed, by what the graph showed at the last report."""
        self._report_status(self._snapshot())

    def report(self) -> None:
        """Publish how things stand now."""
        now = self._snapshot()
        active = now.state == 'active'
        self._problems = {
            name: camera.problem() if active else '' for name, camera in now.cameras.items()
        }
        self._report_status(now)
        verdicts = {'model': _model_verdict(now)}
        for name, camera in now.cameras.items():
            prefix = f'{name} ' if name else ''
            for part, verdict in self._stream_verdicts(now, camera, self._problems[name]).items():
                verdicts[prefix + part] = verdict
        array = DiagnosticArray(
            status=[
                status_message(f'{self._name}: {part}', _hardware_id(now), verdict)
                for part, verdict in verdicts.items()
            ]
        )
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _stream_verdicts(
        self, now: Snapshot, camera: NodeCamera, problem: str
    ) -> dict[str, Verdict]:
        if now.state != 'active':
            silent = Verdict(STALE, f'the node is {now.state}')
            return dict.fromkeys(('throughput', 'latency', 'alignment'), silent)
        limits = camera.parameters.diagnostics
        return {
            'throughput': throughput_verdict(
                camera.telemetry, limits, camera.image_topic(), problem
            ),
            'latency': latency_verdict(camera.telemetry, limits),
            'alignment': _metric_verdict(now, camera),
        }

    def _report_status(self, now: Snapshot) -> None:
        verdicts = {
            name: _status_verdict(now, camera, self._problems.get(name, ''))
            for name, camera in now.cameras.items()
        }
        if '' not in verdicts:
            verdicts[''] = _joint_verdict(verdicts)
        for name, verdict in verdicts.items():
            if verdict != self._last.get(name):
                self._last[name] = verdict
                part = f'{name} status' if name else 'status'
                self._statuses[name].publish(
                    status_message(f'{self._name}: {part}', _hardware_id(now), verdict)
                )
        if now.state == 'active':
            self._log(verdicts[''])

    def _log(self, verdict: Verdict) -> None:
        """Write trouble to the log once, and that it is over: a terminal shows no topics."""
        codes = () if verdict.level == OK else verdict.codes
        if codes == self._logged:
            return
        self._logged = codes
        if codes:
            self._node.get_logger().warning(verdict.message)
        else:
            self._node.get_logger().info(verdict.message)

    @property
    def _name(self) -> str:
        return str(self._node.get_fully_qualified_name())


def _hardware_id(now: Snapshot) -> str:
    return now.backend.device if now.backend else now.parameters.device


def _joint_verdict(cameras: Mapping[str, Verdict]) -> Verdict:
    """Sum up the status of every camera."""
    verdicts = [*cameras.values()]
    if len({verdict.message for verdict in verdicts}) == 1:
        message = verdicts[0].message
    else:
        message = '; '.join(f'{name}: {verdict.message}' for name, verdict in cameras.items())
    values = {
        'state': verdicts[0].values['state'],
        'idle': all(verdict.values['idle'] for verdict in verdicts),
        'degraded': verdicts[0].values['degraded'],
    }
    codes = tuple(f'{name}: {code}' for name, verdict in cameras.items() for code in verdict.codes)
    return Verdict(max(verdict.level for verdict in verdicts), message, values, codes)


def _status_verdict(now: Snapshot, camera: NodeCamera, problem: str) -> Verdict:
    idle = now.state == 'active' and not camera.outputs.wanted()
    metric = _metric_verdict(now, camera)
    values: dict[str, object] = {
        'state': now.state,
        'idle': idle,
        'degraded': bool(now.degraded),
        'metric_valid': metric.values['metric_valid'] and now.state == 'active' and not idle,
        'metric_source': metric.values['metric_source'],
        'metric_reason': metric.values['metric_reason'],
        'camera_info': camera.camera_info_problem() or 'ok',
    }
    if now.failure:
        return Verdict(ERROR, now.failure, values)
    if now.progress:
        return Verdict(OK, now.progress, values)
    if now.state != 'active':
        return Verdict(OK, f'{now.state}: no depth before configure and activate', values)
    topic, limits = camera.image_topic(), camera.parameters.diagnostics
    trouble = stream_trouble(camera.telemetry, limits, topic, problem)
    warnings = {trouble.code: trouble.text}
    if now.backend is not None and now.backend.weights.random:
        warnings['random weights'] = 'random weights: the output means nothing'
    warnings['degraded' if now.degraded else ''] = now.degraded
    if metric.level == WARN and not idle:
        warnings[f'metric: {metric.codes}'] = metric.message
    if values['metric_valid'] and values['camera_info'] != 'ok':
        warnings['camera_info'] = f'camera_info: {values["camera_info"]}'
    found = {code: text for code, text in warnings.items() if text}
    if found:
        level = max(trouble.level, WARN)
        return Verdict(level, '; '.join(found.values()), values, tuple(found))
    if idle:
        return Verdict(OK, 'idle: nobody subscribes to an output', values)
    return Verdict(OK, metric.message if values['metric_valid'] else 'relative depth', values)


def _metric_verdict(now: Snapshot, camera: NodeCamera) -> Verdict:
    by_training = now.backend is not None and now.backend.output is NetworkOutput.METRES
    needed = camera.outputs.metric_wanted() and not by_training
    problem = camera.reference.problem(needed)
    limits = camera.parameters.diagnostics
    return metric_verdict(camera.telemetry, limits, camera.messages.kind, problem)


def _model_verdict(now: Snapshot) -> Verdict:
    values: dict[str, object] = {
        'variant': now.parameters.variant,
        'checkpoint': now.parameters.checkpoint,
        'memory_mb': process_status().get('VmRSS', math.nan) / 1024,
    }
    if now.backend is None:
        level = ERROR if now.failure and not now.progress else STALE
        return Verdict(level, now.progress or now.failure or f'the node is {now.state}', values)
    values |= {
        'weights_sha256': now.backend.weights.sha256,
        'backend': now.backend.name,
        'device': now.backend.device,
        'precision': now.backend.precision,
        'input_size': now.backend.input_size,
    }
    troubles = [now.degraded, *now.backend.notices]
    if not now.backend.weights.known:
        troubles.append(now.backend.weights.notices()[0])
    if any(troubles):
        return Verdict(WARN, '; '.join(filter(None, troubles)), values)
    return Verdict(OK, f'{now.backend.variant} on {now.backend.device}', values)
