"""The ways in which files name the parameters of one network, as the published names.

Lightning, torch.compile, DistributedDataParallel and training loops put prefixes before the names
and other things beside them; the transformers library has names of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ['Layout', 'found_layouts', 'published_names']

_MARK = 'pretrained.cls_token'
_TRANSFORMERS_MARK = 'backbone.embeddings.cls_token'

_USUAL_KEYS = ('', 'model', 'state_dict', 'model_state_dict')
"""Beside these, others hold averages or teachers."""

_MOST_DEPTH = 2
"""Dictionaries inside one another, as {'state': {'model': ...}}."""


class Layout:
    """Where the network is in the content of a file: `names` in `state`, behind `prefix`."""

    def __init__(self, state: Mapping[str, Any], key: str, prefix: str, mark: str) -> None:
        self.state, self.key, self.prefix = state, key, prefix
        self.is_transformers = mark == _TRANSFORMERS_MARK

    @property
    def title(self) -> str:
        """Return it in words."""
        names = 'names of the transformers library' if self.is_transformers else 'published names'
        inside = f', under {self.key!r}' if self.key else ''
        return names + inside + (f', behind {self.prefix!r}' if self.prefix else '')


def found_layouts(content: Mapping[str, Any]) -> list[Layout]:
    """Return every network in the content of a file; one, where it is under a usual key."""
    found = list(_layouts(content, '', _MOST_DEPTH))
    usual = [layout for layout in found if layout.key in _USUAL_KEYS]
    return usual if len(usual) == 1 else found


def _layouts(content: Mapping[Any, Any], key: str, depth: int) -> Iterator[Layout]:
    for mark in (_MARK, _TRANSFORMERS_MARK):
        for name in content:
            if isinstance(name, str) and re.search(rf'(^|\.){re.escape(mark)}$', name):
                yield Layout(content, key, name.removesuffix(mark), mark)
    for name, value in content.items():
        if depth and isinstance(value, Mapping):
            yield from _layouts(value, f'{key}.{name}'.lstrip('.'), depth - 1)


def published_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters of the transformers library under the published names.

    Names that are not known stay, so that loading reports them. Queries, keys and values of a
    block become one matrix.
    """
    renamed: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        new = name
        for pattern, replacement in _NAMES:
            new = re.sub(pattern, replacement, new)
        head, found, part = new.partition('.attn.qkv.')
        if found:
            which, _, kind = part.partition('.')
            parts.setdefault(f'{head}.attn.qkv.{kind}', {})[which[0]] = tensor
        else:
            renamed[new] = tensor
    for name, three in parts.items():
        if three.keys() == {'q', 'k', 'v'}:
            renamed[name] = torch.cat([three['q'], three['k'], three['v']])
        else:
            renamed |= {f'{name} ({which})': tensor for which, tensor in three.items()}
    return renamed


_BLOCK = r'(pretrained\.blocks\.\d+)\.'
_NAMES = [
    (r'^backbone\.embeddings\.position_embeddings', 'pretrained.pos_embed'),
    (r'^backbone\.embeddings\.patch_embeddings\.projection', 'pretrained.patch_embed.proj'),
    (r'^backbone\.embeddings\.', 'pretrained.'),
    (r'^backbone\.layernorm\.', 'pretrained.norm.'),
    (r'^backbone\.encoder\.layer\.', 'pretrained.blocks.'),
    (_BLOCK + r'layer_scale([12])\.lambda1', r'\1.ls\2.gamma'),
    (_BLOCK + r'attention\.(output\.dense|o_proj)', r'\1.attn.proj'),
    # Files have the names before version 5 of that library.
    (_BLOCK + r'attention\.(?:attention\.)?(query|key|value|[qkv]_proj)', r'\1.attn.qkv.\2'),
    (r'^neck\.reassemble_stage\.layers\.(\d)\.projection', r'depth_head.projects.\1'),
    (r'^neck\.reassemble_stage\.layers\.(\d)\.resize', r'depth_head.resize_layers.\1'),
    # They count from the deepest level.
    *((rf'^neck\.fusion_stage\.layers\.{3 - i}\.', f'refinenet{i + 1}.') for i in range(4)),
    (r'^(refinenet\d)\.projection', r'depth_head.scratch.\1.out_conv'),
    (
        r'^(refinenet\d)\.residual_layer([12])\.convolution([12])',
        r'depth_head.scratch.\1.resConfUnit\2.conv\3',
    ),
    *((rf'^neck\.convs\.{i}\.', f'depth_head.scratch.layer{i + 1}_rn.') for i in range(4)),
    (r'^head\.conv1\.', 'depth_head.scratch.output_conv1.'),
    (r'^head\.conv2\.', 'depth_head.scratch.output_conv2.0.'),
    (r'^head\.conv3\.', 'depth_head.scratch.output_conv2.2.'),
]
"""In this order; each replaces a part of a name."""
