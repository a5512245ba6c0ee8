"""What runs the network: one protocol, and a table from name to implementation.

An implementation is imported when it is asked for, so that a robot needs only what it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from depth_anything_ros.backends.base import BackendSettings, DepthBackend
from depth_anything_ros.backends.choice import AUTO, INT8, fastest, prepare
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.processor import default_threads
from depth_anything_ros.model.variants import Checkpoint, get_variant
from depth_anything_ros.model.weights import find

__all__ = [
    'AUTO',
    'BACKENDS',
    'INT8',
    'Choice',
    'choose_backend',
    'create_backend',
    'create_chosen',
    'prepare',
]


def _torch(settings: BackendSettings) -> DepthBackend:
    from depth_anything_ros.backends.torch import TorchBackend

    return TorchBackend(settings)


def _openvino(settings: BackendSettings) -> DepthBackend:
    from depth_anything_ros.backends import openvino

    return openvino.create(settings)


def _onnxruntime(settings: BackendSettings) -> DepthBackend:
    from depth_anything_ros.backends import onnxruntime

    return onnxruntime.create(settings)


def _upstream(settings: BackendSettings) -> DepthBackend:
    from depth_anything_ros.backends.upstream import UpstreamBackend

    return UpstreamBackend(settings)


BACKENDS: dict[str, Callable[[BackendSettings], DepthBackend]] = {
    'torch': _torch,
    'openvino': _openvino,
    'onnxruntime': _onnxruntime,
    'upstream': _upstream,
}
"""Backends by name."""

_PACKAGES = ('torch', 'openvino', 'onnxruntime')


@dataclass(frozen=True)
class Choice:
    """Which backend is to run, a key of `BACKENDS`; why, where 'auto' chose it; with what."""

    name: str
    why: str
    settings: BackendSettings


def choose_backend(wanted: Parameters) -> Choice:
    """Decide what `create_backend` loads for these parameters; raises as that."""
    name = wanted.backend
    if name != AUTO and name not in BACKENDS:
        known = ', '.join((AUTO, *BACKENDS))
        raise SettingError(f"backend '{name}' is not known: choose one of {known}")
    if wanted.threads < 0:
        raise SettingError(
            f'threads {wanted.threads} is negative: give 0 to take the number of cores'
        )
    variant = get_variant(wanted.variant)
    weights = find(wanted.variant, Checkpoint(wanted.checkpoint), wanted.weights)
    why = ''
    if name == AUTO:
        name, why = fastest(wanted.device, weights, wanted.precision)
    settings = BackendSettings(
        variant,
        weights,
        wanted.device,
        wanted.precision,
        variant.input_size or wanted.input_size,
        wanted.threads or default_threads(),
    )
    return Choice(name, why, settings)


def create_backend(
    name: str,
    *,
    variant: str,
    weights: str,
    device: str,
    precision: str,
    input_size: int,
    checkpoint: Checkpoint = Checkpoint.RELATIVE,
    threads: int = 0,
) -> DepthBackend:
    """Load a network, and take its word: pipeline.load_backend checks what it answers.

    name: 'auto' for the fastest one that is installed and needs no preparation, or a key of
        `BACKENDS`; `prepare` does what 'openvino' and 'onnxruntime' need done before.
    weights: '' for the released file in the cache, a path, or 'random'.
    device: 'auto', 'cpu', 'cuda' or 'cuda:N'; for 'openvino' also 'gpu' or 'gpu:N' (Intel's),
        for 'onnxruntime' whichever provider it has, like 'tensorrt'.
    precision: 'auto', 'fp32', 'fp16', 'bf16' or, on 'openvino' and 'onnxruntime', 'int8'.
    input_size: shorter side of the network's input, in pixels; a variant that is pinned to
        one size takes that instead, and `info` says so.
    threads: of the CPU; 0 takes `default_threads()`.

    Raises SettingError for a value that means nothing, WeightsError for weights that cannot
    be used, BackendError for what this machine cannot do.
    """
    choice = choose_backend(
        Parameters(
            backend=name,
            variant=variant,
            weights=weights,
            device=device,
            precision=precision,
            input_size=input_size,
            checkpoint=checkpoint.value,
            threads=threads,
        )
    )
    backend = create_chosen(choice.name, choice.settings)
    backend.info = replace(backend.info, why=choice.why)
    return backend


def create_chosen(name: str, settings: BackendSettings) -> DepthBackend:
    """Load the network by the backend `name` of `BACKENDS`; raises as `create_backend`."""
    try:
        return BACKENDS[name](settings)
    except ModuleNotFoundError as err:
        if err.name not in _PACKAGES:
            raise
        raise BackendError(
            f"backend '{name}' needs {err.name}, which is not installed: pip install {err.name}"
        ) from err
