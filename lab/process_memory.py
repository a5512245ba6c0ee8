"""What a process holds and uses, as Linux counts it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.core.processor import process_status

__all__ = ['MemorySample', 'cpu_seconds_of', 'memory_of']


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
    status = process_status(pid)
    descriptors = len(list(Path(f'/proc/{pid}/fd').iterdir()))
    return MemorySample(frame, status['VmRSS'], status['RssAnon'], status['Threads'], descriptors)


def cpu_seconds_of(pid: int) -> float:
    """Return the seconds that all threads of the process `pid` have had a CPU."""
    # Behind the name, which may hold anything: user and system time are the 14th and 15th.
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
