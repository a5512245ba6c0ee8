"""What 'auto' means for a backend, and what each needs on disk beside the weights."""

from __future__ import annotations

import ctypes
import logging
from importlib.util import find_spec

from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.model.cache import Format, find_export
from depth_anything_ros.model.weights import WeightsFile

__all__ = ['AUTO', 'INT8', 'fastest', 'format_of', 'prepare']

AUTO = 'auto'

INT8 = 'int8'

FORMATS = {'openvino': Format.OPENVINO, 'onnxruntime': Format.ONNX}
"""What each backend that runs an exported network loads."""

_log = logging.getLogger(__name__)


def fastest(device: str, weights: WeightsFile, precision: str = AUTO) -> tuple[str, str]:
    """Return the fastest backend that can run `weights` on `device` at once, and why it is."""
    from depth_anything_ros.backends.exported import export_command

    name, why = _preferred(device)
    form = FORMATS.get(name)
    # torch runs anywhere but on Intel's GPUs, and anything but int8.
    replaceable = device in ('auto', 'cpu') and precision != INT8
    if form is not None and replaceable and find_export(weights, form) is None:
        command = export_command(*weights.parameters, form)
        return 'torch', f'{name} is faster, once `{command}` was run'
    return name, why


def prepare(name: str, device: str, weights: WeightsFile, precision: str = AUTO) -> None:
    """Export the network where backend `name` needs that and it was not done; takes seconds.

    Raises BackendError where it cannot be exported, and WeightsError as loading does; 'auto'
    warns instead, since it can do without. What int8 takes, images like those of the robot, is
    not at hand here: BackendError names the command.
    """
    from depth_anything_ros.backends.exported import build_export, existing_export

    form = format_of(name, device)
    if form is None:
        return
    if precision == INT8:
        existing_export(weights, form, int8=True)
        # The safer way, should int8 disagree with float32.
        build_export(weights, form)
        return
    try:
        build_export(weights, form)
    except BackendError as err:
        if name != AUTO:
            raise
        _log.warning('%s; until then torch runs the network', err)


def format_of(name: str, device: str) -> Format | None:
    """Return what backend `name`, or the one that 'auto' prefers, loads; None for no export."""
    return FORMATS.get(_preferred(device)[0] if name == AUTO else name)


def _preferred(device: str) -> tuple[str, str]:
    if device.startswith('cuda') or (device == 'auto' and _cuda_is_there()):
        return 'torch', 'fastest installed on CUDA'
    if device.startswith('gpu'):
        return 'openvino', "it runs Intel's GPUs"
    if find_spec('openvino') is None:
        return 'torch', 'openvino, faster on a CPU, is not installed'
    return 'openvino', 'fastest installed on a CPU'


def _cuda_is_there() -> bool:
    """Ask torch, but only where there is a driver: importing torch takes a second."""
    try:
        ctypes.CDLL('libcuda.so.1')
        from depth_anything_ros.backends.torch import choose_device
    except (OSError, ModuleNotFoundError):
        return False
    return choose_device('auto').type == 'cuda'
