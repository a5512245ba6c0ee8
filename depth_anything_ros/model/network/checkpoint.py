"""Checkpoint file to network, refusing what is not plain, finite, fitting tensors."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from depth_anything_ros.core.errors import BackendError, WeightsError
from depth_anything_ros.model.network import DepthAnythingV2, random_network
from depth_anything_ros.model.network.layouts import found_layouts, published_names
from depth_anything_ros.model.variants import VARIANTS, Variant
from depth_anything_ros.model.weights_file import WeightsFile

__all__ = ['checkpoint_facts', 'load_network', 'network_of', 'read_state_dict']

_SAVE = 'torch.save(model.state_dict(), path)'

_NAMES_SHOWN = 3


def network_of(weights: WeightsFile) -> DepthAnythingV2:
    """Return the network of `weights`, random ones too, float32, on the CPU, in eval mode.

    Raises as `load_network`.
    """
    card = weights.card
    if card.is_onnx:
        raise BackendError(
            f"torch does not run {weights.path}, an ONNX file: set backend to 'openvino' or"
            " 'onnxruntime', or leave it 'auto'"
        )
    variant, max_depth_m = card.architecture, card.max_depth_m or None
    if weights.path is None:
        return random_network(variant, max_depth_m)
    return load_network(variant, max_depth_m, weights.path)


def load_network(variant: Variant, max_depth_m: float | None, path: Path) -> DepthAnythingV2:
    """Build the network of `variant` with the weights of `path`, float32, on the CPU, in eval.

    Relative and metric networks have the same parameters, and so have V1 and V2: nothing here can
    tell them apart, only a sha256 or a card can (model/weights_file.py). Raises WeightsError for a
    checkpoint of another variant or with missing, further or misshapen parameters, and as
    `read_state_dict` does.
    """
    state = read_state_dict(path)
    _check_variant(state, variant, path)
    # On the meta device nothing is initialised only to be overwritten: seconds for vitl.
    with torch.device('meta'):
        network = DepthAnythingV2(variant, max_depth_m)
    _check_fit(state, network.state_dict(), variant, path)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a .safetensors file or from what torch.save wrote.

    Floating-point tensors come as float32, under the published names, whatever training code put
    around them (model/network/layouts.py). Raises WeightsError for what cannot be
    read, for anything that would run code, and for values that are not finite.
    """
    named = _named_tensors(_content(path), path)
    return {name: _checked(name, tensor, path) for name, tensor in named.items()}


def checkpoint_facts(path: Path) -> list[tuple[str, str]]:
    """Return the layout, the size and the architecture of a checkpoint; raises as reading it."""
    content = _content(path)
    layouts = found_layouts(content) if isinstance(content, dict) else []
    state = read_state_dict(path)
    facts = [('layout', layout.title) for layout in layouts]
    count = sum(tensor.numel() for tensor in state.values())
    facts.append(('content', f'{len(state)} tensors, {count / 1e6:.1f} M parameters'))
    patches = state.get('pretrained.patch_embed.proj.weight')
    if patches is not None:
        blocks = len({name.split('.')[2] for name in state if '.blocks.' in name})
        head = [len(state.get(f'depth_head.projects.{index}.weight', ())) for index in range(4)]
        facts.append(
            (
                'shapes',
                f'patches {list(patches.shape)}, {blocks} blocks, head {head} to'
                f' {len(state.get("depth_head.scratch.layer1_rn.weight", ()))}',
            )
        )
    return facts


def _content(path: Path) -> Any:
    """Return what a file holds; WeightsError where it cannot be read."""
    try:
        path.open('rb').close()
    except OSError as err:
        raise WeightsError(
            f'cannot read {path}: {err.strerror}; fix the path or its permissions'
        ) from err
    try:
        return _read_safetensors(path) if path.suffix == '.safetensors' else _read_torch(path)
    except (MemoryError, ImportError):
        raise
    # A damaged file raises whatever its first wrong byte leads to: KeyError, OSError, ...
    except Exception as err:
        asked = re.search(r'allocate (\d+) bytes', str(err))
        if asked is not None and int(asked[1]) <= path.stat().st_size:
            raise MemoryError(str(err)) from err
        raise WeightsError(f'{path} {_refusal(str(err))}') from err


