"""From parameters to a network that is ready: weights on disk, backend loaded and checked."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial

from depth_anything_ros.backends.base import AUTO, INT8, DepthBackend
from depth_anything_ros.backends.registry import (
    BACKENDS,
    ChosenBackend,
    choose_backend,
    load,
    prepare,
)
from depth_anything_ros.backends.self_check import (
    Candidate,
    cached_float32_output,
    first_accepted,
    photograph,
    plain_float32,
)
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.model.hub import OnProgress
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import locate

__all__ = ['candidates', 'fetch_weights', 'load_backend']


def fetch_weights(parameters: Parameters, on_progress: OnProgress | None = None) -> None:
    """Put on disk all that `load_backend` needs for `parameters`; this may take minutes.

    That is the weights, the exported network where the backend runs one, and the float32 output
    for the self-check. Raises WeightsError, also where a download is needed and not allowed,
    BackendError or SettingError.
    """
    weights = locate(
        parameters.variant,
        Checkpoint(parameters.checkpoint),
        parameters.weights,
        parameters.allow_download,
        on_progress,
    )
    prepare(parameters.backend, parameters.device, weights, parameters.precision)
    chosen = choose_backend(parameters)
    if BACKENDS[chosen.name].self_checked:
        # A package that is missing is told by the notices of what is loaded.
        with suppress(ModuleNotFoundError):
            cached_float32_output(chosen.settings, reference_runtime(chosen))


def load_backend(parameters: Parameters) -> DepthBackend:
    """Return the network that `parameters` name, loaded from disk and warmed up.

    Its output for one photograph is compared with plain float32; where they differ, a safer
    candidate runs and the notices of its `info` say so. Raises WeightsError, BackendError or
    SettingError.
    """
    chosen = choose_backend(parameters)
    if not BACKENDS[chosen.name].self_checked:
        backend = load(chosen)
        backend.infer(photograph())
        return backend
    backend, notices = first_accepted(
        candidates(chosen),
        partial(cached_float32_output, chosen.settings, reference_runtime(chosen)),
    )
    backend.info = replace(backend.info, why=chosen.why, notices=notices)
    return backend


def candidates(chosen: ChosenBackend) -> list[Candidate]:
    """Return what may run, in the order of preference; the last is plain float32."""
    settings = chosen.settings
    # After int8 the same backend in half precision, then in float32.
    half = (AUTO,) if settings.precision == INT8 else ()
    precisions = dict.fromkeys((settings.precision, *half, 'fp32'))
    found = [
        Candidate(
            f'{chosen.name} {precision}',
            partial(load, replace(chosen, settings=replace(settings, precision=precision))),
        )
        for precision in precisions
    ]
    runtime = reference_runtime(chosen)
    plain = partial(plain_float32, settings, runtime)
    return [*found, Candidate(f'plain {runtime} fp32', plain)]


def reference_runtime(chosen: ChosenBackend) -> str:
    """Return the backend whose float32 is the reference: of an ONNX file the other runtime."""
    if not chosen.settings.weights.card.is_onnx:
        return 'torch'
    return 'openvino' if chosen.name == 'onnxruntime' else 'onnxruntime'
