"""A picture of a search: time against quality."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from depth_anything_ros.studies.bench.bench_report import Conditions
from depth_anything_ros.studies.plots import COLOURS, save, subplots
from depth_anything_ros.studies.tune.search import Probe, Tuning, quality

__all__ = ['plot']


def plot(tuning: Tuning, conditions: Conditions, path: Path) -> None:
    """Draw every configuration that was timed and counts, the budget and the choice.

    Raises SettingError where the file cannot be written.
    """
    counted = [(probe, probe.row) for probe in tuning.probes if probe.counts and probe.row]
    steps = sorted({quality(probe) for probe, _ in counted})
    place = {step: index for index, step in enumerate(steps)}
    name = {
        quality(probe): f'{row.variant} {probe.configuration.input_size}' for probe, row in counted
    }
    figure, axes = subplots(8.0, 3.0 + 0.3 * len(steps))
    engines: dict[tuple[str, str, int], list[Probe]] = {}
    for probe, row in counted:
        engines.setdefault((row.backend, row.precision, row.threads), []).append(probe)

    def places(probes: Sequence[Probe]) -> tuple[list[float], list[int]]:
        return [one.p50_ms for one in probes], [place[quality(one)] for one in probes]

    styles = itertools.product('os^D', COLOURS)
    for (engine, own), (mark, colour) in zip(sorted(engines.items()), styles, strict=False):
        backend, precision, threads = engine
        axes.errorbar(
            *places(own),
            xerr=[[0.0] * len(own), [one.p95_ms - one.p50_ms for one in own]],
            fmt=mark,
            capsize=2,
            color=colour,
            label=f'{backend} {precision}' + (f', threads {threads}' if threads else ''),
        )
    best = {'color': 'grey', 'linewidth': 0.8, 'zorder': 0, 'label': 'none better and faster'}
    axes.plot(*places(tuning.pareto), **best)
    axes.axvline(tuning.budget_ms, color='black', linestyle='--', linewidth=0.8, label='budget')
    if tuning.chosen is not None:
        ring = {'markersize': 16, 'color': 'black', 'fillstyle': 'none', 'label': 'chosen'}
        axes.plot(*places([tuning.chosen]), '*', **ring)
    axes.set_xlim(left=0.0)
    axes.set_yticks(range(len(steps)), [name[step] for step in steps])
    axes.set_xlabel('ms per image: median, whisker to p95')
    axes.set_ylabel('better →')
    axes.set_title('\n'.join(conditions.lines()), fontsize=7, loc='left')
    figure.legend(loc='outside lower center', ncols=3, frameon=False, fontsize=8)
    save(figure, path)
