"""What /diagnostics and ~/status say, from the state of the node and of its cameras."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from depth_anything_ros.backends.base import BackendInfo
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.processor import process_status
from depth_anything_ros.messages.outputs import key_values
from depth_anything_ros.metric.scale import Scale
from depth_anything_ros.ros.camera import NodeCamera
from depth_anything_ros.ros.qos import OTHERS
from depth_anything_ros.ros.telemetry import Outcome, clock_problem

__all__ = [
    'Snapshot',
    'Verdict',
    'camera_verdicts',
    'joint_status',
    'model_verdict',
    'status_message',
    'status_verdict',
]

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)

_SILENT = 'the publisher is silent'
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
class Snapshot:
    """What the node is at this moment.

    `failure` is why the last transition or download failed, `progress` how far a download is,
    `degraded` why the network runs at less than was asked for, `stuck` what the worker has been
    doing for long, `twins` that there are more nodes of this name, each '' for nothing.
    """

    state: str
    failure: str
    progress: str
    parameters: Parameters
    backend: BackendInfo | None
    degraded: str
    cameras: Mapping[str, NodeCamera]
    stuck: str = ''
    twins: str = ''

    @property
    def hardware_id(self) -> str:
        """The device that the network runs on, or is to run on."""
        return self.backend.device if self.backend else self.parameters.device


@dataclass(frozen=True)
class Verdict:
    """One status before it becomes a message; `level` is that of DiagnosticStatus.

    `code` says what is wrong without figures: it is the same for as long as the same is wrong.
    """

    level: bytes
    message: str
    values: Mapping[str, object] = field(default_factory=dict)
    code: str = ''


def status_message(name: str, hardware_id: str, verdict: Verdict) -> DiagnosticStatus:
    """Build the message of one verdict; figures are rounded, NaN is left empty."""
    return DiagnosticStatus(
        level=verdict.level,
        name=name,
        hardware_id=hardware_id,
        message=verdict.message,
        values=key_values(verdict.values, KeyValue),
    )


def model_verdict(now: Snapshot) -> Verdict:
    """Return what runs, and whether it is what was asked for."""
    values: dict[str, object] = {
        'variant': now.backend.variant if now.backend else now.parameters.variant,
        'checkpoint': now.backend.weights.card.kind if now.backend else now.parameters.checkpoint,
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
    troubles.append(now.backend.weights.doubt)
    if any(troubles):
        return Verdict(WARN, '; '.join(filter(None, troubles)), values)
    return Verdict(OK, f'{now.backend.variant} on {now.backend.device}', values)


def camera_verdicts(now: Snapshot, camera: NodeCamera, problem: str) -> dict[str, Verdict]:
    """Return what /diagnostics says of a camera, by part.

    `problem` is what the graph shows to be wrong with its topics, '' for nothing.
    """
    if now.state != 'active':
        silent = Verdict(STALE, f'the node is {now.state}')
        return dict.fromkeys(('throughput', 'latency', 'alignment'), silent)
    return {
        'throughput': _throughput_verdict(camera, problem),
        'latency': _latency_verdict(camera),
        'alignment': _metric_verdict(now, camera),
    }


def status_verdict(now: Snapshot, camera: NodeCamera, problem: str) -> Verdict:
    """Return the ~/status of a camera; `problem` as for `camera_verdicts`."""
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
        text = f'{now.state}: no depth before configure and activate'
        return Verdict(WARN if now.twins else OK, now.twins or text, values, now.twins)
    trouble = _stream_trouble(camera, problem)
    warnings = {now.twins: now.twins, 'stuck': now.stuck, trouble.code: trouble.message}
    if now.backend is not None and now.backend.weights.random:
        warnings['random weights'] = 'random weights: the output means nothing'
    warnings['degraded'] = now.degraded
    # What is known of images is old where none come, or none can be used.
    health = '' if idle or trouble.message else camera.health.problem()
    warnings[health] = health
    if metric.level == WARN and not idle:
        warnings[f'metric: {metric.code}'] = metric.message
    info = str(values['camera_info'])
    if values['metric_valid'] and info != 'ok' and info not in metric.message:
        warnings['camera_info'] = f'camera_info: {info}'
    found = {code: text for code, text in warnings.items() if text}
    if found:
        level = max(trouble.level, WARN)
        return Verdict(level, '; '.join(found.values()), values, '; '.join(found))
    if idle:
        return Verdict(OK, 'idle: nobody subscribes to an output', values)
    return Verdict(OK, metric.message if values['metric_valid'] else 'relative depth', values)


def joint_status(cameras: Mapping[str, Verdict]) -> Verdict:
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
    code = '; '.join(f'{name}: {each.code}' for name, each in cameras.items() if each.code)
    return Verdict(max(verdict.level for verdict in verdicts), message, values, code)


def _kind_of(problem: str) -> str:
    """Return what stays the same for as long as a problem does."""
    return problem.partition(OTHERS)[0]


def _stream_trouble(camera: NodeCamera, problem: str) -> Verdict:
    """Return why no images come in or no frames go out; without a message if they do."""
    telemetry, topic = camera.telemetry, camera.image_topic()
    if camera.is_silent():
        why = problem or _SILENT
        return Verdict(WARN, f'no image on {topic}: {why}', code=_kind_of(why))
    if problem:
        return Verdict(WARN, problem, code=_kind_of(problem))
    if telemetry.output_hz() > 0.0:
        return Verdict(OK, '')
    if telemetry.every_image_refused():
        reason, text = telemetry.last_invalid
        return Verdict(ERROR, f'every image is refused: {text}', code=f'refused: {reason}')
    if telemetry.last_outcome is Outcome.TOO_OLD:
        text = f'every image on {topic} is older than max_image_age_s'
        return Verdict(WARN, text, code='too old')
    return Verdict(OK, '')


def _throughput_verdict(camera: NodeCamera, problem: str) -> Verdict:
    telemetry, limits = camera.telemetry, camera.parameters.diagnostics
    values = telemetry.throughput() | {
        f'unhealthy_{cause}': count for cause, count in sorted(camera.health.counts.items())
    }
    if camera.is_silent():
        why = f'{telemetry.silent_s():.1f} s on {camera.image_topic()}: {problem or _SILENT}'
        return Verdict(WARN, f'no image for {why}', values)
    trouble = _stream_trouble(camera, problem)
    if trouble.message:
        return replace(trouble, values=values)
    in_hz, out_hz = values['input_hz'], values['output_hz']
    if telemetry.last_outcome is Outcome.IDLE:
        return Verdict(OK, f'{in_hz:.1f} Hz in, nothing asked for', values)
    rates = f'{in_hz:.1f} Hz in, {out_hz:.1f} Hz out'
    if out_hz < min(limits.min_output_hz, in_hz):
        fix = 'lower input_size, take a smaller variant, or set overload.policy'
        return Verdict(WARN, f'{rates}: under diagnostics.min_output_hz, {fix}', values)
    return Verdict(OK, rates, values)


def _latency_verdict(camera: NodeCamera) -> Verdict:
    """Return how long a frame takes, and whether the stamps can be believed."""
    values = camera.telemetry.latency()
    median_ms = values['latency_p50_ms']
    if math.isnan(median_ms):
        return Verdict(OK, 'no frame yet', values)
    offset_s = camera.telemetry.clock_offset_s()
    if problem := clock_problem(offset_s, camera.telemetry.newest_ns):
        return Verdict(WARN, problem, values)
    message = f'{median_ms:.0f} ms from receipt, {values["age_p50_ms"]:.0f} ms from stamp'
    if median_ms > camera.parameters.diagnostics.max_latency_s * 1e3:
        fix = 'lower input_size or take a smaller variant'
        return Verdict(WARN, f'{message}: over diagnostics.max_latency_s, {fix}', values)
    return Verdict(OK, message, values)


def _metric_verdict(now: Snapshot, camera: NodeCamera) -> Verdict:
    """Return whether there are metres, by the frame published last."""
    telemetry, kind = camera.telemetry, camera.messages.kind
    by_training = now.backend is not None and now.backend.output.metric
    problem = camera.reference.problem(camera.outputs.metric_wanted() and not by_training)
    scale = telemetry.scale
    values = scale.values() | telemetry.unscaled()
    if telemetry.last_outcome is not Outcome.PUBLISHED:
        values |= _without_image(scale)
        level = WARN if problem else OK
        return Verdict(level, problem or 'no frame published', values, _kind_of(problem))
    if camera.is_silent():
        return Verdict(STALE, 'no image to align', values | _without_image(scale))
    why, code = problem or scale.message, _kind_of(problem) or scale.reason
    if not scale.valid:
        asked = (kind or by_training) and scale.reason != 'no_subscriber'
        level = WARN if asked or problem else OK
        return Verdict(level, f'no metric depth: {why}', values, code)
    if scale.reason and (kind or problem):
        kept = 'held' if scale.source == 'reference' else 'by its training alone'
        return Verdict(WARN, f'metric depth {kept}: {why}', values, f'held: {code}')
    by = 'its training' if scale.source == 'checkpoint' else kind.value if kind else ''
    warning = scale.alignment.warning if scale.alignment else ''
    missing = telemetry.missing
    lost = [f'no {name}: {error}' for name, error in missing.items()]
    if text := '; '.join(filter(None, [_WARNINGS.get(warning, warning), *lost])):
        code = ' '.join([warning, *(error.reason for error in missing.values())])
        return Verdict(WARN, f'metric depth by {by}: {text}', values, code)
    return Verdict(OK, f'metric depth by {by}', values)


def _without_image(scale: Scale) -> dict[str, object]:
    reason = scale.reason or 'no_image'
    return {'metric_valid': False, 'metric_source': '', 'metric_reason': reason}
