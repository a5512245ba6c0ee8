"""The statuses of /diagnostics on a stream of images, from plain figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from depth_anything_ros.core.parameters import DiagnosticsParameters
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.messages.outputs import key_values
from depth_anything_ros.metric.scale import Scale
from depth_anything_ros.ros.telemetry import CLOCKS_DISAGREE_S, Outcome, Telemetry

__all__ = [
    'Trouble',
    'Verdict',
    'latency_verdict',
    'metric_verdict',
    'status_message',
    'stream_trouble',
    'throughput_verdict',
]

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)

_WARNINGS = {
    'few_inliers': 'half of the reference may be wrong: check extrinsics, stamps and reflections',
    'rejected_region': 'a whole region of the reference does not fit: check extrinsics, and for '
    'glass and mirrors',
    'unlikely_shift': 'the fit needs an unlikely shift: the far end may be wrong',
    'rough_fit': 'reference and network agree only roughly: check extrinsics and stamps',
    'polarity_assumed': 'all reference samples lie at one depth, and alignment.trust_polarity '
    'takes the depth ordering on trust',
}


@dataclass(frozen=True)
class Verdict:
    """One status before it becomes a message; `level` is that of DiagnosticStatus."""

    level: bytes
    message: str
    values: Mapping[str, object] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    """What is wrong, without figures: the same for as long as the same is wrong."""


def status_message(name: str, hardware_id: str, verdict: Verdict) -> DiagnosticStatus:
    """Build the message of one verdict; figures are rounded, NaN is left empty."""
    return DiagnosticStatus(
        level=verdict.level,
        name=name,
        hardware_id=hardware_id,
        message=verdict.message,
        values=key_values(verdict.values, KeyValue),
    )


@dataclass(frozen=True)
class Trouble:
    """What keeps a stream of images from flowing; `text` is '' for nothing.

    `code` is the same for as long as the same is wrong. `silent`: no image comes in.
    """

    level: bytes = OK
    code: str = ''
    text: str = ''
    silent: bool = False


def stream_trouble(
    telemetry: Telemetry, limits: DiagnosticsParameters, topic: str, problem: str
) -> Trouble:
    """Return whether images come in on `topic` and frames go out, and why not.

    `problem` says what the graph shows to be wrong with the topics, '' for nothing.
    """
    if telemetry.silent_s() > limits.stale_after_s:
        why = problem or 'the publisher is silent'
        return Trouble(WARN, f'no image: {why}', f'no image on {topic}: {why}', silent=True)
    if problem:
        return Trouble(WARN, problem, problem)
    if telemetry.throughput()['output_hz'] > 0.0:
        return Trouble()
    if telemetry.every_image_refused():
        reason, text = telemetry.last_invalid
        return Trouble(ERROR, f'refused: {reason}', f'every image is refused: {text}')
    if telemetry.last_outcome is Outcome.TOO_OLD:
        text = f'every image on {topic} is older than max_image_age_s'
        return Trouble(WARN, 'too old', text)
    return Trouble()


def throughput_verdict(
    telemetry: Telemetry, limits: DiagnosticsParameters, topic: str, problem: str
) -> Verdict:
    """Return the rates, and what `stream_trouble` says."""
    values = telemetry.throughput()
    trouble = stream_trouble(telemetry, limits, topic, problem)
    if trouble.silent:
        why = problem or 'the publisher is silent'
        text = f'no image for {telemetry.silent_s():.1f} s on {topic}: {why}'
        return Verdict(trouble.level, text, values)
    if trouble.text:
        return Verdict(trouble.level, trouble.text, values)
    in_hz, out_hz = values['input_hz'], values['output_hz']
    if telemetry.last_outcome is Outcome.IDLE:
        return Verdict(OK, f'{in_hz:.1f} Hz in, nothing asked for', values)
    rates = f'{in_hz:.1f} Hz in, {out_hz:.1f} Hz out'
    if out_hz < min(limits.min_output_hz, in_hz):
        fix = 'lower input_size, take a smaller variant, or set overload.policy'
        return Verdict(WARN, f'{rates}: under diagnostics.min_output_hz, {fix}', values)
    return Verdict(OK, rates, values)


def metric_verdict(
    telemetry: Telemetry, limits: DiagnosticsParameters, kind: ReferenceKind | None, problem: str
) -> Verdict:
    """Return whether there are metres, by the frame published last.

    `problem` says why messages of the reference cannot arrive, '' for nothing known.
    """
    scale = telemetry.scale
    values = scale.values() | telemetry.unscaled()
    if telemetry.last_outcome is not Outcome.PUBLISHED:
        values |= _without_image(scale)
        level = WARN if problem else OK
        return Verdict(level, problem or 'no frame published', values, (problem,))
    if telemetry.silent_s() > limits.stale_after_s:
        values |= _without_image(scale)
        return Verdict(STALE, 'no image to align', values)
    why = problem or scale.message
    codes: tuple[str, ...] = (problem or scale.reason,)
    by = 'its training' if scale.source == 'checkpoint' else kind.value if kind else ''
    if not scale.valid:
        level = WARN if kind or problem else OK
        return Verdict(level, f'no metric depth: {why}', values, codes)
    if scale.reason and (kind or problem):
        kept = 'held' if scale.source == 'reference' else 'by its training alone'
        return Verdict(WARN, f'metric depth {kept}: {why}', values, ('held', *codes))
    warning = scale.alignment.warning if scale.alignment else ''
    missing = telemetry.missing
    troubles = [_WARNINGS.get(warning, warning), *map(str, missing.values())]
    if any(troubles):
        text = '; '.join(filter(None, troubles))
        codes = (warning, *(error.reason for error in missing.values()))
        return Verdict(WARN, f'metric depth by {by}: {text}', values, codes)
    return Verdict(OK, f'metric depth by {by}', values)


def _without_image(scale: Scale) -> dict[str, object]:
    reason = scale.reason or 'no_image'
    return {'metric_valid': False, 'metric_source': '', 'metric_reason': reason}


def latency_verdict(telemetry: Telemetry, limits: DiagnosticsParameters) -> Verdict:
    """Return how long a frame takes, and whether the stamps can be believed."""
    values = telemetry.latency()
    median_ms = values['latency_p50_ms']
    if math.isnan(median_ms):
        return Verdict(OK, 'no frame yet', values)
    offset_s = telemetry.clock_offset_s()
    if abs(offset_s) > CLOCKS_DISAGREE_S:
        side = 'behind' if offset_s > 0 else 'ahead of'
        return Verdict(
            WARN,
            f'image stamps are {abs(offset_s):.0f} s {side} the clock of this node: for a bag '
            'play /clock and set use_sim_time, else synchronise the clocks',
            values,
        )
    message = f'{median_ms:.0f} ms from receipt, {values["age_p50_ms"]:.0f} ms from stamp'
    if median_ms > limits.max_latency_s * 1e3:
        fix = 'lower input_size or take a smaller variant'
        return Verdict(WARN, f'{message}: over diagnostics.max_latency_s, {fix}', values)
    return Verdict(OK, message, values)
