"""What a bag proved as a page: the answer first, then each reference in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from depth_anything_ros.reports.report import (
    Block,
    Cell,
    Graph,
    Picture,
    Report,
    Section,
    Steps,
    Table,
    Text,
)
from depth_anything_ros.studies.machine import machine_line
from depth_anything_ros.studies.prove.figures import SIGMAS, Figures
from depth_anything_ros.studies.prove.limits import Trust
from depth_anything_ros.studies.prove.results import Proof, ReferenceResult
from depth_anything_ros.studies.prove.worst import CAPTION

__all__ = ['report_of']

# Of a normal distribution, within SIGMAS.
_NORMAL = (0.383, 0.683, 0.866, 0.954, 0.988, 0.997)

_MEANING = (
    'Each reference is replayed on its own. Judge: held out = samples of the reference in every '
    'fifth block of the image, in other blocks from frame to frame, which the alignment did not '
    'see; a topic = all samples of that sensor; ground truth = true depth. abs_rel: mean of '
    '|error| / distance, in which the noise of the judge is taken off; bias: median of found / '
    'measured depth, less 1; delta1: share within a factor of 1.25; 1 and 2 sigma: share of '
    'errors below one and two sigma, 0.68 and 0.95 if sigma is right; outliers: share of the '
    'samples that stand alone among their own sensor, which judge nothing.'
)
_LIMITS = (
    'A sensor judges where it sees, and no more: not beyond its range or its field of view, not '
    'what it sees behind a nearer thing, and no error that it has itself, such as a wrong '
    'mounting: that shows by a second sensor. With a fifth of the samples held out depth is a '
    'little worse than in use.'
)
_TEMPORAL = (
    'flicker: median |ln ratio| of inverse depth between frames after the best affine map, on '
    'pixels that hardly move; scale jitter: standard deviation of ln(scale / scale before), in '
    'percent; TAE: temporal alignment error, mean |error| / depth of depth warped into the next '
    'frame by odometry, both ways, in percent. ms: of one image on this machine, through the '
    'network to depth and sigma; period: between the images of the bag.'
)


def report_of(
    results: Sequence[ReferenceResult], failed: Sequence[str], trust: Trust, command: str
) -> Report:
    """Return the page; `failed` are lines on limits that were not kept and what was left out."""
    rows = [proof for result in results for proof in result.proofs]
    verdict = [Text(line, is_warning=True) for line in failed]
    answer: list[Block] = [*(verdict or [Text('Every limit is kept.')])]
    answer += [_errors(rows, trust), Text(_MEANING), Text(_LIMITS)]
    steps = [
        (f'{result.proofs[0].bag}: {result.proofs[0].reference}', _detail(result, trust))
        for result in results
    ]
    facts = {
        'machine': machine_line(),
        'network': ', '.join(dict.fromkeys(row.network for row in rows)),
    }
    sections = [
        Section('Metric depth by each reference', answer),
        Section('Frame to frame, and speed', [_per_run(results), Text(_TEMPORAL)]),
        Section('Each reference', [Steps(steps)]),
    ]
    return Report('Metric depth on your own bag', command, facts, sections)


def _errors(rows: Sequence[Proof], trust: Trust) -> Table:
    names = {
        'published': 'metres',
        'abs_rel': 'abs_rel',
        'bias': 'bias',
        'delta1': 'delta1',
        'within_1_sigma': '1 sigma',
        'within_2_sigma': '2 sigma',
        'outliers': 'outliers',
        'trust_m': 'trusted, m',
    }
    lines: list[list[Cell]] = [['bag', 'reference', 'judge', *names.values()]]
    for row in rows:
        judge = row.judge or 'nothing in the bag'
        lines.append([row.bag, row.reference, judge, *(getattr(row, name) for name in names)])
    text = (
        f'trusted: the greatest distance at which, and up to which, {trust.share:.0%} of the '
        f'samples are within {trust.error:.0%}; metres: share of the images with metric depth'
    )
    return Table(lines, text)


def _per_run(results: Sequence[ReferenceResult]) -> Table:
    head = ['bag', 'reference', 'flicker', 'scale jitter %', 'TAE %', 'ms p50', 'ms p95']
    lines: list[list[Cell]] = [[*head, 'period ms', 'keeps up']]
    for result in results:
        row = result.proofs[0]
        keeps_up = 'yes' if row.ms_p95 <= row.period_ms else 'no: images would be dropped'
        figures = row.flicker, row.scale_jitter_percent, row.tae_percent, row.ms_p50, row.ms_p95
        lines.append([row.bag, row.reference, *figures, row.period_ms, keeps_up])
    return Table(lines)


def _detail(result: ReferenceResult, trust: Trust) -> list[Block]:
    first = result.proofs[0]
    judged = dict(zip((row.judge for row in result.proofs), result.figures, strict=True))
    blocks: list[Block] = []
    if first.refused:
        head = 'images without metric depth', 'images'
        text = 'docs/troubleshooting.md says what to do about each'
        blocks.append(Table([head, *first.refused.items()], text))
    blocks += [_by_distance(judged), _share_by_distance(judged, trust), _calibration(judged)]
    blocks += _over_time(result)
    blocks += [
        Table(
            [['judge', *_COLUMNS], *_bin_rows(judged)], 'abs_rel: without the noise of the judge'
        )
    ]
    for shown in result.worst:
        name = f'worst/{first.bag}-{first.reference.strip("/").replace("/", "-")}-{shown.stamp_ns}'
        text = f'error {shown.abs_rel:.3f} at {shown.stamp_ns * 1e-9:.3f} s; {CAPTION}'
        blocks.append(Picture(shown.picture, name.replace(' ', '-'), text))
    return blocks


_COLUMNS = (
    'near_m',
    'far_m',
    'samples',
    'abs_rel',
    'measured',
    'noise',
    'bias',
    'within',
    'sigma',
)


def _bin_rows(judged: Mapping[str, Figures]) -> list[list[Cell]]:
    return [
        [judge, *(getattr(each, name) for name in _COLUMNS)]
        for judge, figures in judged.items()
        for each in figures.bins
    ]


def _by_distance(judged: Mapping[str, Figures]) -> Graph:
    lines = []
    for judge, figures in judged.items():
        lines.append(
            _line(f'error, {judge}', _middles(figures), [x.abs_rel for x in figures.bins])
        )
        sigma = _line(f'sigma, {judge}', _middles(figures), [x.sigma for x in figures.bins])
        lines.append({**sigma, 'line': {'dash': 'dot'}})
    text = (
        'mean |error| / distance without the noise of the judge, and the median of sigma / depth'
    )
    return _graph(lines, 'distance, m', 'relative error', text)


def _share_by_distance(judged: Mapping[str, Figures], trust: Trust) -> Graph:
    lines = [
        _line(judge, _middles(figures), [x.within for x in figures.bins])
        for judge, figures in judged.items()
    ]
    text = f'share of the samples within {trust.error:.0%}; trusted from {trust.share:.0%} on'
    return _graph(lines, 'distance, m', f'share within {trust.error:.0%}', text, (0.0, 1.02))


def _calibration(judged: Mapping[str, Figures]) -> Graph:
    lines = [_line('if sigma is right', SIGMAS, _NORMAL)]
    lines += [_line(judge, SIGMAS, figures.within_sigma) for judge, figures in judged.items()]
    text = 'below the first line sigma is too small, above it too large'
    return _graph(lines, 'sigmas', 'share of errors within', text, (0.0, 1.02))


def _over_time(result: ReferenceResult) -> list[Graph]:
    rows = result.frames
    times = [row.time_s for row in rows]
    errors = [
        _line(proof.judge, times, [row.abs_rel.get(proof.judge) for row in rows])
        for proof in result.proofs
    ]
    without = [row for row in rows if row.reason]
    if without:
        marks = _line('no metric depth', [row.time_s for row in without], [0.0] * len(without))
        reasons = [row.reason for row in without]
        errors.append({**marks, 'mode': 'markers', 'text': reasons, 'marker': {'symbol': 'x'}})
    steps = [
        _line('flicker', times, [_known(row.flicker) for row in rows]),
        _line('TAE', times, [_known(row.tae) for row in rows]),
    ]
    text = 'mean |error| / distance of each image; crosses: none, and why'
    return [
        _graph(errors, 'time, s', 'relative error', text),
        _graph(steps, 'time, s', 'relative change', 'against the image before'),
    ]


def _middles(figures: Figures) -> list[float]:
    return [0.5 * (each.near_m + each.far_m) for each in figures.bins]


def _known(value: float) -> float | None:
    # Plotly breaks a line at None; NaN is no JSON.
    return None if value != value else value


def _line(name: str, x: Sequence[float], y: Sequence[float | None]) -> dict[str, Any]:
    return {
        'type': 'scatter',
        'mode': 'lines+markers',
        'name': name,
        'x': [float(f'{value:.5g}') for value in x],
        'y': [None if value is None else float(f'{value:.4g}') for value in y],
    }


def _graph(
    lines: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    caption: str,
    between: tuple[float, float] | None = None,
) -> Graph:
    axis: dict[str, Any] = {'title': {'text': y}, 'rangemode': 'tozero'}
    if between is not None:
        axis['range'] = list(between)
    layout = {
        'height': 340,
        'margin': {'t': 20},
        'showlegend': True,
        'xaxis': {'title': {'text': x}},
        'yaxis': axis,
    }
    return Graph({'data': list(lines), 'layout': layout}, caption)
