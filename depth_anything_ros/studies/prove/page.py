"""What a bag proved as a page: the answer first, then each reference in detail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.reports import report
from depth_anything_ros.studies.machine import machine_line
from depth_anything_ros.studies.prove.figures import SIGMAS, Proof, ProofLimits
from depth_anything_ros.studies.prove.judged import Judged
from depth_anything_ros.studies.prove.run import Result

__all__ = ['report_of']

# Of a normal distribution, within SIGMAS.
_NORMAL = (0.383, 0.683, 0.866, 0.954, 0.988, 0.997)
_JUDGED = (
    *('bag', 'reference', 'judge', 'published', 'abs_rel', 'bias', 'delta1', 'within_1_sigma'),
    *('within_2_sigma', 'outliers', 'trust_m'),
)
_REPLAYED = (
    *('bag', 'reference', 'flicker', 'scale_jitter_percent', 'tae_percent', 'ms_p50', 'ms_p95'),
    'period_ms',
)
_SHORT = {'within_1_sigma': '1 sigma', 'within_2_sigma': '2 sigma', 'published': 'metres'}
_MEANING = (
    'judge: held out = samples of the reference in every fifth block of the image, kept from the '
    'alignment, in other blocks from frame to frame; a topic = all samples of that sensor. '
    'metres: share of the images with metric depth. abs_rel: mean of |error| / distance without '
    'the noise of the judge. bias: median of found / measured depth, less 1. 1 and 2 sigma: share '
    'of errors below, 0.68 and 0.95 if sigma is right. outliers: share of the samples that stand '
    'alone among their own sensor; they judge nothing. A sensor judges where it sees, and knows '
    'no error that it has itself, such as a wrong mounting: that shows by a second one.'
)
_CHANGE = (
    'flicker: median |ln ratio| between frames after the best affine map, where pixels hardly '
    'move. scale jitter: standard deviation of ln(scale / scale before). TAE: mean |error| / '
    'depth of depth warped into the next frame by odometry, both ways. ms: of an image on this '
    'machine, from message to sigma. Where it is longer than the period, images are dropped.'
)
_WORST = (
    'red where depth is too large by 20 % or more, blue where it is too small by as much, white '
    'where it is right; beside it relative depth, red near'
)
_WIDTH_PX, _FULL = 480, 0.2


def report_of(
    results: Sequence[Result], failed: Sequence[str], limits: ProofLimits, command: str
) -> report.Report:
    """Return the page; `failed` are lines on limits that were not kept and what was left out."""
    rows = [proof for result in results for proof in result.proofs]
    answer: list[report.Block] = [report.Text(line, is_warning=True) for line in failed]
    trust = (
        f'trust_m: the greatest distance at which, and up to which, {limits.trust_share:.0%} of '
        f'the samples are within {limits.trust_error:.0%}'
    )
    answer = [*(answer or [report.Text('Every limit is kept.')]), _table(rows, _JUDGED, trust)]
    change = _table([result.proofs[0] for result in results], _REPLAYED)
    steps = [(f'{x.proofs[0].bag}: {x.proofs[0].reference}', _detail(x)) for x in results]
    networks = ', '.join(dict.fromkeys(row.network for row in rows))
    return report.Report(
        'Metric depth on your own bag',
        command,
        {'machine': machine_line(), 'network': networks},
        [
            report.Section('By each reference', [*answer, report.Text(_MEANING)]),
            report.Section('From frame to frame, and speed', [change, report.Text(_CHANGE)]),
            report.Section('In detail', [report.Steps(steps)]),
        ],
    )


def _table(rows: Sequence[Proof], names: Sequence[str], caption: str = '') -> report.Table:
    lines = [[getattr(row, name) for name in names] for row in rows]
    return report.Table([[_SHORT.get(name, name) for name in names], *lines], caption)


def _detail(result: Result) -> list[report.Block]:
    first, rows = result.proofs[0], result.frames
    times = [row.time_s for row in rows]
    by_distance, right, over = [], [_line('if sigma is right', SIGMAS, _NORMAL)], []
    for each in result.proofs:
        middle = [0.5 * (one['near_m'] + one['far_m']) for one in each.bins]
        for name in ('abs_rel', 'sigma'):
            values = [one[name] for one in each.bins]
            by_distance.append(_line(f'{name}, {each.judge}', middle, values))
        right.append(_line(each.judge, SIGMAS, each.within_sigma))
        seen = [row.abs_rel.get(each.judge, math.nan) for row in rows]
        over.append(_line(each.judge, times, seen))
    without = [row for row in rows if row.reason]
    marks = _line('no metric depth', [row.time_s for row in without], [0.0] * len(without))
    over.append({**marks, 'mode': 'markers', 'text': [row.reason for row in without]})
    change = [_line(x, times, [getattr(row, x) for row in rows]) for x in ('flicker', 'tae')]
    bins = {
        f'{each.judge}, {one["near_m"]:g} m': one for each in result.proofs for one in each.bins
    }
    name = f'{first.bag}{first.reference}'.replace(' ', '-').replace('/', '-')
    blocks: list[report.Block] = [
        report.Table([('images without metric depth, why', 'images'), *first.refused.items()]),
        _graph(by_distance, 'distance, m', 'error and sigma / distance'),
        _graph(right, 'sigmas', 'share of errors below'),
        _graph(over, 'time, s', 'error / distance, with the noise of the judge'),
        _graph(change, 'time, s', 'change against the image before'),
        *([report.Table.of(bins)] if bins else []),
    ]
    for frame, judged in result.worst:
        text = f'error {judged.abs_rel:.3f} at {frame.stamp_ns * 1e-9:.3f} s; {_WORST}'
        shown = _picture(frame, judged), f'worst/{name}-{frame.stamp_ns}'
        blocks.append(report.Picture(*shown, text))
    return blocks


def _line(name: str, x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    # Plotly breaks a line at None; NaN is no JSON.
    values = [float(f'{value:.4g}') if math.isfinite(value) else None for value in y]
    mode = 'lines+markers'
    return {'type': 'scatter', 'mode': mode, 'name': name, 'x': list(x), 'y': values}


def _graph(lines: Sequence[dict[str, Any]], x: str, y: str) -> report.Graph:
    axes = {
        'xaxis': {'title': {'text': x}},
        'yaxis': {'title': {'text': y}, 'rangemode': 'tozero'},
    }
    return report.Graph({'data': lines, 'layout': {'height': 340, 'margin': {'t': 20}, **axes}})


def _picture(frame: Frame, judged: Judged) -> BgrImage:
    """Return the image with the errors beside its depth, uint8 (h, 960, 3) BGR."""
    assert frame.depth_m is not None
    height, width = frame.depth_m.shape
    size = _WIDTH_PX, max(1, round(_WIDTH_PX * height / width))
    left = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
    errors = np.clip(np.log(judged.depth_m / judged.true_m) / _FULL, -1.0, 1.0)
    places = (judged.pixels * (_WIDTH_PX / width)).astype(int)
    for place, error in zip(places.tolist(), errors.tolist(), strict=True):
        fade = 255 * (1.0 - abs(error))
        cv2.circle(left, place, 2, (fade, fade, 255) if error > 0 else (255, fade, fade), -1)
    return np.concatenate([left, cv2.resize(frame.color(), size)], axis=1)
