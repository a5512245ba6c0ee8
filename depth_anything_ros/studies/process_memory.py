"""What a process holds, as Linux counts it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ['MemorySample', 'memory_of']


@dataclass(frozen=True)
class MemorySample:
    """What a process held after `frame` frames; `anonymous_kb` is its own memory.

    Resident memory counts pages of the shared memory of DDS as well, which come into it one by
    one as messages touch them.
    """

    frame: int
    resident_kb: int
    anonymous_kb: int
    threads: int
    descriptors: int


def memory_of(pid: int, frame: int) -> MemorySample:
    """Measure the process `pid` after so many frames."""
    process_files = Path(f'/proc/{pid}')
    lines = (process_files / 'status').read_text().splitlines()
    status = dict(line.split(':', 1) for line in lines)
    resident, anonymous, threads = (
        int(status[key].split()[0]) for key in ('VmRSS', 'RssAnon', 'Threads')
    )
    descriptors = len(list((process_files / 'fd').iterdir()))
    return MemorySample(frame, resident, anonymous, threads, descriptors)
