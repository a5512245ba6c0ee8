"""The names of the transformers library, and parity with its network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from depth_anything_ros.model.card import Card, read_card
from depth_anything_ros.model.network import random_network
from depth_anything_ros.model.network.checkpoint import load_network, network_of
from depth_anything_ros.model.network.layouts import published_names
from depth_anything_ros.model.variants import VARIANTS, Checkpoint
from depth_anything_ros.model.weights import find

VITS = VARIANTS['vits']


def _as_transformers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename as the conversion script of the transformers library does, written anew."""
    renamed = {}
    for name, tensor in state.items():
        if '.attn.qkv.' in name:
            block, kind = name.split('.attn.qkv.')
            block = block.replace('pretrained.blocks', 'backbone.encoder.layer')
            for which, part in zip(('query', 'key', 'value'), tensor.chunk(3), strict=True):
                renamed[f'{block}.attention.attention.{which}.{kind}'] = part.contiguous()
            continue
        for old, new in (
            ('pretrained.pos_embed', 'backbone.embeddings.position_embeddings'),
            ('pretrained.patch_embed.proj', 'backbone.embeddings.patch_embeddings.projection'),
            ('pretrained.cls_token', 'backbone.embeddings.cls_token'),
            ('pretrained.mask_token', 'backbone.embeddings.mask_token'),
            ('pretrained.norm', 'backbone.layernorm'),
            ('pretrained.blocks', 'backbone.encoder.layer'),
            ('attn.proj', 'attention.output.dense'),
            ('ls1.gamma', 'layer_scale1.lambda1'),
            ('ls2.gamma', 'layer_scale2.lambda1'),
            ('out_conv', 'projection'),
            ('resConfUnit', 'residual_layer'),
            ('output_conv1', 'head.conv1'),
            ('output_conv2.0', 'head.conv2'),
            ('output_conv2.2', 'head.conv3'),
        ):
            name = name.replace(old, new)
        name = re.sub(r'(residual_layer\d)\.conv', r'\1.convolution', name)
        name = re.sub(
            r'depth_head\.projects\.(\d)', r'neck.reassemble_stage.layers.\1.projection', name
        )
        name = re.sub(
            r'depth_head\.resize_layers\.(\d)', r'neck.reassemble_stage.layers.\1.resize', name
        )
        name = re.sub(
            r'depth_head\.scratch\.refinenet(\d)',
            lambda found: f'neck.fusion_stage.layers.{4 - int(found[1])}',
            name,
        )
        name = re.sub(
            r'depth_head\.scratch\.layer(\d)_rn',
            lambda found: f'neck.convs.{int(found[1]) - 1}',
            name,
        )
        renamed[name.removeprefix('depth_head.scratch.')] = tensor
    return renamed


def test_every_name_of_the_transformers_library_is_mapped_back() -> None:
    state = random_network(VARIANTS['demo']).state_dict()
    theirs = _as_transformers(state)
    assert not theirs.keys() & state.keys()
    back = published_names(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_what_is_missing_there_is_reported_by_loading(tmp_path: Path) -> None:
    theirs = _as_transformers(random_network(VARIANTS['demo']).state_dict())
    del theirs['backbone.encoder.layer.3.attention.attention.key.weight']
    save_file(theirs, tmp_path / 'model.safetensors')
    from depth_anything_ros.core.errors import WeightsError

    with pytest.raises(WeightsError, match=r'1 missing \(pretrained.blocks.3.attn.qkv.weight\)'):
        load_network(VARIANTS['demo'], None, tmp_path / 'model.safetensors')


@pytest.mark.parametrize(
    ('taps', 'kind', 'max_depth', 'family', 'shown'),
    [
        ([3, 6, 9, 12], 'relative', 1, 'depth_anything_v2', 'vits relative'),
        ([3, 6, 9, 12], 'metric', 150, 'depth_anything_v2', 'vits metric_depth_150m'),
        ([9, 10, 11, 12], 'relative', 1, 'depth_anything_v1', 'depth_anything_v1 vits relative'),
    ],
)
def test_parity_with_the_transformers_library(
    tmp_path: Path, taps: list[int], kind: str, max_depth: float, family: str, shown: str
) -> None:
    """The same random weights, saved by transformers, read from its folder by its config.json."""
    transformers = pytest.importorskip(
        'transformers', reason='transformers is not installed: pip install transformers'
    )
    backbone = transformers.Dinov2Config(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        image_size=518,
        patch_size=14,
        out_indices=taps,
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=384,
        patch_size=14,
        fusion_hidden_size=64,
        neck_hidden_sizes=list(VITS.out_channels),
        depth_estimation_type=kind,
        max_depth=max_depth,
    )
    torch.manual_seed(0)
    theirs = transformers.DepthAnythingForDepthEstimation(config).eval()
    torch.nn.init.normal_(theirs.backbone.embeddings.position_embeddings, std=0.02)
    # Else the values hardly vary.
    for module in (*theirs.neck.modules(), *theirs.head.modules()):
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.nn.init.constant_(theirs.head.conv3.bias, 1.0)
    theirs.save_pretrained(tmp_path)

    file = find('vits', Checkpoint.RELATIVE, str(tmp_path))
    assert file.card_path == tmp_path / 'config.json'
    assert (file.card.family, file.card.max_depth_m) == (family, max_depth * (kind == 'metric'))
    assert file.notices() == ()
    ours = network_of(file)
    # At this size neither interpolates positions, for which transformers has another formula.
    image = torch.randn(1, 3, 518, 518, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs(image).predicted_depth
        found = ours(image)
    spread = float(expected.std())
    assert spread > 0.01 * float(expected.mean())
    difference = float((found - expected).abs().max()) / spread
    print(f'{shown}: largest difference {difference:.1e} of the spread')
    assert difference < 1e-3


def test_other_config_files_are_left_alone(tmp_path: Path) -> None:
    state = random_network(VITS).state_dict()
    save_file(state, tmp_path / 'a.safetensors')
    (tmp_path / 'config.json').write_text('{"encoder": "vits"}')
    assert find('vits', Checkpoint.RELATIVE, str(tmp_path / 'a.safetensors')).card_path is None


def test_a_config_of_another_network_is_refused(tmp_path: Path) -> None:
    from depth_anything_ros.core.errors import WeightsError

    path = tmp_path / 'config.json'
    for text, said in {
        '{"model_type": "dpt"}': 'not a config.json of Depth Anything',
        '{"model_type": "depth_anything", "backbone_config": {"hidden_size": 7}}': 'hidden_size 7',
    }.items():
        path.write_text(text)
        with pytest.raises(WeightsError, match=said):
            read_card(path)
    assert isinstance(Card.of_checkpoint('vits', Checkpoint.RELATIVE), Card)
