"""What a bag proved as a page: the answer first, then each reference in detail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.reports import report
from depth_anything_ros.studies.machine import machine_line
from depth_anything_ros.studies.prove.figures import JUDGED, SIGMAS, Proof, ProofLimits
from depth_anything_ros.studies.prove.judged import Judged
from depth_anything_ros.studies.prove.run import Result

__all__ = ['report_of']

# Of a normal distribution, within SIGMAS.
_NORMAL = (0.383, 0.683, 0.866, 0.954, 0.988, 0.997)
_REPLAYED = (
    *('bag', 'reference', 'flicker', 'scale_jitter_percent', 'tae_percent', 'ms_p50', 'ms_p95'),
    'period_ms',
)
_MEANING = (
    'abs_rel: mean |error| / distance without the noise of the judge; bias: median of found / '
    'measured depth, less 1; outliers: share of samples that stand alone among their own sensor; '
    'trust_m: the greatest distance at which, and up to which, {share:.0%} of the samples are '
    'within {error:.0%}. A sensor judges where it sees, and knows no error that it has itself.'
)
_CHANGE = (
    'flicker: median |ln ratio| of inverse depth where pixels hardly move; tae: mean |error| / '
    'depth of depth warped into the next frame by odometry; ms: of an image on this machine, from '
    'message to sigma. Where that is longer than the period, images are dropped.'
)
_WORST = 'red: depth is 20 % too large or more, blue: too small, white: right; beside it all depth'
_WIDTH_PX, _FULL = 480, 0.2


def report_of(
    results: Sequence[Result], failed: Sequence[str], limits: ProofLimits, command: str
) -> report.Report:
    """Return the page; `failed` are lines on limits that were not kept and what was left out."""
    rows = [proof for result in results for proof in result.proofs]
    answer = [
        report.Text(line, is_warning=bool(failed)) for line in failed or ['Every limit is kept.']
    ]
    meaning = _MEANING.format(share=limits.trust_share, error=limits.trust_error)
    change = _table([result.proofs[0] for result in results], _REPLAYED), report.Text(_CHANGE)
    steps = [(f'{x.proofs[0].bag}: {x.proofs[0].reference}', _detail(x)) for x in results]
    sections = [
        report.Section('By each reference', [*answer, _table(rows, JUDGED), report.Text(meaning)]),
        report.Section('From frame to frame, and speed', change),
        report.Section('In detail', [report.Steps(steps)]),
    ]
    facts = {'machine': machine_line(), 'network': rows[0].network}
    return report.Report('Metric depth on your own bag', command, facts, sections)


def _table(rows: Sequence[Proof], names: Sequence[str]) -> report.Table:
    return report.Table([names, *([getattr(row, name) for name in names] for row in rows)])


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
    marks = _line('no metric depth', times, [0.0 if row.reason else math.nan for row in rows])
    over.append({**marks, 'mode': 'markers', 'text': [row.reason for row in rows]})
    change = [_line(x, times, [getattr(row, x) for row in rows]) for x in ('flicker', 'tae')]
    bins = {
        f'{each.judge}, {one["near_m"]:g} m': one for each in result.proofs for one in each.bins
    }
    name = 'worst/' + f'{first.bag}{first.reference}'.replace(' ', '-').replace('/', '-')
    graph = partial(report.Graph.of, rangemode='tozero')
    blocks: list[report.Block] = [
        report.Table([('images without metric depth, why', 'images'), *first.refused.items()]),
        graph(by_distance, 'distance, m', 'error and sigma / distance'),
        graph(right, 'sigmas', 'share of errors below'),
        graph(over, 'time, s', 'error / distance'),
        graph(change, 'time, s', 'change against the image before'),
        *([report.Table.of('judge, from', bins)] if bins else []),
    ]
    for frame, judged in result.worst:
        text = f'error {judged.abs_rel:.3f} at {frame.stamp_ns * 1e-9:.3f} s; {_WORST}'
        blocks.append(report.Picture(_picture(frame, judged), f'{name}-{frame.stamp_ns}', text))
    return blocks


def _line(name: str, x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    # Plotly breaks a line at None; NaN is not JSON.
    values = [float(f'{value:.4g}') if math.isfinite(value) else None for value in y]
    mode = 'lines+markers'
    return {'type': 'scatter', 'mode': mode, 'name': name, 'x': list(x), 'y': values}


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
