"""The page of a fleet: a row for each bag, written anew as each ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from depth_anything_ros.bag.fleet.worker import FleetResult
from depth_anything_ros.bag.summary import BagState
from depth_anything_ros.reports.report import Cell, Report, Section, Table, Text
from depth_anything_ros.reports.writing import write_report

__all__ = ['remarks', 'rows', 'write_page']


def rows(results: Sequence[FleetResult]) -> dict[str, dict[str, Cell]]:
    """Return the figures of each bag, by name; seconds with its transfers."""
    # What was not judged, as it failed say, has no such figures.
    judged = dict.fromkeys(name for each in results for name in _figures(each))
    rows = sorted(results, key=lambda one: one.bag.name)
    return {each.bag.name: _row(each) | judged | _figures(each) for each in rows}


def _figures(result: FleetResult) -> dict[str, Cell]:
    return {name: value for each in result.judgements for name, value in each.figures.items()}


def _row(result: FleetResult) -> dict[str, Cell]:
    summary = result.summary
    return {
        'state': summary.state.value,
        'images': summary.images,
        'frames': summary.frames,
        'metric': summary.metric,
        'left out': sum(each.count for each in (*summary.refused, *summary.left_out)),
        'seconds': result.seconds or None,
        'img/s': summary.rate_hz or None,
    }


def remarks(results: Sequence[FleetResult]) -> dict[str, bool]:
    """Return what is to be said about the bags, and whether it is why one is not good."""
    names: dict[str, list[str]] = {}
    bad = set()
    for each in sorted(results, key=lambda one: one.bag.name):
        for text in (*each.summary.remarks, *each.failures):
            names.setdefault(text, []).append(each.bag.name)
        bad |= {each.summary.why, *each.failures} if not each.good else set()
    return {f'{", ".join(of)}: {text}': text in bad for text, of in names.items()}


def write_page(
    results: Sequence[FleetResult],
    total: int,
    folder: Path,
    command: str,
    facts: Mapping[str, str],
) -> Path:
    """Write the page of `results`, of `total` bags, into `folder`; return its path."""
    states = [each.summary.state for each in results]
    counts = [f'{count} {state.value}' for state in BagState if (count := states.count(state))]
    counts += [f'{total - len(results)} to come'] if len(results) < total else []
    texts = [Text(text, is_warning) for text, is_warning in remarks(results).items()]
    table = [Table.of('bag', rows(results))] if results else []
    sections = [Section(f'{total} bags', [Text(', '.join(counts)), *table])]
    sections += [Section('Remarks', texts)] if texts else []
    return write_report(Report('Fleet', command, facts, sections), folder)
