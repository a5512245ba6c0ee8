"""What a process holds, as Linux counts it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.core.processor import process_status

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
    status = process_status(pid)
    descriptors = len(list(Path(f'/proc/{pid}/fd').iterdir()))
    return MemorySample(frame, status['VmRSS'], status['RssAnon'], status['Threads'], descriptors)
