"""Weights and network by the parameters that name them."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.backends import DepthBackend, create_backend, prepare
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.model.hub import OnProgress
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import locate

__all__ = ['fetch_weights', 'load_backend']


def fetch_weights(parameters: Parameters, on_progress: OnProgress | None = None) -> None:
    """See that all that `parameters` name is on disk; this may take minutes.

    That is the weights, and the network exported from them where the backend runs that. Raises
    WeightsError, also where a download would be needed and is not allowed, and BackendError.
    """
    weights = locate(
        parameters.variant,
        Checkpoint(parameters.checkpoint),
        parameters.weights,
        parameters.allow_download,
        on_progress,
    )
    prepare(parameters.backend, parameters.device, weights)


def load_backend(parameters: Parameters) -> DepthBackend:
    """Load and warm up the network that `parameters` name, from what is on disk.

    Raises WeightsError, BackendError or SettingError.
    """
    backend = create_backend(
        parameters.backend,
        variant=parameters.variant,
        weights=parameters.weights,
        device=parameters.device,
        precision=parameters.precision,
        input_size=parameters.input_size,
        checkpoint=Checkpoint(parameters.checkpoint),
        threads=parameters.threads,
    )
    backend.infer(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8))
    return backend
