"""What the processor can do, how much of it a network may take, and what a process takes."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from pathlib import Path

__all__ = [
    'default_threads',
    'has_nvidia_driver',
    'instructions',
    'multiplies_bfloat16',
    'process_status',
    'processor_name',
]

_BFLOAT16 = {'avx512_bf16', 'amx_bf16'}
_INFO = Path('/proc/cpuinfo')
_CPUS = Path('/sys/devices/system/cpu')


def default_threads() -> int:
    """Return the physical cores that this process may use, less one where there are more than two.

    A second thread on a core gains a network nothing; the core that is left runs the cameras'
    drivers, the planner and what else a robot needs.
    """
    cores = len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})
    return cores - 1 if cores > 2 else cores


def has_nvidia_driver() -> bool:
    """Return whether the library of the NVIDIA driver can be loaded."""
    try:
        ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False
    return True


def processor_name() -> str:
    """Return the name of the model, or the architecture where there is none, as on aarch64."""
    return _info('model name') or platform.machine()


def instructions() -> frozenset[str]:
    """Return the flags of the processor, 'avx2' for instance; none where they are not known."""
    return frozenset(_info('flags').split())


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; emulated it is slower than float32."""
    return not _BFLOAT16.isdisjoint(instructions())


def process_status(pid: int | str = 'self') -> dict[str, int]:
    """Return the numbers of /proc/PID/status by name, in KB where they are memory.

    The highest memory is VmHWM: every program starts with its own, while ru_maxrss begins at the
    memory of its parent.
    """
    lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    words = {key: value.split() for key, _, value in (line.partition(':') for line in lines)}
    return {key: int(value[0]) for key, value in words.items() if value and value[0].isdecimal()}


def _info(key: str) -> str:
    """Return the first value of this name in /proc/cpuinfo, '' without one."""
    try:
        text = _INFO.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''
    found = re.search(rf'^{key}\s*:(.*)$', text, re.MULTILINE)
    return found[1].strip() if found else ''


def _siblings(cpu: int) -> str:
    try:
        return (_CPUS / f'cpu{cpu}/topology/thread_siblings_list').read_text().strip()
    except OSError:
        return str(cpu)
