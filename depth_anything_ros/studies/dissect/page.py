"""The page of a dissection, on which one clicks through the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
from depth_anything_ros.reports.text import plain_json
from depth_anything_ros.studies.dissect.architecture import draw
from depth_anything_ros.studies.dissect.artefact import EXPLANATION, untrained
from depth_anything_ros.studies.dissect.run import (
    DissectPlan,
    dissect,
    layer_file,
    stage_file,
    traced,
)
from depth_anything_ros.studies.inputs import Images, OnProgress, Subject
from depth_anything_ros.studies.parts import Parts

__all__ = ['SCHEMA', 'study']

SCHEMA = Path(__file__).with_name('layers.schema.json')
"""JSON schema of layers.json."""

Part = Mapping[str, Any]

_NAMES = {
    'std': 'standard deviation',
    'zeros': 'share of zeros',
    'negative': 'share below zero',
    'dead_channels': 'dead channels',
    'never_positive_channels': 'channels never above zero',
    'mean_length': 'mean length of a token',
    'effective_rank': 'effective rank',
}
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
    'best scale and shift, per standard deviation; 0: it adds nothing, 1: unrelated without it.'
)


def study(
    subjects: Sequence[Subject],
    images: Images,
    plan: DissectPlan,
    parts: Parts,
    on_progress: OnProgress,
) -> list[Section]:
    """Dissect every network on every image; write layers.json, and return the sections."""
    found = dissect(subjects, images, plan, parts, on_progress)
    first = next(iter(images.values()))
    units = {one.variant.name: traced(one, first) for one in subjects}
    for name, each in units.items():
        draw(each, name, plan.folder / name / 'architecture.png')
    content = plain_json({'format': 1, 'architectures': units, 'parts': found})
    (plan.folder / 'layers.json').write_text(content + '\n')
    rows, missing = untrained([one.variant for one in subjects], first)
    blocks: list[Block] = [Text(EXPLANATION), Table.of('network', rows)]
    blocks += [Text(each) for each in dict.fromkeys(missing)]
    return [*_sections(found, list(units), plan), Section('The sign that is none', blocks)]


def _sections(parts: Sequence[Part], variants: Sequence[str], plan: DissectPlan) -> list[Section]:
    ran = {_title(part): _ran(part) for part in parts}
    never = ', '.join(f'{one["number"]} {one["name"]}' for one in parts[0]['never_ran'])
    browsed = [(_title(part), [Steps(_layers(part, plan))]) for part in parts]
    removed = [(_title(part), _stages(part, plan.folder)) for part in parts]
    architecture = [
        (name, [Picture(plan.folder / name / 'architecture.png')]) for name in variants
    ]
    return [
        Section(
            'What ran',
            [
                Table.of('network, image', ran),
                Text(f'Never run, in any variant, as nothing is deeper than level 4: {never}.'),
            ],
        ),
        Section('Layer by layer', [Text(_MEANING), Steps(browsed)]),
        Section('The variants side by side', _side_by_side(parts)),
        Section('What each tap and fusion stage adds', [Text(_STAGES), Steps(removed)]),
        Section('Architecture, as the network is traced', [Steps(architecture)]),
    ]


def _title(part: Part) -> str:
    weights = ' (random weights)' if part['random_weights'] else ''
    return f'{part["variant"]}{weights}, {part["image"]}'


def _ran(part: Part) -> dict[str, Cell]:
    convolutions = len(_of_kind(part, 'convolution'))
    return {
        'input': _size(part['input_size']),
        'convolutions': convolutions + len(part['never_ran']),
        'that ran': convolutions,
        'blocks': len(_of_kind(part, 'block')),
        'min before ReLU': part['before_relu'][0],
        'max before ReLU': part['before_relu'][1],
        **{f'depth, {name}': value for name, value in part['depth'].items()},
    }


def _of_kind(part: Part, kind: str) -> list[dict[str, Any]]:
    return [layer for layer in part['layers'] if layer['kind'] == kind]


def _size(shape: Sequence[int]) -> str:
    return ' x '.join(map(str, shape))


def _layers(part: Part, plan: DissectPlan) -> list[tuple[str, list[Block]]]:
    steps = []
    for layer in part['layers']:
        shown: dict[str, dict[str, Cell]] = {
            _NAMES.get(name, name): {'value': _size(value) if name == 'shape' else value}
            for name, value in layer.items()
            if name not in ('kind', 'number', 'name') and value is not None
        }
        blocks: list[Block] = [Table.of('figure', shown)]
        # Others may be there, of an earlier run with other options.
        if layer['kind'] == 'attention' or plan.has(layer['name']):
            own = plan.folder / part['variant'] / part['image']
            blocks.append(Picture(own / f'{layer_file(layer)}.png'))
        steps.append((f'{layer["kind"]} {layer["number"]}: {layer["name"]}', blocks))
    return steps


def _side_by_side(parts: Sequence[Part]) -> list[Block]:
    shown = {part['variant']: part for part in parts if part['image'] == parts[0]['image']}
    rows: dict[str, dict[str, Cell]] = {}
    for layers in zip(*(_of_kind(each, 'convolution') for each in shown.values()), strict=True):
        row = rows[f'{layers[0]["number"]} {layers[0]["name"]}'] = {}
        for name, layer in zip(shown, layers, strict=True):
            row[f'{name} shape'] = _size(layer['shape'][1:])
            row |= {f'{name} mean': layer['mean'], f'{name} std': layer['std']}
            row[f'{name} dead'] = layer['dead_channels']
    graphs = [
        _graph(shown, 'convolution', 'std'),
        _graph(shown, 'block', 'mean_length'),
        _graph(shown, 'block', 'effective_rank'),
    ]
    return [Table.of('convolution', rows, f'on {parts[0]["image"]}'), *graphs]


def _graph(parts: Mapping[str, Part], kind: str, name: str) -> Graph:
    data = [
        {
            'type': 'scatter',
            'name': _title(part),
            'y': [layer[name] for layer in _of_kind(part, kind)],
            'text': [layer['name'] for layer in _of_kind(part, kind)],
        }
        for part in parts.values()
    ]
    titles = f'{kind}, in the order of running', _NAMES[name], f'{_NAMES[name]} by {kind}'
    return Graph.of(data, *titles, type='log')


def _stages(part: Part, folder: Path) -> list[Block]:
    own = folder / part['variant'] / part['image']
    names = {'ssi_error': 'ssi error', 'rank_correlation': 'rank correlation'}
    rows: dict[str, dict[str, Cell]] = {
        f'without {one["removed"]}': {title: one[name] for name, title in names.items()}
        for one in part['stages']
    }
    pictures = [
        Picture(own / f'{stage_file(one["removed"])}.png', caption=f'without {one["removed"]}')
        for one in part['stages']
    ]
    return [
        Table.of('depth', rows),
        Picture(own / 'depth.png', caption='the whole network'),
        *pictures,
    ]
