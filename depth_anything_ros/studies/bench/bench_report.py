"""The rows as tables, in the terminal or in Markdown, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from depth_anything_ros.reports.text import aligned, markdown, plain_json
from depth_anything_ros.studies.bench.row import Row
from depth_anything_ros.studies.bench.starts import Start
from depth_anything_ros.studies.bench.suitability import USES, verdict

__all__ = [
    'MEANING',
    'NEEDS',
    'Conditions',
    'json_text',
    'left_out',
    'named_columns',
    'start_text',
    'tables',
    'text',
]

_NAMES = ('variant', 'input_size', 'backend', 'precision', 'batch', 'threads', 'device')


@dataclass(frozen=True)
class Conditions:
    """What all rows share: the machine, the image's size, and the weights of each variant.

    `peers` says of each what it is.
    """

    machine: str
    size: tuple[int, int]
    weights: Mapping[str, str]
    peers: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the text above every table, line by line."""
        variants: dict[str, list[str]] = {}
        for variant, what in self.weights.items():
            variants.setdefault(what, []).append(variant)
        weights = '; '.join(f'{", ".join(names)}: {what}' for what, names in variants.items())
        image = f'image {self.size[0]}x{self.size[1]}; weights of {weights}'
        return [self.machine, image, *self.peers]


Column = tuple[str, Callable[[Any], object], str]
"""Title, value of a row (None: not known), and its format."""

_FILM_IMAGES = 2 * 3600 * 24

_TABLES: dict[str, tuple[Column, ...]] = {
    'Time of a call': (
        ('calls', lambda row: row.timing and row.timing.calls, 'd'),
        ('min ms', lambda row: row.timing and row.timing.min_ms, '.1f'),
        ('p50', lambda row: row.timing and row.timing.p50_ms, '.1f'),
        ('p95', lambda row: row.timing and row.timing.p95_ms, '.1f'),
        ('p99', lambda row: row.timing and row.timing.p99_ms, '.1f'),
        ('images/s', lambda row: row.timing and row.timing.fps, '.2f'),
        ('ratio', lambda row: 'baseline' if row.is_baseline else row.ratio, '.2f'),
        ('CoV %', lambda row: row.timing and row.timing.cov_percent, '.1f'),
        ('with first', lambda row: row.timing and row.timing.cov_with_first_percent, '.0f'),
    ),
    'Stages of a call, and the start': (
        ('preprocess ms', lambda row: row.timing and row.timing.preprocess_ms, '.1f'),
        ('infer', lambda row: row.timing and row.timing.infer_ms, '.1f'),
        ('postprocess', lambda row: row.timing and row.timing.postprocess_ms, '.1f'),
        ('load s', lambda row: row.load_s, '.2f'),
        ('first ms', lambda row: row.first_ms, '.0f'),
        ('start s', lambda row: row.start_s, '.2f'),
    ),
    'Cost and memory': (
        ('1000 images s', lambda row: row.timing and 1000 / row.timing.fps, '.1f'),
        ('film h', lambda row: row.timing and _FILM_IMAGES / row.timing.fps / 3600, '.1f'),
        ('cost', lambda row: row.cost, '.2f'),
        ('memory MB', lambda row: row.resident_mb, '.0f'),
        ('GPU MB', lambda row: row.gpu_mb, '.0f'),
        ('largest batch', lambda row: row.largest_batch, 'd'),
    ),
    'Use of the machine': (
        ('GFLOP/s', lambda row: row.gflops, '.0f'),
        ('peak', lambda row: row.peak_gflops, '.0f'),
        ('of peak %', lambda row: row.peak_percent, '.0f'),
        ('M parameters', lambda row: row.million_parameters, '.1f'),
        ('images/s/M', lambda row: _by_size(row, row.timing and row.timing.fps), '.3f'),
        ('MB/M', lambda row: _by_size(row, row.gpu_mb or row.resident_mb), '.1f'),
    ),
    'Agreement with float32': (
        ('diff p50 %', lambda row: row.agreement and row.agreement.diff_p50_percent, '.4f'),
        ('diff p99 %', lambda row: row.agreement and row.agreement.diff_p99_percent, '.4f'),
        ('Pearson', lambda row: row.agreement and row.agreement.pearson, '.6f'),
    ),
    'Suitability': tuple((use.name, partial(verdict, use=use), '') for use in USES),
}

_STARTS: tuple[Column, ...] = (
    ('empty cache s', lambda row: row.cold_s, '.2f'),
    ('kept cache s', lambda row: row.warm_s, '.2f'),
    ('of that loading s', lambda row: row.warm_load_s, '.2f'),
    ('cache MB', lambda row: row.cache_mb, '.1f'),
)

