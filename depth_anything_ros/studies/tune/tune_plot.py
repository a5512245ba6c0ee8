"""A picture of a search: time against quality."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

from depth_anything_ros.studies.bench.bench_report import Conditions
from depth_anything_ros.studies.plots import COLOURS, save, subplots
from depth_anything_ros.studies.tune.search import Tuning, quality

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
    engines = sorted({(row.backend, row.precision, row.threads) for _, row in counted})
    colours = dict(
        zip(dict.fromkeys(engine[:2] for engine in engines), cycle(COLOURS), strict=False)
    )
    marks = dict(zip(sorted({threads for _, _, threads in engines}), cycle('os^D'), strict=False))
    for engine in engines:
        own = [
            probe for probe, row in counted if (row.backend, row.precision, row.threads) == engine
        ]
        backend, precision, threads = engine
        axes.errorbar(
            [probe.p50_ms for probe in own],
            [place[quality(probe)] for probe in own],
            xerr=[[0.0] * len(own), [probe.p95_ms - probe.p50_ms for probe in own]],
            fmt=marks[threads],
            capsize=2,
            color=colours[backend, precision],
            label=f'{backend} {precision}' + (f', threads {threads}' if threads else ''),
        )
    best = tuning.pareto
    axes.plot(
        [probe.p50_ms for probe in best],
        [place[quality(probe)] for probe in best],
        color='grey',
        linewidth=0.8,
        zorder=0,
        label='none better and faster',
    )
    axes.axvline(tuning.budget_ms, color='black', linestyle='--', linewidth=0.8, label='budget')
    if tuning.chosen is not None:
        axes.plot(
            tuning.chosen.p50_ms,
            place[quality(tuning.chosen)],
            marker='*',
            markersize=16,
            color='black',
            fillstyle='none',
            linestyle='none',
            label='chosen',
        )
    axes.set_xlim(left=0.0)
    axes.set_yticks(range(len(steps)), [name[step] for step in steps])
    axes.set_xlabel('ms per image: median, whisker to p95')
    axes.set_ylabel('better →')
    axes.set_title('\n'.join(conditions.lines()), fontsize=7, loc='left')
    figure.legend(loc='outside lower center', ncols=3, frameon=False, fontsize=8)
    save(figure, path)
