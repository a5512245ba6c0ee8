"""The rows as tables, in the terminal or in Markdown, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from depth_anything_ros.reports.text import aligned, markdown, plain_json
from depth_anything_ros.studies.bench.row import Row
from depth_anything_ros.studies.bench.starts import Start

__all__ = ['Conditions', 'json_text', 'named_columns', 'start_text', 'text']

_NAMES = ('variant', 'input_size', 'backend', 'precision', 'batch', 'threads', 'device')


@dataclass(frozen=True)
class Conditions:
    """What all rows share: the machine, the image's size, and the weights of each variant."""

    machine: str
    size: tuple[int, int]
    weights: Mapping[str, str]

    def lines(self) -> list[str]:
        """Return the text above every table, line by line."""
        variants: dict[str, list[str]] = {}
        for variant, what in self.weights.items():
            variants.setdefault(what, []).append(variant)
        weights = '; '.join(f'{", ".join(names)}: {what}' for what, names in variants.items())
        return [self.machine, f'image {self.size[0]}x{self.size[1]}; weights of {weights}']


Column = tuple[str, Callable[[Any], object], str]
"""Title, value of a row (None: not known), and its format."""

_TIMES: tuple[Column, ...] = (
    ('calls', lambda row: row.timing and row.timing.calls, 'd'),
    ('min ms', lambda row: row.timing and row.timing.min_ms, '.1f'),
    ('p50', lambda row: row.timing and row.timing.p50_ms, '.1f'),
    ('p95', lambda row: row.timing and row.timing.p95_ms, '.1f'),
    ('p99', lambda row: row.timing and row.timing.p99_ms, '.1f'),
    ('CoV %', lambda row: row.timing and row.timing.cov_percent, '.1f'),
    ('images/s', lambda row: row.timing and row.timing.fps, '.2f'),
    ('ratio', lambda row: 'baseline' if row.is_baseline else row.ratio, '.2f'),
    ('preprocess ms', lambda row: row.timing and row.timing.preprocess_ms, '.1f'),
    ('infer', lambda row: row.timing and row.timing.infer_ms, '.1f'),
    ('postprocess', lambda row: row.timing and row.timing.postprocess_ms, '.1f'),
)

_FILM_IMAGES = 2 * 3600 * 25

_REST: tuple[Column, ...] = (
    ('100 images s', lambda row: row.timing and 100 / row.timing.fps, '.1f'),
    ('film h', lambda row: row.timing and _FILM_IMAGES / row.timing.fps / 3600, '.1f'),
    ('memory MB', lambda row: row.resident_mb, '.0f'),
    ('GPU MB', lambda row: row.gpu_mb, '.0f'),
    ('load s', lambda row: row.load_s, '.2f'),
    ('first ms', lambda row: row.first_ms, '.0f'),
    ('start s', lambda row: row.start_s, '.2f'),
    ('GFLOP/s', lambda row: row.gflops, '.0f'),
    ('peak', lambda row: row.peak_gflops, '.0f'),
    ('of peak %', lambda row: row.peak_percent, '.0f'),
    ('diff p50 %', lambda row: row.agreement and row.agreement.diff_p50_percent, '.4f'),
    ('diff p99 %', lambda row: row.agreement and row.agreement.diff_p99_percent, '.4f'),
    ('Pearson', lambda row: row.agreement and row.agreement.pearson, '.6f'),
)

_STARTS: tuple[Column, ...] = (
    ('empty cache s', lambda row: row.cold_s, '.2f'),
    ('kept cache s', lambda row: row.warm_s, '.2f'),
    ('of that loading s', lambda row: row.warm_load_s, '.2f'),
    ('cache MB', lambda row: row.cache_mb, '.1f'),
)

_MEANING = """\
ms: a call, from uint8 images to inverse depths of their size. ratio: median over rounds, in turn,
of the baseline's time per image by the row's. film: two hours of it at 25 Hz, by p50. memory: most
that the row's own process held (VmHWM). start: from its start to the first result. GFLOP/s:
operations of the network, counted by torch on the meta device, in the time of infer. peak: best
rate of large matrix products in that precision, measured with every row; more than 100 % means
that the machine was busy otherwise. diff: from float32 in torch, after the best scale and shift,
in % of the spread from its 2nd to its 98th percentile."""


def text(rows: Sequence[Row], conditions: Conditions, as_markdown: bool) -> str:
    """Return the machine, two tables of what ran, and what did not run with the reason."""
    ran = [row for row in rows if row.timing is not None]
    left_out = [row for row in rows if row.timing is None]
    shared, names = named_columns(ran, _NAMES)
    head = [*conditions.lines(), *([shared] if shared else [])]
    tables = [_table(ran, names, columns, as_markdown) for columns in (_TIMES, _REST) if ran]
    blocks = [head, *tables, _MEANING.splitlines() if ran else []]
    if left_out:
        blocks.append(_left_out(left_out, as_markdown))
    gap = '\n\n'
    return gap.join('\n'.join(block) for block in blocks if block)


def start_text(starts: Sequence[Start], as_markdown: bool) -> str:
    """Return the table of starts, and what did not start with the reason."""
    started = [one for one in starts if not one.note]
    names = ('variant', 'input_size', 'backend', 'precision')
    lines = _table(started, names, _STARTS, as_markdown) if started else []
    left_out = [one for one in starts if one.note]
    if left_out:
        lines += ['', *_left_out(left_out, as_markdown)]
    return '\n'.join(lines)


def json_text(rows: Sequence[Row], conditions: Conditions) -> str:
    """Return everything as JSON; what is not known is null."""
    return plain_json({**dataclasses.asdict(conditions), 'rows': rows})


def named_columns(rows: Sequence[Any], names: Sequence[str]) -> tuple[str, list[str]]:
    """Return what all rows have in common as text, and the names that differ between them."""
    values = {name: {str(getattr(row, name)) for row in rows} for name in names}
    different = [name for name in names if len(values[name]) > 1]
    # Rows need at least one name.
    shown = different or list(names[:1])
    shared = [f'{name} {value}' for name in names if name not in shown for value in values[name]]
    return ', '.join(shared), shown


def _table(
    rows: Sequence[Row | Start],
    names: Sequence[str],
    columns: Sequence[Column],
    as_markdown: bool,
) -> list[str]:
    filled = [(title, [_cell(value(row), form) for row in rows]) for title, value, form in columns]
    kept = [(title, cells) for title, cells in filled if set(cells) != {'-'}]
    head = [*names, *(title for title, _ in kept)]
    body = [
        [*(str(getattr(row, name)) for name in names), *(cells[index] for _, cells in kept)]
        for index, row in enumerate(rows)
    ]
    return (markdown if as_markdown else aligned)([head, *body])


def _cell(value: object, form: str) -> str:
    if value is None or isinstance(value, str):
        return value or '-'
    return format(value, form)


def _left_out(rows: Sequence[Row | Start], as_markdown: bool) -> list[str]:
    """Return the lines that say why there are no times for `rows`."""
    reasons: dict[str, dict[str, dict[str, None]]] = {}
    for row in rows:
        engines = reasons.setdefault(row.note, {})
        engines.setdefault(f'{row.backend} {row.precision}', {})[row.variant] = None
    mark = '- ' if as_markdown else '  '
    lines = []
    for reason, engines in reasons.items():
        names = (f'{engine} ({", ".join(variants)})' for engine, variants in engines.items())
        lines.append(f'{mark}{", ".join(names)}: {reason}')
    return ['left out:', *([''] if as_markdown else []), *lines]
