"""The page of a bench: tables, suitability, and quality against speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.reports.report import Block, Picture, Report, Section, Table, Text
from depth_anything_ros.reports.writing import write_report
from depth_anything_ros.studies.bench.bench_plot import plot
from depth_anything_ros.studies.bench.bench_report import (
    MEANING,
    Conditions,
    left_out,
    needs,
    tables,
)
from depth_anything_ros.studies.bench.quality import Quality, plot_quality
from depth_anything_ros.studies.bench.row import Row

__all__ = ['write_page']


def write_page(
    rows: Sequence[Row], conditions: Conditions, quality: Quality | None, command: str, out: Path
) -> Path:
    """Write the page into the folder `out`, and return its path; SettingError where it cannot."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise SettingError(f'--out {out} cannot be written: {err.strerror}') from err
    ran = [row for row in rows if row.timing]
    plot(ran, conditions, out / 'rows.png')
    plot_quality(ran, quality, out / 'quality.png')
    blocks: dict[str, list[Block]] = {
        title: [Table(cells)] for title, cells in tables(ran).items()
    }
    blocks['Time of a call'].append(Picture(out / 'rows.png'))
    blocks['Suitability'] += [Text(line.strip()) for line in needs()]
    blocks['Quality against speed'] = [Picture(out / 'quality.png')]
    blocks['What the columns mean'] = [Text(' '.join(MEANING.splitlines()))]
    if lines := left_out(rows):
        blocks['Left out'] = [Text(line.strip()) for line in lines[1:]]
    facts = {'machine': conditions.machine, 'image': f'{conditions.size[0]}x{conditions.size[1]}'}
    facts |= {f'weights of {name}': what for name, what in conditions.weights.items()}
    sections = [Section(title, each) for title, each in blocks.items()]
    return write_report(Report('Bench', command, facts, sections), out)
