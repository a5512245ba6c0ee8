"""The device and the precision in which torch runs the network."""

from __future__ import annotations

import torch

from depth_anything_ros.backends.base import INT8
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.processor import multiplies_bfloat16

__all__ = ['PRECISIONS', 'choose_device', 'choose_precision', 'is_out_of_memory']

PRECISIONS = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}

_OUT_OF_MEMORY = ('out of memory', 'ALLOC_FAILED', "can't allocate memory")
"""Parts of the messages of CUDA, of cuBLAS and cuDNN, and of torch on a CPU."""


def choose_device(name: str) -> torch.device:
    """Return the device that 'auto', 'cpu', 'cuda' or 'cuda:N' means.

    Raises SettingError for another name, BackendError for a device that is not available.
    """
    if name == 'cpu' or (name == 'auto' and not torch.cuda.is_available()):
        return torch.device('cpu')
    if name == 'auto':
        return torch.device('cuda', 0)
    kind, _, index = name.partition(':')
    if kind != 'cuda' or (name != 'cuda' and not index.isdecimal()):
        raise SettingError(f"device '{name}' is not known: give auto, cpu, cuda or cuda:N")
    if torch.version.cuda is None:
        raise BackendError(
            f"device '{name}' needs a CUDA build of torch, and {torch.__version__} is not one:"
            ' install one as https://pytorch.org/get-started says, or set device to cpu'
        )
    if not torch.cuda.is_available():
        raise BackendError(
            f"device '{name}' is not there: torch sees no NVIDIA GPU; check that nvidia-smi lists"
            ' one and that the driver is new enough for CUDA '
            f'{torch.version.cuda}, or set device to cpu'
        )
    count = torch.cuda.device_count()
    if int(index or 0) >= count:
        raise BackendError(f"device '{name}' is not there: give cuda:0 to cuda:{count - 1}")
    return torch.device('cuda', int(index or 0))


def choose_precision(name: str, device: torch.device) -> str:
    """Return the precision with 'auto' resolved; SettingError for one `device` cannot run."""
    if name == 'auto':
        if device.type == 'cuda':
            return 'fp16'
        return 'bf16' if multiplies_bfloat16() else 'fp32'
    if name == INT8:
        raise SettingError("precision int8 runs on backend 'openvino' or 'onnxruntime': set one")
    if name not in PRECISIONS:
        known = ', '.join(('auto', *PRECISIONS))
        raise SettingError(f"precision '{name}' is not known to torch: choose one of {known}")
    if name == 'fp16' and device.type == 'cpu':
        raise SettingError('precision fp16 is slow and inexact on a CPU: choose fp32 or bf16')
    return name


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error of torch means that the device is out of memory."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return any(part in str(error) for part in _OUT_OF_MEMORY)