NEEDS = tuple(
    f'{use.name}: {use.images_per_s:g} images/s, input of {use.input_size} px'
    f'{", an image at a time" if use.is_live else ""} ({use.because})'
    for use in USES
)
MEANING = (
    'p50 to p99: milliseconds of a call, from uint8 images to inverse depth of their size',
    "ratio: the baseline's time for an image over the row's, run in turn; above 1 is faster",
    'CoV: standard deviation over mean',
    'with first: the same, counting the first call after loading, too',
    'start: from the start of the process to its first result',
    'film: two hours at 24 Hz, by p50',
    'cost: time of an image over that of the fastest row, by p50',
    "memory: most that the row's process held (VmHWM)",
    'GPU: most that torch held there',
    "GFLOP/s: the network's operations, as torch counts them, in the time of infer",
    'peak: best large matrix products in that precision; over 100 % of it: others kept it low',
    'M: a million parameters',
    'MB/M: of the GPU where the network runs there, else of memory',
    'diff: from float32 in torch, after the best scale and shift, in % of the spread (p2 to p98)',
    'suitability: measured over needed rate',
    'batch: an image would wait for others of its batch',
    'too small: an input of fewer pixels than the use needs',
)


def text(rows: Sequence[Row], conditions: Conditions, as_markdown: bool) -> str:
    """Return the machine, tables of what ran, and what did not run with the reason."""
    ran = [row for row in rows if row.timing is not None]
    shared, _ = named_columns(ran, _NAMES)
    lay_out = markdown if as_markdown else aligned
    heading, mark = ('### ', '- ') if as_markdown else ('', '  ')
    blocks = [[*conditions.lines(), *([shared] if shared else [])]]
    if ran:
        blocks += [[heading + title, *lay_out(cells)] for title, cells in tables(ran).items()]
        blocks += [[mark + line for line in lines] for lines in (NEEDS, MEANING)]
    blocks.append(left_out(rows, as_markdown))
    gap = '\n\n'
    return gap.join('\n'.join(block) for block in blocks if block)


def tables(ran: Sequence[Row]) -> dict[str, list[list[str]]]:
    """Return tables of rows that ran, the head first, by title; without what no row knows."""
    _, names = named_columns(ran, _NAMES)
    filled = {title: _cells(ran, names, columns) for title, columns in _TABLES.items()}
    kept = {title: cells for title, cells in filled.items() if len(cells[0]) > len(names)}
    if not any(row.random_weights for row in ran):
        return kept
    said = ['random weights', *('speed only' if row.random_weights else '-' for row in ran)]
    return {
        title: [[*line, end] for line, end in zip(cells, said, strict=True)]
        for title, cells in kept.items()
    }


def start_text(starts: Sequence[Start], as_markdown: bool) -> str:
    """Return the table of starts, and what did not start with the reason."""
    started = [one for one in starts if not one.note]
    names = ('variant', 'input_size', 'backend', 'precision')
    lay_out = markdown if as_markdown else aligned
    lines = lay_out(_cells(started, names, _STARTS)) if started else []
    if reasons := left_out(starts, as_markdown):
        lines += ['', *reasons]
    return '\n'.join(lines)


def json_text(rows: Sequence[Row], conditions: Conditions) -> str:
    """Return everything as JSON; what is not known is null."""
    suits = [{use.name: verdict(row, use) for use in USES if row.timing} for row in rows]
    shared = dataclasses.asdict(conditions)
    return plain_json({**shared, 'rows': rows, 'uses': USES, 'suitability': suits})


def named_columns(rows: Sequence[Any], names: Sequence[str]) -> tuple[str, list[str]]:
    """Return what all rows have in common as text, and the names that differ between them."""
    values = {name: {str(getattr(row, name)) for row in rows} for name in names}
    different = [name for name in names if len(values[name]) > 1]
    # Rows need at least one name.
    shown = different or list(names[:1])
    shared = [f'{name} {value}' for name in names if name not in shown for value in values[name]]
    return ', '.join(shared), shown


def _cells(
    rows: Sequence[Row | Start], names: Sequence[str], columns: Sequence[Column]
) -> list[list[str]]:
    filled = [(title, [_cell(value(row), form) for row in rows]) for title, value, form in columns]
    kept = [(title, cells) for title, cells in filled if set(cells) != {'-'}]
    head = [*names, *(title for title, _ in kept)]
    body = [
        [*(str(getattr(row, name)) for name in names), *(cells[index] for _, cells in kept)]
        for index, row in enumerate(rows)
    ]
    return [head, *body]


def _by_size(row: Row, value: float | None) -> float | None:
    """Return a value for each million of parameters."""
    return value and row.million_parameters and value / row.million_parameters


def _cell(value: object, form: str) -> str:
    if value is None or isinstance(value, str):
        return value or '-'
    return format(value, form)


def left_out(rows: Sequence[Row | Start], as_markdown: bool = False) -> list[str]:
    """Return the lines that say why some of `rows` have no times, or no larger batch."""
    reasons: dict[str, dict[str, dict[str, None]]] = {}
    for row in (row for row in rows if row.note):
        engines = reasons.setdefault(row.note, {})
        engines.setdefault(f'{row.backend} {row.precision}', {})[row.variant] = None
    mark = '- ' if as_markdown else '  '
    lines = []
    for reason, engines in reasons.items():
        names = (f'{engine} ({", ".join(variants)})' for engine, variants in engines.items())
        lines.append(f'{mark}{", ".join(names)}: {reason}')
    lines += [
        f'{mark}{row.backend} {row.precision} ({row.variant}), larger batches: {row.batch_limit}'
        for row in rows
        if isinstance(row, Row) and row.batch_limit
    ]
    return ['left out:', *([''] if as_markdown else []), *lines] if lines else []
