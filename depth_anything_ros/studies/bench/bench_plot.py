"""A picture of the rows: milliseconds per image, by stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from depth_anything_ros.studies.bench.bench_report import Conditions, named_columns
from depth_anything_ros.studies.bench.row import Row
from depth_anything_ros.studies.plots import COLOURS, save, subplots

__all__ = ['plot']

_STAGES = ('preprocess', 'infer', 'postprocess')


def plot(rows: Sequence[Row], conditions: Conditions, path: Path) -> None:
    """Draw what ran as bars into `path`, a whisker from the fastest call to the 95th percentile.

    Raises SettingError where the file cannot be written.
    """
    ran = [row for row in rows if row.timing is not None]
    shared, names = named_columns(ran, ('variant', 'input_size', 'backend', 'precision', 'batch'))
    figure, axes = subplots(9.0, 1.8 + 0.42 * len(ran))
    for index, row in enumerate(ran):
        timing = row.timing
        assert timing is not None
        left = 0.0
        for stage, colour in zip(_STAGES, (COLOURS[5], COLOURS[0], COLOURS[1]), strict=True):
            width = getattr(timing, f'{stage}_ms') / row.batch
            label = stage if index == 0 else None
            axes.barh(index, width, left=left, color=colour, height=0.6, label=label)
            left += width
        low, middle, high = (
            value / row.batch for value in (timing.min_ms, timing.p50_ms, timing.p95_ms)
        )
        axes.errorbar(
            middle, index, xerr=[[middle - low], [high - middle]], color='black', capsize=3
        )
        ratio = '' if row.ratio is None else f', {row.ratio:.2f}x'
        label = f' {middle:.0f} ms, {timing.fps:.1f}/s{ratio}'
        axes.text(max(high, left), index, label, va='center', fontsize=9)
    axes.set_yticks(range(len(ran)), [_label(row, names) for row in ran])
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xlim(left=0.0)
    axes.set_xlabel('ms per image: median, by stage; whisker from the fastest call to p95')
    figure.suptitle('\n'.join([*conditions.lines(), shared]), fontsize=7, x=0.01, ha='left')
    figure.legend(loc='outside lower center', ncols=3, frameon=False)
    save(figure, path)


def _label(row: Row, names: Sequence[str]) -> str:
    parts = [str(getattr(row, name)) for name in names if name != 'batch']
    if 'batch' in names:
        parts.append(f'batch {row.batch}')
    return ' '.join(parts) + (' (baseline)' if row.is_baseline else '')
