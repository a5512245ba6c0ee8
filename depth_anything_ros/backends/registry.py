"""The table of backends, which one 'auto' means, and what each needs on disk.

An implementation is imported when it is loaded, so that a robot needs only what it uses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from depth_anything_ros.backends.base import AUTO, INT8, BackendSettings, DepthBackend
from depth_anything_ros.backends.export_files import build_export, existing_export, export_command
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.packages import missing
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.processor import default_threads, has_nvidia_driver
from depth_anything_ros.model.cache import Format, find_export
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find
from depth_anything_ros.model.weights_file import WeightsFile

__all__ = [
    'BACKENDS',
    'ChosenBackend',
    'Implementation',
    'choose_backend',
    'fastest',
    'format_of',
    'load',
    'prepare',
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Implementation:
    """A row of the table of backends."""

    create: Callable[[BackendSettings], DepthBackend]
    export_format: Format | None = None
    """What it loads, where that is an exported network and not the weights."""
    self_checked: bool = True
    """Whether it is compared with plain float32 before its first frame."""


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


BACKENDS = {
    'torch': Implementation(_torch),
    'openvino': Implementation(_openvino, Format.OPENVINO),
    'onnxruntime': Implementation(_onnxruntime, Format.ONNX),
    # The reference of the whole project is not compared with our own network.
    'upstream': Implementation(_upstream, self_checked=False),
}
"""Backends by name."""

_PACKAGES = ('torch', 'openvino', 'onnxruntime')


@dataclass(frozen=True)
class ChosenBackend:
    """A key of `BACKENDS`, the settings to load it with, and, for 'auto', why it was chosen."""

    name: str
    settings: BackendSettings
    why: str = ''


def choose_backend(parameters: Parameters) -> ChosenBackend:
    """Return the backend that these parameters name, with 'auto' resolved; loads nothing.

    Raises SettingError for an invalid value, WeightsError for weights that are not on disk or
    cannot be used, BackendError for what this machine cannot do.
    """
    name = parameters.backend
    if name != AUTO and name not in BACKENDS:
        known = ', '.join((AUTO, *BACKENDS))
        raise SettingError(f"backend '{name}' is not known: choose one of {known}")
    if parameters.threads < 0:
        raise SettingError(
            f'threads {parameters.threads} is negative: give 0 to take the number of cores'
        )
    weights = find(parameters.variant, Checkpoint(parameters.checkpoint), parameters.weights)
    why = ''
    if name == AUTO:
        name, why = fastest(parameters.device, weights, parameters.precision)
    settings = BackendSettings(
        weights,
        parameters.device,
        parameters.precision,
        weights.card.pinned_size or parameters.input_size,
        parameters.threads or default_threads(),
    )
    return ChosenBackend(name, settings, why)


def load(chosen: ChosenBackend) -> DepthBackend:
    """Load the network, without the self-check of `loading.load_backend`.

    Raises SettingError, WeightsError or BackendError.
    """
    try:
        return BACKENDS[chosen.name].create(chosen.settings)
    except ModuleNotFoundError as err:
        if err.name not in _PACKAGES:
            raise
        raise BackendError(missing(f"backend '{chosen.name}'", err.name)) from err


def fastest(device: str, weights: WeightsFile, precision: str = AUTO) -> tuple[str, str]:
    """Return the fastest backend that can run `weights` on `device` now, and why it is."""
    if weights.card.is_onnx:
        return _preferred_for_onnx(device)
    name, why = _preferred(device)
    form = BACKENDS[name].export_format
    # torch runs on everything except Intel's GPUs, and in everything except int8.
    replaceable = device in ('auto', 'cpu') and precision != INT8
    if form is not None and replaceable and find_export(weights, form) is None:
        command = export_command(*weights.parameters, form)
        return 'torch', f'{name} is faster, once `{command}` was run'
    return name, why


def format_of(name: str, device: str) -> Format | None:
    """Return the export that backend `name` loads, or the one 'auto' prefers; None for none."""
    return BACKENDS[_preferred(device)[0] if name == AUTO else name].export_format


def prepare(name: str, device: str, weights: WeightsFile, precision: str = AUTO) -> None:
    """Export the network where backend `name` needs that and it is missing; takes seconds.

    Raises BackendError where it cannot be exported, and WeightsError as loading does; 'auto'
    warns instead, since it can do without. An int8 network has to be calibrated on images of
    the robot, which are not available here: BackendError names the command.
    """
    form = format_of(name, device)
    if form is None or weights.card.is_onnx:
        return
    if precision == INT8:
        existing_export(weights, form, int8=True)
    try:
        # For int8 too: the fallback where its output disagrees with float32.
        build_export(weights, form)
    except BackendError as err:
        if name != AUTO or precision == INT8 or find_spec('torch') is None:
            raise
        _log.warning('%s; until then torch runs the network', err)


def _preferred(device: str) -> tuple[str, str]:
    if device.startswith('cuda') or (device == 'auto' and _has_cuda()):
        return 'torch', 'fastest installed on CUDA'
    if device.startswith('gpu'):
        return 'openvino', "it runs Intel's GPUs"
    if find_spec('openvino') is None:
        return 'torch', 'openvino, faster on a CPU, is not installed'
    return 'openvino', 'fastest installed on a CPU'


def _preferred_for_onnx(device: str) -> tuple[str, str]:
    if device in ('auto', 'cpu') or device.startswith('gpu'):
        if find_spec('openvino') is not None:
            return 'openvino', 'fastest installed for an ONNX file'
        return 'onnxruntime', 'openvino, faster on a CPU, is not installed'
    return 'onnxruntime', 'it runs ONNX files there'


def _has_cuda() -> bool:
    """Return whether torch sees a GPU, asked only where there is a driver: the import is slow."""
    if not has_nvidia_driver():
        return False
    try:
        from depth_anything_ros.backends.torch.devices import choose_device
    except ModuleNotFoundError:
        return False
    return choose_device('auto').type == 'cuda'
