"""What a search found, as text and as JSON."""

from __future__ import annotations

import dataclasses
from collections import Counter

from depth_anything_ros.reports.text import aligned, plain_json
from depth_anything_ros.studies.bench.bench_report import Conditions
from depth_anything_ros.studies.tune.search import Probe, Tuning

__all__ = ['json_text', 'text']

_ORDER = 'quality order: variant, then input size, as published; not measured here'


def text(tuning: Tuning, conditions: Conditions) -> str:
    """Return the rows that no other beats in quality and time, and why others are not there."""
    head = ['variant', 'input_size', 'backend', 'precision', 'threads', 'p50 ms', 'p95 ms']
    rows = [[*head, 'images/s', 'memory MB', f'{tuning.budget_ms:g} ms']]
    rows += [_cells(probe, tuning) for probe in tuning.pareto]
    left_out = [probe for probe in tuning.probes if probe.note]
    timed = sum(probe.row is not None for probe in tuning.probes)
    lines = [*conditions.lines(), f'{_ORDER}; {timed} of {len(tuning.probes)} timed', '']
    lines += aligned(rows) if tuning.pareto else []
    if left_out:
        lines += ['', 'left out:']
        for note, count in Counter(probe.note for probe in left_out).most_common():
            engines = {
                f'{probe.configuration.backend} {probe.configuration.precision}'
                for probe in left_out
                if probe.note == note
            }
            lines.append(f'  {count:3d}  {note} ({", ".join(sorted(engines))})')
    return '\n'.join(lines)


def json_text(tuning: Tuning, conditions: Conditions) -> str:
    """Return every configuration with its row, and the chosen one, as JSON."""
    return plain_json(dataclasses.asdict(conditions) | dataclasses.asdict(tuning))


def _cells(probe: Probe, tuning: Tuning) -> list[str]:
    row = probe.row
    assert row is not None and row.timing is not None and row.resident_mb is not None
    verdict = 'within' if probe.p95_ms <= tuning.budget_ms else 'over'
    return [
        row.variant,
        str(row.input_size),
        row.backend,
        row.precision,
        str(row.threads),
        f'{row.timing.p50_ms:.1f}',
        f'{row.timing.p95_ms:.1f}',
        f'{row.timing.fps:.1f}',
        f'{row.resident_mb:.0f}',
        'chosen' if probe is tuning.chosen else verdict,
    ]
