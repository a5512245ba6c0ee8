"""The largest batch that a network runs within so much memory, found by doubling."""

from __future__ import annotations

import time

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.studies.bench.network_process import NetworkProcess
from depth_anything_ros.studies.bench.network_worker import NetworkWorker

__all__ = ['largest_batch']


def largest_batch(
    process: NetworkProcess, images: int, memory_mb: float, seconds: float
) -> tuple[int, str]:
    """Return how many images the loaded network ran at once, and why not twice as many.

    It begins with `images`, as many as it ran before: what is known is the most memory so far.
    The memory is that of the process, or of the GPU where the network runs there. A batch that
    would exceed it, by what the last doubling added, is not tried: a machine without memory ends
    whatever it likes. None is begun after `seconds`. Where memory runs out all the same, or the
    process ends of it, the last one that ran counts.
    """
    begun_s = time.monotonic()
    fits, before_mb = 0, None
    while True:
        try:
            held_mb = process.call(NetworkWorker.run_batch, images)
        except DepthAnythingError as error:
            return fits, f'{images}: {error}'
        if held_mb > memory_mb:
            return fits, f'{images} held {held_mb:.0f} MB, {memory_mb:.0f} are allowed'
        fits, images = images, 2 * images
        expected_mb = held_mb if before_mb is None else held_mb + 2 * (held_mb - before_mb)
        if expected_mb > memory_mb:
            return fits, f'{images} would hold {expected_mb:.0f} MB, {memory_mb:.0f} are allowed'
        if time.monotonic() - begun_s > seconds:
            return fits, f'{seconds:.0f} s were over'
        before_mb = held_mb
