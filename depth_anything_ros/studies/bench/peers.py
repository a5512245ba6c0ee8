"""Networks of others: built by their own libraries, with random weights, to time beside ours."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.input_format import InputFormat
from depth_anything_ros.core.packages import missing
from depth_anything_ros.model.weights_file import RANDOM
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.row import Row
from depth_anything_ros.studies.machine import package_version

__all__ = [
    'PEERS',
    'Peer',
    'known_peer',
    'offline_in',
    'peer_configurations',
    'peer_lines',
    'peer_of',
    'require_library',
]


@dataclass(frozen=True)
class Peer:
    """A network of `library`, which `build` makes a module of torch that takes what `form` says.

    Its process holds about `memory_mb` for an image at a time.
    """

    what: str
    library: str
    licence: str
    form: InputFormat
    memory_mb: float
    build: Callable[[], Any]
    gives_depth: bool = True


def known_peer(name: object) -> object:
    """Return `name`; SettingError for one that is not a peer."""
    if name not in PEERS:
        raise SettingError(f"peer is '{name}': choose one of {', '.join(PEERS)}")
    return name


def peer_configurations(
    names: Sequence[str], threads: Sequence[int], batches: Sequence[int], device: str
) -> list[Configuration]:
    """Return every combination once, in float32 at the peer's own input size."""
    every = [
        Configuration(
            name,
            PEERS[name].library,
            'fp32',
            PEERS[name].form.pinned_size or 0,
            batch,
            count,
            device,
            RANDOM,
        )
        for name, count, batch in itertools.product(names, threads, batches)
    ]
    return list(dict.fromkeys(every))


def peer_of(one: Configuration | Row) -> Peer | None:
    """Return the peer that a configuration or a row is of; None for a network of this package."""
    peer = PEERS.get(one.variant)
    return peer if peer and peer.library == one.backend else None


def peer_lines(names: Sequence[str]) -> tuple[str, ...]:
    """Return what each peer is, by which library, under which licence, and its input."""
    lines = []
    for name in dict.fromkeys(names):
        peer, form = PEERS[name], PEERS[name].form
        size = f'{form.width}x{form.height}' if form.width else f'longer side {form.size}'
        library = f'{peer.library} {package_version(peer.library)}'.strip()
        output = '' if peer.gives_depth else ', boxes before suppression and no depth'
        said = f'{peer.what} by {library} ({peer.licence}), input {size}, float32{output}'
        lines.append(f'{name}: {said}; random weights: speed only')
    return tuple(lines)


def require_library(peer: Peer) -> None:
    """Raise BackendError, with what to install, where the library of a peer is missing."""
    if find_spec(peer.library) is None:
        raise BackendError(f'{missing("it", peer.library)} ({peer.licence}; in the extra peers)')


def offline_in(folder: str) -> dict[str, str]:
    """Return the environment of a process whose libraries fetch nothing and write to `folder`."""
    return {
        'HF_HUB_OFFLINE': '1',
        'YOLO_AUTOINSTALL': 'false',
        'YOLO_CONFIG_DIR': folder,
        'YOLO_OFFLINE': 'true',
    }


def _transformers() -> Any:
    """Return the library, which must not see torchvision.

    These networks need none, and a torchvision built for another torch keeps them from loading.
    """
    sys.modules.setdefault('torchvision', None)  # type: ignore[arg-type]
    import transformers

    return transformers


def _depth_pro() -> Any:
    library = _transformers()
    large = {'hidden_size': 1024, 'num_hidden_layers': 24, 'num_attention_heads': 16}
    encoders = {
        f'{name}_model_config': library.Dinov2Config(
            image_size=384, patch_size=16, use_mask_token=False, **large
        )
        for name in ('image', 'patch', 'fov')
    }
    config = library.DepthProConfig(use_fov_model=True, **encoders)
    return library.DepthProForDepthEstimation(config)


def _dpt_hybrid() -> Any:
    library = _transformers()
    neck = {'neck_hidden_sizes': [256, 512, 768, 768], 'reassemble_factors': [1, 1, 1, 0.5]}
    return library.DPTForDepthEstimation(library.DPTConfig(is_hybrid=True, **neck))


def _dpt_swin2_tiny() -> Any:
    library = _transformers()
    stages = [f'stage{number}' for number in (1, 2, 3, 4)]
    encoder = library.Swinv2Config(image_size=256, window_size=16, out_features=stages)
    return library.DPTForDepthEstimation(library.DPTConfig(backbone_config=encoder))


def _yolo11n() -> Any:
    from ultralytics.nn.tasks import DetectionModel

    return DetectionModel('yolo11n.yaml', verbose=False).fuse(verbose=False)


def _square(side: int) -> InputFormat:
    return InputFormat('fixed', width=side, height=side, values='minus_one_to_one')


PEERS = {
    'depth-pro': Peer('DepthPro', 'transformers', 'Apache-2.0', _square(1536), 8500.0, _depth_pro),
    'dpt-hybrid': Peer(
        'DPT-Hybrid of MiDaS 3.0', 'transformers', 'Apache-2.0', _square(384), 1500.0, _dpt_hybrid
    ),
    'dpt-swin2-tiny': Peer(
        'DPT-SwinV2-Tiny of MiDaS 3.1',
        'transformers',
        'Apache-2.0',
        _square(256),
        1000.0,
        _dpt_swin2_tiny,
    ),
    'yolo11n': Peer(
        'YOLO11n',
        'ultralytics',
        'AGPL-3.0',
        InputFormat('longer_side', 640, multiple=32, values='zero_to_one'),
        500.0,
        _yolo11n,
        gives_depth=False,
    ),
}
"""By name. Each library is imported when one of its networks is built."""
