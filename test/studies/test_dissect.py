"""What every layer puts out, measured while the network runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import torch
from in_study import study

from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.preprocess import network_input
from depth_anything_ros.model.network import DepthAnythingV2
from depth_anything_ros.model.network.checkpoint import network_of
from depth_anything_ros.model.variants import Checkpoint, get_variant
from depth_anything_ros.model.weights import find
from depth_anything_ros.studies.dissect.architecture import trace
from depth_anything_ros.studies.dissect.artefact import untrained
from depth_anything_ros.studies.dissect.page import SCHEMA
from depth_anything_ros.studies.dissect.record import (
    Record,
    attention_rows,
    effective_rank,
    figures_of,
    record,
    stages,
    token_of,
)
from depth_anything_ros.studies.dissect.run import DissectPlan, dissect
from depth_anything_ros.studies.inputs import subjects_of
from depth_anything_ros.studies.parts import Parts

SIZE = 126, 168
NEVER = [
    'depth_head.scratch.refinenet4.resConfUnit1.conv1',
    'depth_head.scratch.refinenet4.resConfUnit1.conv2',
]


@pytest.fixture(scope='module')
def demo() -> DepthAnythingV2:
    return network_of(find('demo', Checkpoint.RELATIVE))


@pytest.fixture(scope='module')
def image() -> torch.Tensor:
    return torch.from_numpy(network_input(photograph(), SIZE))[None]


@pytest.fixture(scope='module')
def outputs() -> dict[str, torch.Tensor]:
    return {}


@pytest.fixture(scope='module')
def whole(demo: DepthAnythingV2, image: torch.Tensor, outputs: dict[str, torch.Tensor]) -> Record:
    def keep(layer: dict[str, Any], output: torch.Tensor) -> None:
        outputs[layer['name']] = output.clone()

    return record(
        demo,
        image,
        [(0.5, 0.5), (0.0, 1.0)],
        keep,
        lambda number, maps: outputs.update({f'maps {number}': maps}),
    )


def test_every_layer_that_runs_is_measured(
    demo: DepthAnythingV2,
    image: torch.Tensor,
    whole: Record,
    outputs: dict[str, torch.Tensor],
) -> None:
    with torch.inference_mode():
        assert np.array_equal(whole.depth, demo(image)[0].numpy())
    kinds = [layer['kind'] for layer in whole.layers]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        'convolution': 33,
        'attention': 6,
        'block': 6,
    }
    assert outputs['maps 6'].shape == (3, 2, 9, 12)
    assert [one.name for one in whole.never_ran] == NEVER
    assert [layer['order'] for layer in whole.layers] == list(range(1, 46))
    assert len(whole.tapped) == 4
    assert whole.before_relu == (whole.depth.min(), whole.depth.max())
    for layer in whole.layers:
        values = outputs[layer['name']].double()
        assert tuple(layer['shape']) == tuple(values.shape) and layer['dtype'] == 'float32'
        assert layer['mean'] == pytest.approx(float(values.mean()), abs=1e-4 * layer['std'])
        assert layer['std'] == pytest.approx(float(values.std(correction=0)), rel=1e-4)
        assert (layer['min'], layer['max']) == (float(values.min()), float(values.max()))
    last = whole.layers[-1]
    assert last['name'] == 'depth_head.scratch.output_conv2.2' and last['number'] == 35
    # Nothing stays hooked.
    assert not any(module._forward_hooks for module in demo.modules())


def test_dead_channels_and_zeros_are_counted() -> None:
    output = torch.zeros(1, 4, 5, 6)
    output[0, 1] = torch.randn(5, 6).abs() + 1
    output[0, 2] = -output[0, 1]
    output[0, 3] = 7.0
    found = figures_of(output)
    assert (found['channels'], found['dead_channels']) == (4, 2)
    assert found['never_positive_channels'] == 2
    assert found['zeros'] == found['negative'] == 0.25


def test_effective_rank_counts_directions() -> None:
    alike = torch.ones(50, 1) @ torch.randn(1, 20)
    assert effective_rank(alike) == pytest.approx(1.0, abs=1e-3)
    assert effective_rank(torch.eye(8)) == pytest.approx(8.0)


def test_attention_is_that_of_the_block(demo: DepthAnythingV2, image: torch.Tensor) -> None:
    """Its rows times the values, through the projection, are what the attention puts out."""
    block: Any = demo.pretrained.blocks[2]
    kept: dict[str, torch.Tensor] = {}
    hooks = [
        block.attn.qkv.register_forward_hook(lambda _, __, out: kept.update(qkv=out)),
        block.attn.register_forward_hook(lambda _, __, out: kept.update(out=out)),
    ]
    with torch.inference_mode():
        demo(image)
        for hook in hooks:
            hook.remove()
        queries = [token_of((0.3, 0.6), 9, 12), 0]
        attention = attention_rows(kept['qkv'], block.attn.heads, queries)
        value = kept['qkv'][0].reshape(109, 3, block.attn.heads, -1)[:, 2].permute(1, 0, 2)
        mixed = block.attn.proj((attention @ value).permute(1, 0, 2).reshape(2, -1))
        assert torch.allclose(mixed, kept['out'][0, queries], atol=1e-4)
        # The class token and all patches.
        assert torch.allclose(attention.sum(-1), torch.ones(3, 2))


def test_a_point_is_a_patch() -> None:
    assert (token_of((0.0, 0.0), 4, 5), token_of((1.0, 1.0), 4, 5)) == (1, 20)
    assert token_of((0.5, 0.25), 4, 5) == 1 + 5 + 2


def test_a_stage_that_is_removed_is_missed(
    demo: DepthAnythingV2, image: torch.Tensor, whole: Record
) -> None:
    seen = {}
    found = stages(demo, image, whole, lambda title, other: seen.update({title: other}))
    assert [one['removed'].partition(' (')[0] for one in found] == [
        *(f'tap {level}' for level in (1, 2, 3, 4)),
        *(f'fusion {level}' for level in (4, 3, 2, 1)),
    ]
    assert all(0 < one['ssi_error'] <= 1 for one in found)
    assert all(not np.array_equal(other, whole.depth) for other in seen.values())
    with torch.inference_mode():
        # The encoder is back, and nothing is left of the removals.
        assert np.array_equal(demo(image)[0].numpy(), whole.depth)


def test_the_architecture_is_traced_through_the_network() -> None:
    units = {one.name: one for one in trace(get_variant('vits'), (518, 686))}
    kinds = [one.kind for one in units.values()]
    assert (kinds.count('convolution'), kinds.count('block')) == (33, 12)
    assert not set(NEVER) & set(units)
    assert units['depth_head.projects.1'].inputs == ('pretrained.blocks.5',)
    assert units['pretrained.blocks.11'].shape == (1, 1814, 384)
    assert units['depth_head.scratch.output_conv2.2'].shape == (1, 1, 518, 686)
    assert units['depth'].inputs == ('depth_head.scratch.output_conv2.2',)


def test_the_published_sign_is_that_of_networks_without_weights() -> None:
    found, missing = untrained([get_variant('vits'), get_variant('vitb')], photograph())
    ours = found['vits, this package, seed 42']
    assert -0.2 < ours['min before ReLU'] < ours['max before ReLU'] < -0.1
    assert ours['zeros after'] == 1.0
    if not missing:
        small, base = (found[f"{name}, upstream's code, seed 42"] for name in ('vits', 'vitb'))
        assert -0.19 < small['min before ReLU'] < small['max before ReLU'] < -0.1
        assert 0.05 < base['min before ReLU'] < base['max before ReLU'] < 0.11
        assert (small['zeros after'], base['zeros after']) == (1.0, 0.0)
    # Another seed, another sign, of one and the same variant.
    signs = {one['max before ReLU'] > 0 for name, one in found.items() if 'vits' in name}
    assert signs == {True, False}


def test_a_page_arrays_and_json_by_the_schema_that_ships(tmp_path: Path) -> None:
    source = tmp_path / 'room.png'
    cv2.imwrite(str(source), photograph())
    out = tmp_path / 'out'
    words = ['--variant', 'demo', '--layers', 'depth_head.*,pretrained.blocks.5']
    assert study('dissect', source, out, *words) == 0
    content = json.loads((out / 'layers.json').read_text())
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    with pytest.raises(jsonschema.ValidationError):
        content['parts'][0]['layers'][0]['zeros'] = 2
        jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    arrays = sorted((out / 'demo' / 'room' / 'layers').glob('*.npy'))
    assert len(arrays) == 33  # 32 of the head and a block
    last = np.load(arrays[-1])
    assert last.shape == (1, 1, *SIZE)
    assert np.load(out / 'demo' / 'room' / 'depth.npy').max() == last.max()
    page = (out / 'index.html').read_text()
    assert NEVER[0] in page and 'convolution 35: depth_head.scratch.output_conv2.2' in page
    assert 'demo/room/attention/block_06.png' in page
    assert (out / 'demo' / 'room' / 'attention' / 'block_06.png').exists()
    # Resumed, nothing runs again; changed, it does.
    arrays[-1].unlink()
    assert study('dissect', source, out, *words, '--resume') == 0
    assert not arrays[-1].exists()
    assert study('dissect', source, out, *words, '--resume', '--points', '0.1,0.1') == 0
    assert arrays[-1].exists()
    # Pictures of an earlier run with other --layers stay on disk, and are not shown.
    assert study('dissect', source, out, *words[:3], 'depth_head.projects.*', '--resume') == 0
    page = (out / 'index.html').read_text()
    assert (out / 'demo/room/layers/014_depth_head.projects.0.png').exists()
    assert 'layers/014_depth_head.projects.0.png' in page and 'block_06.png' in page
    assert arrays[-1].with_suffix('.png').exists() and arrays[-1].stem not in page


def test_progress_is_told_by_layers(tmp_path: Path) -> None:
    (demo,) = subjects_of(['demo'], '', 518)
    told: list[tuple[int, int]] = []
    plan = DissectPlan(tmp_path, ('none',), False, ((0.5, 0.5),))
    dissect(
        [demo],
        {'a': photograph(), 'b': photograph()},
        plan,
        Parts(tmp_path, resume=False),
        lambda *at: told.append(at),
    )
    layers = 33 + 2 * demo.variant.depth
    assert sorted(set(told)) == [(done, 2 * layers) for done in range(1, 2 * layers + 1)]


def test_random_weights_are_said_on_the_page(tmp_path: Path) -> None:
    source = tmp_path / 'room.png'
    cv2.imwrite(str(source), photograph())
    words = ['--variant', 'demo', '--weights', 'random', '--layers', '*projects*', '--no-npy']
    assert study('dissect', source, tmp_path / 'out', *words) == 0
    page = (tmp_path / 'out' / 'index.html').read_text()
    assert 'class="warning">demo: random weights' in page and 'demo (random weights), room' in page
    assert not list((tmp_path / 'out').rglob('layers/*.npy'))


def test_a_pattern_without_a_layer_is_refused(tmp_path: Path) -> None:
    source = tmp_path / 'room.png'
    cv2.imwrite(str(source), photograph())
    with pytest.raises(SettingError, match=r'names no layer of demo: .* pretrained.blocks.0'):
        study('dissect', source, tmp_path / 'out', '--variant', 'demo', '--layers', 'conv9')
