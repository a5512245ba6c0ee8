"""The page of a bench: tables, suitability, and quality against speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from depth_anything_ros.reports.report import Block, Picture, Report, Section, Table, Text
from depth_anything_ros.reports.writing import write_report
from depth_anything_ros.studies.bench import bench_report
from depth_anything_ros.studies.bench.bench_plot import plot
from depth_anything_ros.studies.bench.peers import peer_of
from depth_anything_ros.studies.bench.quality import plot_quality
from depth_anything_ros.studies.bench.row import Row

__all__ = ['write_page']


def write_page(
    rows: Sequence[Row],
    conditions: bench_report.Conditions,
    errors: Mapping[str, float],
    command: str,
    out: Path,
) -> Path:
    """Write the page into the folder `out`, which is there, and return its path.

    Raises SettingError where it cannot be written.
    """
    ran = [row for row in rows if row.timing]
    plot(ran, conditions, out / 'rows.png')
    random = ', '.join(dict.fromkeys(row.variant for row in ran if row.random_weights))
    text = Text(f'{random}: random weights: speed only.', is_warning=True)
    blocks: dict[str, list[Block]] = {'Weights': [text] if random else []}
    blocks |= {title: [Table(cells)] for title, cells in bench_report.tables(ran).items()}
    blocks['Suitability'].append(_explained('use', bench_report.NEEDS))
    blocks['Pictures'] = [Picture(out / 'rows.png')]
    if errors:
        # Random weights of a peer have no quality.
        plot_quality([row for row in ran if not peer_of(row)], errors, out / 'quality.png')
        blocks['Pictures'] += [Picture(out / 'quality.png')]
    blocks['What the columns mean'] = [_explained('column', bench_report.MEANING)]
    blocks['Left out'] = [Text(line.strip()) for line in bench_report.left_out(rows)[1:]]
    machine, image, *networks = conditions.lines()
    facts = {'machine': machine, 'measured on': '; '.join([image, *networks])}
    sections = [Section(*each) for each in blocks.items() if each[1]]
    return write_report(Report('Bench', command, facts, sections), out)


def _explained(what: str, lines: Sequence[str]) -> Table:
    return Table([[what, 'meaning'], *(line.split(': ', 1) for line in lines)])
