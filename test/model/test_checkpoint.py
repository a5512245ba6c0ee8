"""Checkpoint files, good and bad, through torch."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.model.network import random_network
from depth_anything_ros.model.network.checkpoint import load_network, read_state_dict
from depth_anything_ros.model.variants import VARIANTS, Checkpoint, Variant

RELATIVE = Checkpoint.RELATIVE
# Too small to be of use, and so fast to write and read.
TINY = Variant('tiny', 8, 4, 2, (0, 1, 2, 3), 4, (4, 4, 4, 4))


class Code:
    """Pickles as a call of os.system."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ('exit 1',)


@pytest.fixture(scope='module')
def state() -> dict[str, Tensor]:
    return random_network(TINY).state_dict()


def _saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def _refusal(action: Callable[[], object], path: Path) -> str:
    with pytest.raises(WeightsError) as error:
        action()
    message = str(error.value)
    assert str(path) in message and '\n' not in message
    return message


def _unreadable(path: Path) -> str:
    return _refusal(lambda: read_state_dict(path), path)


def _unloadable(path: Path, variant: Variant = TINY) -> str:
    return _refusal(lambda: load_network(variant, None, path), path)


@pytest.mark.parametrize(
    ('variant', 'checkpoint'),
    [(VARIANTS['vits'], RELATIVE), (TINY, Checkpoint.METRIC_INDOOR)],
    ids=['relative', 'metric'],
)
def test_a_loaded_network_is_the_saved_one(
    tmp_path: Path, variant: Variant, checkpoint: Checkpoint
) -> None:
    saved = random_network(variant, checkpoint.max_depth_m)
    path = _saved(tmp_path / 'a.pth', saved.state_dict())
    loaded = load_network(variant, checkpoint.max_depth_m, path)
    path.write_bytes(b'')  # the network keeps nothing of the file
    assert not loaded.training and loaded.max_depth_m == checkpoint.max_depth_m
    image = torch.rand(1, 3, 28, 42)
    with torch.inference_mode():
        assert torch.equal(loaded(image), saved(image))


@pytest.mark.parametrize(
    'wrapped',
    [
        lambda state: {'model': state, 'epoch': 3, 'optimizer': {'lr': 0.1}},
        lambda state: {'state_dict': state},
        lambda state: {f'module.{name}': tensor for name, tensor in state.items()},
        lambda state: {'model': {f'module.{name}': tensor for name, tensor in state.items()}},
        lambda state: {'model_state_dict': state, 'loss': torch.zeros(1)},
        lambda state: {'epoch': 3, 'ema': {'shadow': {**state}}, 'model': state},
        lambda state: {f'_orig_mod.{name}': tensor for name, tensor in state.items()},
        lambda state: {
            'state_dict': {
                'criterion.weight': torch.zeros(3),
                **{f'model._orig_mod.{name}': tensor for name, tensor in state.items()},
            },
            'hyper_parameters': {'lr': 1e-4},
            'pytorch-lightning_version': '2.5.0',
        },
    ],
    ids=[
        'model',
        'state_dict',
        'module',
        'upstream_training',
        'training_loop',
        'average_beside',
        'compiled',
        'lightning',
    ],
)
def test_what_training_scripts_write_is_unwrapped(
    tmp_path: Path, state: dict[str, Tensor], wrapped: Callable[[Any], Any]
) -> None:
    read = read_state_dict(_saved(tmp_path / 'a.pth', wrapped(state)))
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)
    load_network(TINY, None, tmp_path / 'a.pth')


def test_two_networks_in_one_file_are_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    both = {f'{who}.{name}': state[name] for who in ('student', 'teacher') for name in state}
    message = _unreadable(_saved(tmp_path / 'a.pth', both))
    assert "holds 2 networks (published names, behind 'student.'; " in message


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_every_float_type_comes_as_float32(
    tmp_path: Path, state: dict[str, Tensor], dtype: torch.dtype, suffix: str
) -> None:
    path = tmp_path / f'a{suffix}'
    content = {name: tensor.to(dtype) for name, tensor in state.items()}
    (save_file if suffix == '.safetensors' else torch.save)(content, path)
    read = read_state_dict(path)
    assert {tensor.dtype for tensor in read.values()} == {torch.float32}
    assert all(torch.equal(read[name], content[name].float()) for name in state)


