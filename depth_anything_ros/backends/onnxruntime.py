"""The exported network, run by ONNX Runtime on whichever of its providers is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from depth_anything_ros.backends.base import AUTO, INT8, BackendSettings
from depth_anything_ros.backends.export_files import existing_export, reload_fix
from depth_anything_ros.backends.frames import HostFrames, NetworkBackend, Run
from depth_anything_ros.backends.onnx_files import run_of_file
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.model.cache import Format
from depth_anything_ros.model.user_cache import user_cache

__all__ = ['choose_precision', 'choose_provider', 'create']

_ENDING = 'ExecutionProvider'
_ERRORS_ONLY = 3
"""Log level: it warns of every operator that one provider leaves to the next."""


_DTYPES = {'tensor(float16)': np.float16, 'tensor(uint8)': np.uint8}
"""Types of an input, other than float32."""


def create(settings: BackendSettings) -> NetworkBackend:
    """Load the exported network; BackendError where it was not exported yet."""
    onnxruntime.disable_telemetry_events()
    provider, index = choose_provider(settings.device, onnxruntime.get_available_providers())
    kind = provider.removesuffix(_ENDING).lower()
    precision = choose_precision(settings.precision, kind)
    path = existing_export(settings.weights, Format.ONNX, int8=precision == INT8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.log_severity_level = _ERRORS_ONLY
    providers: list[Any] = [(provider, _provider_options(kind, index, precision))]
    if kind != 'cpu':
        providers.append(f'CPU{_ENDING}')
    try:
        session = onnxruntime.InferenceSession(path, options, providers)
    # ONNX Runtime's exceptions have no common base class.
    except Exception as err:
        raise BackendError(
            f'ONNX Runtime cannot load {path} ({str(err).splitlines()[0]}): '
            + reload_fix(settings.weights)
        ) from err
    # A provider whose libraries are missing is left out without an error.
    if session.get_providers()[0] != provider:
        raise BackendError(
            f'{provider} does not start, probably for want of its libraries: install what'
            f' onnxruntime {onnxruntime.__version__} needs for it, or set device to cpu'
        )

    def run_export(batch: FloatImage) -> FloatImage:
        output: FloatImage = session.run(None, {'image': batch})[0]
        return output

    run: Run = run_export
    if settings.weights.card.is_onnx:
        inputs = session.get_inputs()
        dtype = _DTYPES.get(inputs[0].type, np.float32)
        shapes = [each.shape for each in inputs]
        run = run_of_file(
            settings.weights,
            shapes,
            dtype,
            lambda image: session.run(None, {inputs[0].name: image})[0],
        )
    device = kind if index is None else f'{kind}:{index}'
    frames = HostFrames(run, settings.weights.card.input)
    return NetworkBackend(settings, 'onnxruntime', device, precision, frames)


def choose_provider(device: str, available: list[str]) -> tuple[str, int | None]:
    """Return the provider and the device index that 'auto' or PROVIDER[:N] means.

    PROVIDER is its name in lower case without 'ExecutionProvider', like 'cuda' or 'tensorrt'.
    'auto' is CUDA where it is installed, else the CPU. The index is None where none is given.
    Raises SettingError for an invalid name, BackendError for a provider that is not installed.
    """
    if device == 'auto':
        best = f'CUDA{_ENDING}'
        return best if best in available else f'CPU{_ENDING}', None
    kind, colon, index = device.partition(':')
    if colon and not index.isdecimal():
        raise SettingError(
            f"device '{device}' is not known: give a name and a number, like cuda:0"
        )
    names = {each.removesuffix(_ENDING).lower(): each for each in available}
    if kind not in names:
        fix = 'install onnxruntime-gpu, or ' if kind in ('cuda', 'tensorrt') else ''
        raise BackendError(
            f"device '{device}' is not among the providers of this onnxruntime"
            f' ({", ".join(names)}): {fix}set device to one of them'
        )
    return names[kind], int(index) if colon else None


def choose_precision(name: str, kind: str) -> str:
    """Return the precision with 'auto' resolved: only TensorRT runs a float32 network in fp16."""
    able = {'tensorrt': ('fp32', 'fp16'), 'cpu': ('fp32', INT8)}.get(kind, ('fp32',))
    if name == AUTO:
        return 'fp16' if 'fp16' in able else 'fp32'
    if name not in able:
        raise SettingError(
            f"precision '{name}' cannot run on backend 'onnxruntime' on {kind}: choose"
            f' {" or ".join(able)}'
        )
    return name


def _provider_options(kind: str, index: int | None, precision: str) -> dict[str, str]:
    options = {} if index is None else {'device_id': str(index)}
    if kind == 'tensorrt':
        options['trt_fp16_enable'] = str(precision == 'fp16')
        if (root := user_cache()) is not None:
            options['trt_engine_cache_enable'] = 'True'
            options['trt_engine_cache_path'] = str(root / 'tensorrt')
    return options
