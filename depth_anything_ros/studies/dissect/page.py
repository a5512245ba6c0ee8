"""The page of a dissection, on which one clicks through the layers, and layers.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plotly import graph_objects

from depth_anything_ros.reports.report import (
    Block,
    Cell,
    Graph,
    Picture,
    Section,
    Steps,
    Table,
    Text,
)
from depth_anything_ros.studies.dissect.artefact import EXPLANATION, Untrained
from depth_anything_ros.studies.dissect.run import Dissection, file_stem, stage_stem
from depth_anything_ros.studies.plots import COLOURS

__all__ = ['SCHEMA', 'artefact_section', 'layers_json', 'sections']

SCHEMA = Path(__file__).with_name('layers.schema.json')
"""JSON schema of layers.json."""

_FIGURES = (
    ('shape', 'shape'),
    ('type', 'dtype'),
    ('parameters', 'parameters'),
    ('minimum', 'min'),
    ('maximum', 'max'),
    ('mean', 'mean'),
    ('standard deviation', 'std'),
    ('share of zeros', 'zeros'),
    ('share below zero', 'negative'),
    ('channels', 'channels'),
    ('dead channels', 'dead_channels'),
    ('channels never above zero', 'never_positive_channels'),
    ('mean length of a token', 'mean_norm'),
    ('effective rank', 'effective_rank'),
)

_MEANING = (
    'A convolution is numbered and named as in the network. Dead channels do not vary over the '
    'image. A channel never above zero leaves nothing behind a ReLU. Tiles: the 64 channels that '
    'vary most, each in its own range of colours. Effective rank: exp of the entropy of the '
    'singular values of the patch tokens. Attention: a row for each chosen point (red), a column '
    'for each head, from the patch at the point to all patches.'
)
_STAGES = (
    'The head runs again without one tap (its level is zero) or without one fusion stage (its '
    'residual units add nothing). ssi error: what is left against the whole network after the '
    'best scale and shift, per standard deviation; 0 adds nothing, 1 is unrelated without it.'
)


def layers_json(dissection: Dissection, facts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the content of layers.json, as `SCHEMA` describes it."""
    return {
        'format': 1,
        'facts': dict(facts),
        'architectures': {
            name: [asdict(unit) for unit in units]
            for name, units in dissection.architectures.items()
        },
        'parts': dissection.parts,
    }


def artefact_section(rows: Sequence[Untrained], missing: str) -> Section:
    """Show the published artefact and why it arises."""
    head = ['variant', 'code', 'seed', 'min before ReLU', 'max before ReLU', 'std', 'zeros after']
    table: list[list[Cell]] = [[*head]]
    table += [
        [one.variant, one.code, one.seed, one.min, one.max, one.std, one.zeros] for one in rows
    ]
    note = [Text(f"Upstream's code is not among the rows: {missing}")] if missing else []
    return Section('The sign that is none', [Text(EXPLANATION), Table(table), *note])


def sections(dissection: Dissection, folder: Path) -> list[Section]:
    """Return the sections about the networks; pictures are those that `dissect` wrote."""
    parts = dissection.parts
    drawn = [
        (name, [Picture(folder / name / 'architecture.png')]) for name in dissection.architectures
    ]
    browsed = [(_title(part), [Steps(_layer_steps(part, folder))]) for part in parts]
    removed = [(_title(part), _stage_blocks(part, folder)) for part in parts]
    return [
        Section('What ran', _what_ran(parts)),
        Section('Layer by layer', [Text(_MEANING), Steps(browsed)]),
        Section('The variants side by side', _side_by_side(parts)),
        Section('What each tap and fusion stage adds', [Text(_STAGES), Steps(removed)]),
        Section('Architecture, as the network is traced', [Steps(drawn)]),
    ]


def _title(part: dict[str, Any]) -> str:
    weights = ' (random weights)' if part['random_weights'] else ''
    return f'{part["variant"]}{weights}, {part["image"]}'