def test_the_legacy_format_is_read(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
    assert read_state_dict(tmp_path / 'a.pth').keys() == state.keys()


@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / 'a.pth'
    torch.save({'w': Code()}, path, _use_new_zipfile_serialization=zipped)
    assert 'contains code (posix.system), refused' in _unreadable(path)


def test_a_whole_module_is_refused_as_code(tmp_path: Path) -> None:
    path = _saved(tmp_path / 'a.pth', torch.nn.Linear(2, 2))
    assert 'contains code (torch.nn.modules.linear.Linear)' in _unreadable(path)


@pytest.mark.filterwarnings('ignore:`torch.jit:DeprecationWarning')
def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.pt'
    program = torch.jit.trace(torch.nn.Linear(2, 2), torch.rand(1, 2))  # type: ignore[no-untyped-call]
    torch.jit.save(program, path)
    assert 'is a TorchScript program' in _unreadable(path)


@pytest.mark.parametrize('share', [0.01, 0.5, 0.99])
@pytest.mark.parametrize('kind', ['zip', 'legacy', 'safetensors'])
def test_a_truncated_file_is_refused(
    tmp_path: Path, state: dict[str, Tensor], kind: str, share: float
) -> None:
    path = tmp_path / ('a.safetensors' if kind == 'safetensors' else 'a.pth')
    if kind == 'safetensors':
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == 'zip')
    os.truncate(path, int(path.stat().st_size * share))
    assert 'damaged or truncated' in _unreadable(path)


@pytest.mark.parametrize(
    'content',
    [b'', b'<!DOCTYPE html>', bytes(4096), bytes(range(256)), pickle.dumps({'w': Code()})],
    ids=['empty', 'html', 'zeros', 'bytes', 'pickle'],
)
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f'a{suffix}'
    path.write_bytes(content)
    assert 'is not a checkpoint' in _unreadable(path)


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ([1, 2], 'holds list where'),
        ({}, 'holds dict where'),
        (torch.zeros(2), 'holds Tensor where'),
        ({'epoch': 3}, "holds int under 'epoch'"),
    ],
)
def test_what_holds_no_named_tensors_is_refused(
    tmp_path: Path, content: object, said: str
) -> None:
    assert said in _unreadable(_saved(tmp_path / 'a.pth', content))


@pytest.mark.parametrize(
    ('error', 'kind'),
    [
        (MemoryError(), MemoryError),
        (ImportError('failed to map segment from shared object'), ImportError),
        (RuntimeError("can't allocate memory: you tried to allocate 9 bytes."), MemoryError),
        (RuntimeError("can't allocate memory: you tried to allocate 99 bytes."), WeightsError),
    ],
)
def test_a_file_is_not_damaged_where_memory_ran_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    (tmp_path / 'a.pth').write_bytes(b'ten bytes.')

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch, 'load', fail)
    with pytest.raises(kind):
        read_state_dict(tmp_path / 'a.pth')


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    for name in ('a.pth', 'a.safetensors'):
        assert 'No such file or directory' in _unreadable(tmp_path / name)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
def test_values_that_are_not_finite_are_named(
    tmp_path: Path, state: dict[str, Tensor], value: float
) -> None:
    name = 'pretrained.blocks.1.mlp.fc1.weight'
    broken = state[name].clone()
    broken[3, 3] = value
    path = _saved(tmp_path / 'a.pth', {**state, name: broken})
    assert f'holds NaN or infinite values in {name}:' in _unreadable(path)


def test_float16_overflow_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / 'a.safetensors'
    save_file({'w': torch.tensor([1e5]).half()}, path)
    assert 'infinite values in w' in _unreadable(path)


@pytest.mark.parametrize('variant', ['vits', 'vitb', 'vitl', 'vitg'])
def test_another_variant_is_named(tmp_path: Path, variant: str) -> None:
    row = VARIANTS[variant]
    content = {f'pretrained.blocks.{i}.norm1.weight': torch.ones(1) for i in range(row.depth)}
    content['pretrained.cls_token'] = torch.zeros(1, 1, row.embed_dim)
    path = _saved(tmp_path / 'a.pth', content)
    asked = VARIANTS['vits' if variant == 'vitb' else 'vitb']
    message = _unloadable(path, asked)
    assert (
        f'is a {variant} checkpoint, variant is {asked.name}: set variant to {variant}' in message
    )


def test_a_size_that_no_variant_has(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = _saved(tmp_path / 'a.pth', state)
    message = _unloadable(path, VARIANTS['vits'])
    assert 'has 4 blocks of width 8, vits has 12 of 384' in message


@pytest.mark.parametrize(
    ('name', 'said'),
    [('backbone.conv.weight', 'backbone.conv.weight'), ('fc.weight', 'fc.weight')],
)
def test_another_network_is_refused(tmp_path: Path, name: str, said: str) -> None:
    message = _unloadable(_saved(tmp_path / 'a.pth', {name: torch.zeros(1)}))
    assert 'is not a Depth Anything checkpoint' in message and said in message


def test_parameters_that_do_not_fit_are_summed_up(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    content = {name: tensor for name, tensor in state.items() if 'refinenet4' not in name}
    missing = len(state) - len(content)
    content |= {'extra.weight': torch.zeros(1), 'pretrained.pos_embed': torch.zeros(1, 5, 8)}
    message = _unloadable(_saved(tmp_path / 'a.pth', content))
    assert f'does not fit tiny: {missing} missing (depth_head.scratch.refinenet4' in message
    assert f'and {missing - 3} more)' in message
    assert '1 unexpected (extra.weight)' in message
    assert '1 of another shape (pretrained.pos_embed)' in message
