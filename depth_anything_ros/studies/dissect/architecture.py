"""The architecture, as torch traces it: layers, shapes, and what feeds what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.variants import Variant
from depth_anything_ros.studies.dissect.record import Kind, modules_of
from depth_anything_ros.studies.plots import COLOURS, save, subplots

__all__ = ['Unit', 'draw', 'trace']

IMAGE, DEPTH = 'image', 'depth'

_UNITS = Kind.CONVOLUTION, Kind.BLOCK

_COLOURS = {'convolution': COLOURS[0], 'block': COLOURS[2], '': COLOURS[3]}
_COLUMN_IN, _ROW_IN = 1.9, 0.5


@dataclass(frozen=True)
class Unit:
    """A convolution or a block; `inputs` are the names of the units whose outputs reach it."""

    name: str
    kind: str
    shape: tuple[int, ...]
    inputs: tuple[str, ...]


@lru_cache
def trace(variant: Variant, size: tuple[int, int]) -> tuple[Unit, ...]:
    """Return the units in the order of running for an input of `size` (height, width).

    Nothing is computed: torch exports the network on the meta device. What never runs is not
    among them.
    """
    with torch.device('meta'), torch.no_grad():
        network = DepthAnythingV2(variant).eval()
        exported = torch.export.export(network, (torch.empty(1, 3, *size),), strict=False)
    kinds = {name: one.kind for name, one in modules_of(network).items()}
    sources: dict[Any, set[str]] = {}
    units: dict[str, Unit] = {IMAGE: Unit(IMAGE, '', (1, 3, *size), ())}
    for node in exported.graph.nodes:
        if node.op == 'placeholder':
            is_image = node.name in exported.graph_signature.user_inputs
            sources[node] = {IMAGE} if is_image else set()
            continue
        reaching = set().union(*(sources[each] for each in node.all_input_nodes))
        if node.op == 'output':
            shape = tuple(node.all_input_nodes[0].meta['val'].shape)
            units[DEPTH] = Unit(DEPTH, '', shape, tuple(sorted(reaching)))
            break
        paths = [path for path, _ in node.meta.get('nn_module_stack', {}).values()]
        owner = next((path for path in paths if kinds.get(path) in _UNITS), None)
        if owner is None:
            sources[node] = reaching
            continue
        before = units[owner].inputs if owner in units else ()
        inputs = sorted({*before, *(reaching - {owner})})
        # A block ends in an addition; what splits a tensor has several shapes.
        shape = tuple(getattr(node.meta['val'], 'shape', ()))
        units[owner] = Unit(owner, kinds[owner].value, shape, tuple(inputs))
        sources[node] = {owner}
    return tuple(units.values())


def draw(units: Sequence[Unit], title: str, path: Path) -> None:
    """Draw the units from top to bottom into a PNG file, an arrow for each input."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ranks, lanes = _placed(units)
    columns, rows = 1 + max(lanes.values()), 1 + max(ranks.values())
    figure, axes = subplots(_COLUMN_IN * columns, _ROW_IN * rows + 0.3)
    axes.axis('off')
    axes.set_title(title, fontsize=10, loc='left')
    for unit in units:
        x, y = lanes[unit.name], -ranks[unit.name]
        for each in unit.inputs:
            start = lanes[each], -ranks[each] - 0.28
            style = {'arrowstyle': '-|>', 'color': '#777777', 'shrinkA': 0, 'shrinkB': 0}
            axes.annotate('', (x, y + 0.28), start, arrowprops=style)
        label = f'{_short(unit.name)}\n{" x ".join(map(str, unit.shape[1:]))}'
        box = {'facecolor': 'white', 'edgecolor': _COLOURS[unit.kind], 'boxstyle': 'round'}
        axes.text(x, y, label, ha='center', va='center', fontsize=6.5, bbox=box)
    axes.set_xlim(-0.5, max(lanes.values()) + 0.5)
    axes.set_ylim(-max(ranks.values()) - 0.5, 0.5)
    save(figure, path)


def _short(name: str) -> str:
    for prefix in ('depth_head.scratch.', 'depth_head.', 'pretrained.'):
        name = name.removeprefix(prefix)
    return name


def _placed(units: Sequence[Unit]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the row of each unit, its longest path from the image, and its column.

    A unit keeps its column free until the last that it feeds, which may take it over.
    """
    ranks: dict[str, int] = {}
    ends: dict[str, int] = {}
    for unit in units:
        ranks[unit.name] = 1 + max((ranks[each] for each in unit.inputs), default=-1)
        for each in unit.inputs:
            ends[each] = max(ends.get(each, 0), ranks[unit.name])
    lanes: dict[str, int] = {}
    busy_until: list[int] = []
    for unit in sorted(units, key=lambda one: ranks[one.name]):
        row = ranks[unit.name]
        own = [lanes[each] for each in unit.inputs]
        free = [lane for lane, end in enumerate(busy_until) if end <= row]
        lane = next((one for one in own if one in free), free[0] if free else len(busy_until))
        busy_until += [0] * (lane + 1 - len(busy_until))
        busy_until[lane] = ends.get(unit.name, row)
        lanes[unit.name] = lane
    return ranks, lanes
