"""Weights and network by the parameters that name them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from depth_anything_ros.backends import choose_backend, create_chosen, prepare
from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.self_check import (
    candidates,
    checked,
    kept_reference,
    photograph,
)
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.model.hub import OnProgress
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import locate

__all__ = ['fetch_weights', 'load_backend']

_UPSTREAM = 'upstream'


def fetch_weights(parameters: Parameters, on_progress: OnProgress | None = None) -> None:
    """See that all that `parameters` name is on disk; this may take minutes.

    That is the weights, the network exported from them where the backend runs that, and the
    answer of plain float32 that it is compared with. Raises WeightsError, also where a download
    would be needed and is not allowed, BackendError or SettingError.
    """
    weights = locate(
        parameters.variant,
        Checkpoint(parameters.checkpoint),
        parameters.weights,
        parameters.allow_download,
        on_progress,
    )
    prepare(parameters.backend, parameters.device, weights, parameters.precision)
    if parameters.backend != _UPSTREAM:
        kept_reference(choose_backend(parameters).settings)


def load_backend(parameters: Parameters) -> DepthBackend:
    """Load and warm up the network that `parameters` name, from what is on disk.

    It is compared with plain float32 on one picture; where they differ a safer way runs, and the
    notices of its `info` say so. Raises WeightsError, BackendError or SettingError.
    """
    choice = choose_backend(parameters)
    if choice.name == _UPSTREAM:
        # What all are compared with in the end.
        backend = create_chosen(choice.name, choice.settings)
        backend.infer(photograph())
        return backend
    ways = candidates(choice.name, choice.settings)
    backend, notices = checked(ways, partial(kept_reference, choice.settings))
    backend.info = replace(backend.info, why=choice.why, notices=notices)
    return backend