def _what_ran(parts: Sequence[dict[str, Any]]) -> list[Block]:
    head: list[Cell] = ['network, image', 'input', 'convolutions', 'that ran', 'blocks']
    rows: list[list[Cell]] = [
        [*head, 'min before ReLU', 'max before ReLU', 'depth min', 'depth max', 'zeros']
    ]
    never = ''
    for part in parts:
        ran = _of_kind(part, 'convolution')
        names = ', '.join(f'{one["number"]} {one["name"]}' for one in part['never_ran'])
        never = f'Never run, in any variant: {names}. Nothing comes before the deepest level.'
        depth = part['depth']
        rows.append(
            [
                _title(part),
                ' x '.join(map(str, part['input_size'])),
                len(ran) + len(part['never_ran']),
                len(ran),
                len(_of_kind(part, 'block')),
                *part['before_relu'],
                *(depth[name] for name in ('min', 'max', 'zeros')),
            ]
        )
    return [Table(rows), Text(never)]


def _of_kind(part: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [layer for layer in part['layers'] if layer['kind'] == kind]


def _layer_steps(part: dict[str, Any], folder: Path) -> list[tuple[str, list[Block]]]:
    own = folder / part['variant'] / part['image']
    steps = []
    for layer in part['layers']:
        rows: list[list[Cell]] = [['of the output', 'value']]
        rows += [[title, _value(layer[name])] for title, name in _FIGURES]
        blocks: list[Block] = [Table(rows)]
        picture = own / 'layers' / f'{file_stem(layer["order"], layer["name"])}.png'
        if layer['kind'] == 'attention':
            block = own / 'attention' / f'block_{layer["number"]:02d}.png'
            blocks += [Picture(block), _heads(part['heads'][layer['number'] - 1])]
        elif picture.exists():
            blocks.append(Picture(picture))
        steps.append((f'{layer["kind"]} {layer["number"]}: {layer["name"]}', blocks))
    return steps


def _value(value: Any) -> Cell:
    return ' x '.join(map(str, value)) if isinstance(value, list) else value


def _heads(heads: Sequence[dict[str, Any]]) -> Table:
    head = ['head', 'entropy, 0 to 1', 'distance, patches', 'share on the class token']
    names = 'head', 'entropy', 'distance_patches', 'class_token'
    return Table([head, *([one[name] for name in names] for one in heads)])


def _side_by_side(parts: Sequence[dict[str, Any]]) -> list[Block]:
    first = {part['variant']: part for part in reversed(parts)}
    shown = [first[name] for name in dict.fromkeys(part['variant'] for part in parts)]
    head: list[Cell] = ['no.', 'convolution']
    for part in shown:
        name = part['variant']
        head += [f'{name} shape', f'{name} mean', f'{name} std', f'{name} dead']
    rows: list[list[Cell]] = [head]
    for layers in zip(*(_of_kind(part, 'convolution') for part in shown), strict=True):
        row: list[Cell] = [layers[0]['number'], layers[0]['name']]
        for one in layers:
            row += [_value(one['shape'][1:]), one['mean'], one['std'], one['dead_channels']]
        rows.append(row)
    graphs = [
        _graph(shown, 'convolution', 'std', 'standard deviation', 'log'),
        _graph(shown, 'block', 'mean_norm', 'mean length of a token', 'log'),
        _graph(shown, 'block', 'effective_rank', 'effective rank', 'linear'),
    ]
    return [Text(f'On the image {shown[0]["image"]}.'), Table(rows), *graphs]


def _graph(parts: Sequence[dict[str, Any]], kind: str, name: str, title: str, scale: str) -> Graph:
    figure = graph_objects.Figure()
    for part, colour in zip(parts, COLOURS, strict=False):
        layers = _of_kind(part, kind)
        figure.add_scatter(
            x=list(range(1, len(layers) + 1)),
            y=[layer[name] for layer in layers],
            text=[layer['name'] for layer in layers],
            name=_title(part),
            mode='lines+markers',
            line_color=colour,
        )
    figure.update_layout(
        xaxis_title=f'{kind}, in the order of running', yaxis_title=title, yaxis_type=scale
    )
    return Graph(figure, f'{title} by {kind}')


def _stage_blocks(part: dict[str, Any], folder: Path) -> list[Block]:
    own = folder / part['variant'] / part['image']
    rows: list[list[Cell]] = [['without', 'ssi error', 'rank correlation']]
    pictures = [Picture(own / 'depth.png', caption='the whole network')]
    for stage in part['stages']:
        rows.append([stage['removed'], stage['ssi_error'], stage['rank_correlation']])
        path = own / 'stages' / f'{stage_stem(stage["removed"])}.png'
        pictures.append(Picture(path, caption=f'without {stage["removed"]}'))
    return [Table(rows), *pictures]
