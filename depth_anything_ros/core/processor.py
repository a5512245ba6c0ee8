"""What this machine's processor can do, and how much of it a network may take."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ['default_threads', 'multiplies_bfloat16']

_BFLOAT16 = {'avx512_bf16', 'amx_bf16'}
_INFO = Path('/proc/cpuinfo')
_CPUS = Path('/sys/devices/system/cpu')


def default_threads() -> int:
    """Give the physical cores that this process may use, less one where there are more than two.

    A second thread on a core gains a network nothing; the core that is left runs the cameras'
    drivers, the planner and what else a robot needs.
    """
    cores = len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})
    return cores - 1 if cores > 2 else cores


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; emulated it is slower than float32."""
    try:
        text = _INFO.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return False
    flags = re.search(r'^flags\s*:(.*)$', text, re.MULTILINE)
    return flags is not None and not _BFLOAT16.isdisjoint(flags[1].split())


def _siblings(cpu: int) -> str:
    try:
        return (_CPUS / f'cpu{cpu}/topology/thread_siblings_list').read_text().strip()
    except OSError:
        return str(cpu)
