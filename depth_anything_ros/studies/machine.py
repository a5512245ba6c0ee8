"""What a figure was measured on, in one line that goes with it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from depth_anything_ros.core.processor import processor_name

__all__ = ['machine_line', 'package_version']

_LIBRARIES = ('torch', 'openvino', 'onnxruntime', 'tensorrt')


def machine_line() -> str:
    """Return the CPU, its cores, the GPU, the libraries and the load average."""
    libraries = [f'{name} {found}' for name in _LIBRARIES if (found := package_version(name))]
    cpus = f'{processor_name()}, {len(os.sched_getaffinity(0))} CPUs'
    versions = ', '.join([f'Python {platform.python_version()}', *libraries])
    return f'{cpus}; {_gpu_name()}; {versions}; load average {os.getloadavg()[0]:.1f}'


def package_version(name: str) -> str:
    """Return the version of an installed distribution, '' where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ''


def _gpu_name() -> str:
    try:
        import torch
    except ModuleNotFoundError:
        return 'no torch, so no GPU'
    if not torch.cuda.is_available():
        return 'no GPU'
    return ' + '.join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
