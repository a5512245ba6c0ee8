"""The exported network, run by OpenVINO on a CPU or an Intel GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from depth_anything_ros.backends.base import AUTO, INT8, BackendSettings
from depth_anything_ros.backends.export_files import existing_export, reload_fix
from depth_anything_ros.backends.frames import HostFrames, NetworkBackend, Run
from depth_anything_ros.backends.onnx_files import run_of_file
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.processor import multiplies_bfloat16
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.model import quiet_openvino
from depth_anything_ros.model.cache import Format

__all__ = ['choose_device', 'choose_precision', 'compiled', 'create']

PRECISIONS = {'fp32': 'FP32', 'fp16': 'FP16', 'bf16': 'BF16', INT8: 'INT8'}
"""OpenVINO's names in OPTIMIZATION_CAPABILITIES."""


def create(settings: BackendSettings) -> NetworkBackend:
    """Load the exported network; BackendError where it was not exported yet."""
    network, device, precision = compiled(settings)
    request = network.create_infer_request()

    def run_export(batch: FloatImage) -> FloatImage:
        # Not copied on the way in: the request ends before the next image is written there.
        output: FloatImage = request.infer(batch, share_inputs=True)[0]
        return output

    run: Run = run_export
    if settings.weights.card.is_onnx:
        shapes = [
            [side.get_length() if side.is_static else '?' for side in each.partial_shape]
            for each in network.inputs
        ]
        dtype = network.inputs[0].element_type.to_dtype()
        run = run_of_file(
            settings.weights, shapes, dtype, lambda image: np.array(request.infer(image)[0])
        )
    name = device.lower().replace('.', ':')
    frames = HostFrames(run, settings.weights.card.input)
    return NetworkBackend(settings, 'openvino', name, precision, frames)


def compiled(settings: BackendSettings, **options: Any) -> tuple[Any, str, str]:
    """Return the compiled network, its device and its precision, with every 'auto' resolved.

    options: further properties of OpenVINO. Raises as `create`.
    """
    core = quiet_openvino.core()
    device = choose_device(settings.device, core.available_devices)
    capabilities = set(core.get_property(device, 'OPTIMIZATION_CAPABILITIES'))
    if device == 'CPU' and not multiplies_bfloat16():
        # OpenVINO also lists it where it only emulates it.
        capabilities.discard('BF16')
    precision = choose_precision(settings.precision, device, capabilities)
    path = existing_export(settings.weights, Format.OPENVINO, int8=precision == INT8)
    # The layers of an int8 network that stay in float use the precision of 'auto'.
    rest = choose_precision(AUTO, device, capabilities) if precision == INT8 else precision
    config: dict[str, Any] = {
        'PERFORMANCE_HINT': 'LATENCY',
        'INFERENCE_PRECISION_HINT': {'fp32': 'f32', 'fp16': 'f16', 'bf16': 'bf16'}[rest],
    }
    if device == 'CPU':
        config['INFERENCE_NUM_THREADS'] = settings.threads
        # Pinned, the networks of `bag process --jobs 2` would all sit on the same cores.
        config['ENABLE_CPU_PINNING'] = False
    try:
        return core.compile_model(path, device, config | options), device, precision
    except RuntimeError as err:
        detail = (str(err).splitlines() or [''])[-1]
        raise BackendError(
            f'OpenVINO cannot load {path} on {device} ({detail}): ' + reload_fix(settings.weights)
        ) from err


def choose_device(name: str, available: list[str]) -> str:
    """Return OpenVINO's name of the device that 'auto', 'cpu', 'gpu' or 'gpu:N' means.

    Raises SettingError for another name, BackendError for a device that is not available.
    """
    if name in ('auto', 'cpu'):
        return 'CPU'
    kind, _, index = name.partition(':')
    if kind != 'gpu' or (name != 'gpu' and not index.isdecimal()):
        raise SettingError(
            f"device '{name}' is not known to openvino: give auto, cpu, gpu or gpu:N (Intel's)"
        )
    found = [each for each in available if each.partition('.')[0] == 'GPU']
    if int(index or 0) >= len(found):
        raise BackendError(
            f"device '{name}' is not there: OpenVINO sees {', '.join(available)}; install Intel's"
            ' compute runtime for its GPU, or set device to cpu'
        )
    return f'GPU.{int(index)}' if index else 'GPU'


def choose_precision(name: str, device: str, capabilities: set[str]) -> str:
    """Return the precision with 'auto' resolved; SettingError for one the device lacks."""
    if name == AUTO:
        half = 'bf16' if device == 'CPU' else 'fp16'
        return half if PRECISIONS[half] in capabilities else 'fp32'
    if name not in PRECISIONS:
        known = ', '.join((AUTO, *PRECISIONS))
        raise SettingError(f"precision '{name}' is not known to openvino: choose one of {known}")
    if PRECISIONS[name] not in capabilities:
        able = ', '.join(each for each, title in PRECISIONS.items() if title in capabilities)
        raise SettingError(
            f'precision {name} is not what this {device} computes in: choose {able}'
        )
    return name
