"""Checks of Python, its packages, the processor, the GPU, the disk and the clock."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from depth_anything_ros.core.processor import (
    default_threads,
    has_nvidia_driver,
    instructions,
    processor_name,
)
from depth_anything_ros.model.user_cache import user_cache
from depth_anything_ros.studies.doctor.check import Check, Level, fail, guarded, ok, warn
from depth_anything_ros.studies.machine import package_version

__all__ = ['host_checks']

_CACHE_MB = 2000
"""Free space below which the weights and exports of vitl do not fit."""

_LEAST_MB = 200
"""The same for vits."""

_ERROR = 5
"""TIME_ERROR of adjtimex(2): the clock is not synchronised."""

_UNKNOWN = '(not by pip)'
_CPU_LIMIT = Path('/sys/fs/cgroup/cpu.max')

# One image through the conversion that is only done by cv_bridge, in both directions.
_CV_BRIDGE = (
    'import numpy; from cv_bridge import CvBridge; bridge = CvBridge(); '
    "bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(numpy.zeros((2, 2, 3), numpy.uint8), 'bgr8'))"
)


def host_checks() -> Iterator[Check]:
    """Yield the checks that need neither ROS nor a network."""
    yield Check('python', Level.OK, f'{platform.python_version()}, {sys.executable}')
    yield guarded('packages', _packages)
    yield guarded('cv_bridge', _cv_bridge)
    yield guarded('processor', _processor)
    yield guarded('gpu', _gpu)
    yield guarded('disk', _disk)
    yield guarded('clock', _clock)


def _packages() -> Check:
    found = [f'{name} {_version(name)}' for name in ('numpy', 'opencv-python-headless', 'torch')]
    # In a process of its own: what does not fit NumPy's binary interface may crash.
    error = _failure('import numpy, cv2; cv2.resize(numpy.zeros((4, 4), numpy.uint8), (2, 2))')
    if error:
        fix = 'pip install --upgrade opencv-python-headless, or the NumPy that it was built for'
        return fail(f'OpenCV does not work with NumPy {_version("numpy")}: {error}', fix)
    return ok(', '.join(found))


def _cv_bridge() -> Check:
    error = _failure(_CV_BRIDGE)
    if not error:
        return ok('works')
    if "No module named 'cv_bridge'" in error:
        return ok('not installed; needed for unusual image encodings only')
    text = f'does not work with NumPy {_version("numpy")}: {error}'
    # That of PyPI is ROS 1's.
    own = _version('cv-bridge') == _UNKNOWN
    fix = "pip install 'numpy<2'" if own else 'pip uninstall cv-bridge'
    return warn(text, f'{fix}; needed for unusual image encodings only')


def _processor() -> Check:
    cpus, known = len(os.sched_getaffinity(0)), instructions()
    used = [name for name in ('avx2', 'avx512f', 'avx512_vnni', 'amx_bf16') if name in known]
    text = f'{processor_name()}, {cpus} CPUs, {" ".join(used) or platform.machine()}'
    limit = _cpu_limit()
    if limit and limit < default_threads():
        return warn(
            f'{text}; this container may use {limit:.1f} of them',
            f'set threads to {max(1, int(limit))}, or raise the limit (docker run --cpus)',
        )
    if platform.machine() == 'x86_64' and 'avx2' not in known:
        return warn(f'{text}: no AVX2, so networks run slowly', 'use a newer CPU')
    return ok(text)


def _gpu() -> Check:
    driver = has_nvidia_driver()
    try:
        import torch
    except ModuleNotFoundError:
        text = 'torch is not installed; OpenVINO and ONNX Runtime run on the CPU'
        return warn(text, 'pip install torch') if driver else ok(text)
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return ok(f'{", ".join(names)}, CUDA {torch.version.cuda}')
    if not driver:
        if Path('/proc/driver/nvidia').exists() or shutil.which('nvidia-smi'):
            return fail(
                'an NVIDIA driver is on this machine, and libcuda.so.1 cannot be loaded here',
                'docker run --gpus all, or reinstall the driver',
            )
        return ok('no NVIDIA driver: the CPU runs the network')
    if torch.version.cuda is None:
        return warn(
            f'torch {torch.__version__} is a build for CPUs, beside an NVIDIA driver',
            'install a CUDA build of torch: https://pytorch.org/get-started/locally',
        )
    return fail(
        f'torch for CUDA {torch.version.cuda} finds no GPU',
        'update the NVIDIA driver, or install torch for its CUDA version, which nvidia-smi prints',
    )


def _disk() -> Check:
    from huggingface_hub import constants

    folders = {'weights': Path(constants.HF_HUB_CACHE), 'exports': user_cache()}
    texts = []
    for use, folder in folders.items():
        if folder is None:
            return warn(f'no folder for {use}', 'set XDG_CACHE_HOME to an absolute path')
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free_mb = shutil.disk_usage(there).free / 1e6
        text = f'{folder} ({use}) has {free_mb:.0f} MB left'
        variable = 'HF_HOME' if use == 'weights' else 'XDG_CACHE_HOME'
        fix = f'make room, or set {variable} to a folder on another disk'
        if not os.access(there, os.W_OK):
            return fail(f'{folder} ({use}) cannot be written', fix)
        if free_mb < _LEAST_MB:
            return fail(f'{text}; vits takes {_LEAST_MB}', fix)
        if free_mb < _CACHE_MB:
            return warn(f'{text}; vitl takes {_CACHE_MB}', fix)
        texts.append(text)
    return ok(', '.join(texts))


def _clock() -> Check:
    # struct timex is 208 bytes; with modes = 0, the first field, nothing is changed.
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(256))
    if state < 0:
        return warn(f'cannot be read: {os.strerror(ctypes.get_errno())}')
    if state == _ERROR:
        return warn(
            'is not synchronised: stamps of other machines may be in the past or the future',
            'sudo apt install chrony; with one machine only, ignore this',
        )
    return ok('synchronised')


def _failure(code: str) -> str:
    """Return the last line of what Python says of `code`; '' where it runs."""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, errors='replace', check=False
    )
    if done.returncode == 0:
        return ''
    lines = done.stderr.strip().splitlines()
    return lines[-1].strip() if lines else f'it ends with status {done.returncode}'


def _version(name: str) -> str:
    return package_version(name) or _UNKNOWN


def _cpu_limit() -> float | None:
    """Return the CPUs that the control group allows, None for any number."""
    try:
        quota, period = _CPU_LIMIT.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == 'max' else int(quota) / int(period)
