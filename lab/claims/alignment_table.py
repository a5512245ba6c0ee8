"""The figures of `bench_alignment`, and how they are printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ['MISSING', 'ORACLE', 'REFINED', 'ROBUST', 'AlignmentRow', 'print_table']

ORACLE, ROBUST, REFINED = 'oracle', 'robust', 'refined'
"""Names of methods: the best fit to all pixels; ours; ours with local refinement."""

MISSING = 'not installed'
"""Note of a method whose package is not there."""


@dataclass(frozen=True)
class AlignmentRow:
    """One method on one kind of reference with one fault, over `scenes` scenes of a family.

    `first_seed`: their seeds count from it.

    `abs_rel`, `abs_rel_p95`: over the scenes with an answer; `published`: their share;
    `flagged`: the share published with a warning; `silent`: that published without one and with
    an AbsRel above 1.5 times the oracle's; `refusals`: the reasons of the others.
    `coverage`: pixels with a depth. `within_1_sigma`, `within_2_sigma`: shares of pixels in the
    near, middle and far third. `sigma_over_abs_rel`: mean sigma / z over AbsRel. `gain_of_drop`:
    by how much AbsRel falls without the fifth of the pixels that is least sure.
    `gain_if_redrawn`: the same by the mean error of each pixel where all is the same, scene and
    samples, but the draw of the network's error: what can be known without the errors at the
    samples. `note`: why there are no figures. Figures that do not apply are NaN.
    """

    family: str
    reference: str
    fault: str
    method: str
    scenes: int
    first_seed: int
    abs_rel: float = float('nan')
    abs_rel_p95: float = float('nan')
    published: float = float('nan')
    flagged: float = float('nan')
    silent: float = float('nan')
    coverage: float = float('nan')
    within_1_sigma: tuple[float, ...] = ()
    within_2_sigma: tuple[float, ...] = ()
    sigma_over_abs_rel: float = float('nan')
    gain_of_drop: float = float('nan')
    held_out_abs_rel: float = float('nan')
    ms_median: float = float('nan')
    refusals: str = ''
    note: str = ''
    gain_if_redrawn: float = float('nan')


def print_table(rows: Iterable[AlignmentRow]) -> None:
    """Print one line per reference and fault, then the honesty of ours."""
    rows = list(rows)
    methods = list(dict.fromkeys(row.method for row in rows))
    cells = {(row.family, row.reference, row.fault, row.method): row for row in rows}
    places = list(dict.fromkeys((row.family, row.reference, row.fault) for row in rows))
    for first, count in dict.fromkeys((row.first_seed, row.scenes) for row in rows):
        print(f'scenes of seeds {first} to {first + count - 1}; constants were chosen on 0 to 63')
    print('mean AbsRel; in brackets the share of scenes published where it is not all')
    print(f'{"family":8}{"reference":15}{"fault":18}' + ''.join(f'{m:>15}' for m in methods))
    for place in places:
        line = f'{place[0]:8}{place[1]:15}{place[2]:18}'
        print(line + ''.join(f'{_figure(cells.get((*place, m))):>15}' for m in methods))
    print()
    print('sigma: % of pixels within 1 and 2 sigma, near / middle / far third')
    print(
        f'{"family":8}{"reference":15}{"fault":18}{"method":9}{"1 sigma":>12}{"2 sigma":>12}'
        f'{"sigma/AbsRel":>13}{"drop":>7}{"redrawn":>9}{"held out":>10}{"ms":>7}  '
        'flagged, wrong (1.5 x oracle) in silence, refused'
    )
    for place in places:
        for method in (ROBUST, REFINED):
            row = cells.get((*place, method))
            if row is not None:
                print(_honesty(row))


def _figure(row: AlignmentRow | None) -> str:
    if row is None:
        return '-'
    if row.note:
        return row.note if row.note == MISSING else 'refused'
    share = '' if row.published == 1.0 else f' ({row.published:.0%})'
    return f'{row.abs_rel:.4f}{share}'


def _honesty(row: AlignmentRow) -> str:
    def shares(values: Sequence[float]) -> str:
        return '/'.join(f'{100 * value:.0f}' for value in values) or '-'

    def figure(value: float, decimals: int) -> str:
        return f'{value:.{decimals}f}' if math.isfinite(value) else '-'

    notes = [row.refusals] if row.refusals else []
    if row.silent > 0.0:
        notes.insert(0, f'{row.silent:.0%} wrong in silence')
    if row.flagged > 0.0:
        notes.insert(0, f'{row.flagged:.0%} flagged')
    return (
        f'{row.family:8}{row.reference:15}{row.fault:18}{row.method:9}'
        f'{shares(row.within_1_sigma):>12}{shares(row.within_2_sigma):>12}'
        f'{figure(row.sigma_over_abs_rel, 2):>13}{figure(row.gain_of_drop, 2):>7}'
        f'{figure(row.gain_if_redrawn, 2):>9}{figure(row.held_out_abs_rel, 4):>10}'
        f'{figure(row.ms_median, 2):>7}  '
        f'{", ".join(notes)}'
    )
