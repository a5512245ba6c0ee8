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
from depth_anything_ros.studies.dissect.attention import attention_rows, head_figures, token_of
from depth_anything_ros.studies.dissect.layer import Kind, Layer, Module, effective_rank
from depth_anything_ros.studies.dissect.page import SCHEMA
from depth_anything_ros.studies.dissect.record import record, stages

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


def test_every_layer_that_runs_is_measured(demo: DepthAnythingV2, image: torch.Tensor) -> None:
    outputs: dict[str, torch.Tensor] = {}
    maps = []
    found, tapped, depth = record(
        demo,
        image,
        [(0.5, 0.5), (0.0, 1.0)],
        lambda layer, output: outputs.update({layer.name: output.clone()}),
        maps.append,
    )
    with torch.inference_mode():
        assert np.array_equal(depth, demo(image)[0].numpy())
    kinds = [layer.kind for layer in found.layers]
    assert (kinds.count(Kind.CONVOLUTION), kinds.count(Kind.BLOCK)) == (33, 6)
    assert kinds.count(Kind.ATTENTION) == len(found.heads) == len(maps) == 6
    assert [one.name for one in found.never_ran] == NEVER
    assert [layer.order for layer in found.layers] == list(range(1, 46))
    assert len(tapped) == 4
    assert found.before_relu == (depth.min(), depth.max())
    for layer in found.layers:
        values = outputs[layer.name].double()
        assert layer.shape == tuple(values.shape) and layer.dtype == 'float32'
        assert layer.mean == pytest.approx(float(values.mean()), abs=1e-4 * layer.std)
        assert layer.std == pytest.approx(float(values.std(correction=0)), rel=1e-4)
        assert (layer.min, layer.max) == (float(values.min()), float(values.max()))
    last = found.layers[-1]
    assert last.name == 'depth_head.scratch.output_conv2.2' and last.number == 35
    # Nothing stays hooked.
    assert not any(module._forward_hooks for module in demo.modules())


def test_dead_channels_and_zeros_are_counted() -> None:
    output = torch.zeros(1, 4, 5, 6)
    output[0, 1] = torch.randn(5, 6).abs() + 1
    output[0, 2] = -output[0, 1]
    output[0, 3] = 7.0
    layer = Layer.of(Module(Kind.CONVOLUTION, 1, 'x'), 1, 0, output)
    assert (layer.channels, layer.dead_channels, layer.never_positive_channels) == (4, 2, 2)
    assert layer.zeros == layer.negative == 0.25


def test_effective_rank_counts_directions() -> None:
    alike = torch.ones(50, 1) @ torch.randn(1, 20)
    assert effective_rank(alike) == pytest.approx(1.0, abs=1e-3)
    assert effective_rank(torch.eye(8)) == pytest.approx(8.0)
    assert effective_rank(torch.zeros(3, 4)) == 0.0


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
        figures = head_figures(kept['qkv'], block.attn.heads, 9, 12)
    assert [one.head for one in figures] == [1, 2, 3]
    assert all(0 < one.entropy <= 1 and 0 <= one.class_token <= 1 for one in figures)


def test_a_head_that_looks_at_itself_looks_nowhere_else() -> None:
    tokens = 1 + 4 * 5
    sharp = 100.0 * torch.eye(tokens, 24)
    (figures,) = head_figures(torch.cat([sharp, sharp, sharp], dim=1)[None], 1, 4, 5)
    assert figures.entropy < 1e-3 and figures.distance_patches < 1e-3
    (alike,) = head_figures(torch.zeros(1, tokens, 72), 1, 4, 5)
    assert alike.entropy == pytest.approx(1.0) and alike.distance_patches > 1.5
    assert (token_of((0.0, 0.0), 4, 5), token_of((1.0, 1.0), 4, 5)) == (1, 20)


def test_a_stage_that_is_removed_is_missed(demo: DepthAnythingV2, image: torch.Tensor) -> None:
    _, tapped, depth = record(demo, image, [], lambda *_: None, lambda _: None)
    seen = {}
    found = stages(demo, image, tapped, depth, lambda title, other: seen.update({title: other}))
    assert [one.removed.partition(' (')[0] for one in found] == [
        *(f'tap {level}' for level in (1, 2, 3, 4)),
        *(f'fusion {level}' for level in (4, 3, 2, 1)),
    ]
    assert all(0 < one.ssi_error <= 1 for one in found)
    assert all(not np.array_equal(other, depth) for other in seen.values())
    with torch.inference_mode():
        # The encoder is back, and nothing is left of the removals.
        assert np.array_equal(demo(image)[0].numpy(), depth)


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
    rows, missing = untrained([get_variant('vits'), get_variant('vitb')], photograph())
    found = {(one.variant, one.code, one.seed): one for one in rows}
    ours = found['vits', 'this package', 42]
    assert -0.2 < ours.min < ours.max < -0.1 and ours.zeros == 1.0
    if not missing:
        small, base = (found[name, 'upstream', 42] for name in ('vits', 'vitb'))
        assert -0.19 < small.min < small.max < -0.1 and small.zeros == 1.0
        assert 0.05 < base.min < base.max < 0.11 and base.zeros == 0.0
    # Another seed, another sign, of one and the same variant.
    assert {one.max > 0 for one in rows if one.variant == 'vits'} == {True, False}


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