def _read_torch(path: Path) -> Any:
    with warnings.catch_warnings():
        # What torch warns of here ends in an error below.
        warnings.simplefilter('ignore')
        # Not mapped into memory: a file overwritten in place would then crash a running node.
        return torch.load(path, map_location='cpu', weights_only=True, mmap=False)


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load

    # Not load_file, which maps the file: see _read_torch.
    return load(path.read_bytes())


def _refusal(error: str) -> str:
    code = re.search(r'GLOBAL ([\w.]+)', error)
    if code is not None or 'TorchScript' in error:
        what = 'is a TorchScript program' if code is None else f'contains code ({code[1]})'
        return f'{what}, refused: save the weights alone, with {_SAVE}'
    return (
        'is not a checkpoint that can be read, or is damaged or truncated: copy or fetch it'
        ' again, or set weights to a .pth or .safetensors file'
    )


def _named_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the parameters of the network in a file, or all tensors where it knows none."""
    layouts = found_layouts(content) if isinstance(content, dict) else []
    if len(layouts) > 1:
        several = '; '.join(layout.title for layout in layouts)
        raise WeightsError(
            f'{path} holds {len(layouts)} networks ({several}): save one of them, with {_SAVE}'
        )
    if layouts:
        layout = layouts[0]
        prefix = layout.prefix
        found = {
            str(name).removeprefix(prefix): value
            for name, value in layout.state.items()
            if str(name).startswith(prefix)
        }
    else:
        found = content
    if not isinstance(content, dict) or not found:
        raise WeightsError(
            f'{path} holds {type(content).__name__} where named tensors should be: save it with'
            f' {_SAVE}'
        )
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise WeightsError(
                f'{path} holds {type(value).__name__} under {name!r} where a tensor should be:'
                f' save it with {_SAVE}'
            )
    is_transformers = bool(layouts) and layouts[0].is_transformers
    return published_names(found) if is_transformers else found


def _checked(name: str, tensor: Tensor, path: Path) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    tensor = tensor.to(torch.float32)
    # NaN passes through aminmax; several times faster than isfinite over every value.
    if tensor.numel() and not torch.isfinite(torch.stack(tensor.aminmax())).all():
        raise WeightsError(
            f'{path} holds NaN or infinite values in {name}: the training that wrote it diverged,'
            ' or the file is damaged; use another checkpoint'
        )
    return tensor


def _check_variant(state: dict[str, Tensor], variant: Variant, path: Path) -> None:
    cls_token = state.get('pretrained.cls_token')
    if cls_token is None:
        raise WeightsError(
            f'{path} is not a Depth Anything checkpoint: it has no pretrained.cls_token but'
            f' {_shown(sorted(state))}; use a file such as depth_anything_v2_{variant.name}.pth'
        )
    blocks = {name.split('.')[2] for name in state if name.startswith('pretrained.blocks.')}
    found = (cls_token.shape[-1], len(blocks))
    if found == (variant.embed_dim, variant.depth):
        return
    for other in VARIANTS.values():
        if found == (other.embed_dim, other.depth):
            raise WeightsError(
                f'{path} is a {other.name} checkpoint, variant is {variant.name}: set'
                f' variant to {other.name}, or that in its card, or give a {variant.name} file'
            )
    raise WeightsError(
        f'{path} has {found[1]} blocks of width {found[0]}, {variant.name} has {variant.depth} of'
        f' {variant.embed_dim}, and no other variant fits: use another checkpoint'
    )


def _check_fit(
    state: dict[str, Tensor], expected: dict[str, Tensor], variant: Variant, path: Path
) -> None:
    misfits = {
        'missing': [name for name in expected if name not in state],
        'unexpected': [name for name in state if name not in expected],
        'of another shape': [
            name
            for name in expected
            if name in state and state[name].shape != expected[name].shape
        ],
    }
    if any(misfits.values()):
        summary = '; '.join(
            f'{len(names)} {what} ({_shown(names)})' for what, names in misfits.items() if names
        )
        raise WeightsError(
            f'{path} does not fit {variant.name}: {summary}; use a checkpoint of Depth Anything'
            f' {variant.name}'
        )


def _shown(names: list[str]) -> str:
    rest = len(names) - _NAMES_SHOWN
    return ', '.join(names[:_NAMES_SHOWN]) + (f' and {rest} more' if rest > 0 else '')
