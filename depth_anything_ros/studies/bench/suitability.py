"""Which measured network suits which use: rates that were measured over rates that are needed."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.studies.bench.peers import peer_of
from depth_anything_ros.studies.bench.row import Row

__all__ = ['USES', 'Use', 'verdict']


@dataclass(frozen=True)
class Use:
    """What a use needs: images per second, and the shorter side of the network's input.

    `is_live`: an image at a time, 95 of 100 of them in time; else batches count, and the median.
    `because` says where the needs come from.
    """

    name: str
    images_per_s: float
    input_size: int
    is_live: bool
    because: str


USES = (
    Use('photographs', 0.1, 518, False, 'an album of 1,000 within three hours'),
    Use('film overnight', 4.0, 518, False, 'two hours at 24 Hz, 172,800 frames, within 12 hours'),
    Use('slow robot', 5.0, 252, True, '0.5 m/s, an image every 0.1 m'),
    Use('fast robot', 15.0, 252, True, '1.5 m/s, an image every 0.1 m'),
    Use('drone', 20.0, 364, True, '5 m/s, an image every 0.25 m, and thin things such as wires'),
    Use('30 Hz camera', 30.0, 518, True, 'every image, none dropped'),
)


def verdict(row: Row, use: Use) -> str:
    """Return whether the measured rate suffices, and the measured over the needed one.

    Or why that cannot be said: 'no depth' in its output, 'too small' an input, or a 'batch' where
    images must not wait.
    """
    peer = peer_of(row)
    if peer and not peer.gives_depth:
        return 'no depth'
    if use.is_live and row.batch > 1:
        return 'batch'
    if row.timing is None or row.input_size < use.input_size:
        return 'too small'
    rate = 1e3 / row.timing.p95_ms if use.is_live else row.timing.fps
    return f'{"yes" if rate >= use.images_per_s else "no"} {rate / use.images_per_s:.2g}x'
