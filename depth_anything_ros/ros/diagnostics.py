"""The verdicts of /diagnostics on a stream of images, from plain figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from depth_anything_ros.core.parameters import DiagnosticsParameters
from depth_anything_ros.core.telemetry import Telemetry

__all__ = ['Verdict', 'latency_verdict', 'status_message', 'throughput_verdict']

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)


@dataclass(frozen=True)
class Verdict:
    """One status before it becomes a message; `level` is that of DiagnosticStatus."""

    level: bytes
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


def status_message(name: str, hardware_id: str, verdict: Verdict) -> DiagnosticStatus:
    """Build the message of one verdict; figures are rounded, NaN is left empty."""
    return DiagnosticStatus(
        level=verdict.level,
        name=name,
        hardware_id=hardware_id,
        message=verdict.message,
        values=[KeyValue(key=key, value=_text(value)) for key, value in verdict.values.items()],
    )


def throughput_verdict(
    telemetry: Telemetry, limits: DiagnosticsParameters, topic: str, problem: str
) -> Verdict:
    """Judge whether images come in on `topic` and answers go out.

    `problem` says what the graph shows to be wrong with the topics, '' for nothing.
    """
    values = telemetry.throughput()
    silent_s = telemetry.silent_s()
    reason = f': {problem}' if problem else ''
    if silent_s is None:
        return Verdict(WARN, f'no image yet on {topic}{reason}', values)
    if silent_s > limits.stale_after_s:
        return Verdict(WARN, f'no image for {silent_s:.1f} s on {topic}{reason}', values)
    if problem:
        return Verdict(WARN, problem, values)
    if values['output_hz'] == 0.0 and telemetry.last_invalid:
        return Verdict(ERROR, f'every image is refused: {telemetry.last_invalid}', values)
    if values['frames_out'] == 0:
        return Verdict(OK, f'{values["input_hz"]:.1f} Hz in, nothing asked for', values)
    return Verdict(OK, f'{values["input_hz"]:.1f} Hz in, {values["output_hz"]:.1f} Hz out', values)


def latency_verdict(telemetry: Telemetry, limits: DiagnosticsParameters) -> Verdict:
    """Judge how long an answer takes, and whether the stamps can be believed."""
    values = telemetry.latency()
    median_ms = values['latency_p50_ms']
    if math.isnan(median_ms):
        return Verdict(OK, 'no frame yet', values)
    if telemetry.clocks_disagree():
        return Verdict(
            WARN,
            f'image stamps are {values["age_p50_ms"] / 1e3:.1f} s behind the clock of this node: '
            'set use_sim_time for a bag, or synchronise the clocks',
            values,
        )
    message = f'{median_ms:.0f} ms from receipt, {values["age_p50_ms"]:.0f} ms from stamp'
    if median_ms > limits.max_latency_s * 1e3:
        mend = 'lower input_size or take a smaller variant'
        return Verdict(WARN, f'{message}: over diagnostics.max_latency_s, {mend}', values)
    return Verdict(OK, message, values)


def _text(value: object) -> str:
    if isinstance(value, float):
        return '' if math.isnan(value) else f'{value:.6g}'
    return str(value)
