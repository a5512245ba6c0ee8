"""From raw reference samples to a clean, evenly spread subset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import FloatImage, Floats, Ints, Mask, ReferenceSamples
from depth_anything_ros.metric.alignment.config import AlignmentConfig

__all__ = [
    'BLOCKS_ALONG',
    'GatedSamples',
    'InverseDepthStats',
    'cell_px',
    'gate',
    'inverse_depth_stats',
]


BLOCKS_ALONG = 8
"""Blocks along the longer side of the image: 80 px of 640. Within one, errors are alike."""

# A cell has this side, less in images with fewer than so many along the longer side.
_CELL_PX, _CELLS_ALONG = 16, 20
_MAX_SAMPLES = 4096
_OCCLUSION_PX = 4
_OCCLUSION_SLACK = 1.05
# More samples than these cost time and add no information.
_MANY = 16384
_STATS_SIDE = 64
# Least share of pixels that are sky, and how far above 0, in spreads, few pixels lie then: where
# the network cuts off the far end, as many lie just above 0.
_SKY_SHARE = 0.002
_BESIDE_SKY = 0.02
# Centre, a near and a far ring: a depth edge within 3 px shows in one of them.
_RING = np.array(
    [(0, 0)] + [(du, dv) for r in (3, 1) for du in (-r, 0, r) for dv in (-r, 0, r) if du or dv],
    np.int64,
)


@dataclass(frozen=True)
class InverseDepthStats:
    """Percentiles of the inverse depth where it is finite and not 0, and its ends there."""

    least: float
    p1: float
    median: float
    p75: float
    greatest: float
    spread: float
    """P95 - P5."""
    sky: bool
    """Whether pixels are 0 and stand apart from all others, as those of the sky do."""


@dataclass(frozen=True, eq=False)
class GatedSamples:
    """Samples (n,) that may be fitted, in an order that does not depend on the caller's.

    `inverse_depth` of the network, `depth_m` of the reference, its `variance` relative to the
    depth, pixels `u`, `v`, and the `block` that each lies in.
    """

    inverse_depth: Floats
    depth_m: Floats
    variance: Floats
    u: Ints
    v: Ints
    block: Ints
    shape: tuple[int, int]

    @property
    def count(self) -> int:
        """Return n."""
        return int(self.inverse_depth.size)

    def chosen(self, mask: Mask) -> GatedSamples:
        """Return those where `mask` (n,) is true."""
        return GatedSamples(
            self.inverse_depth[mask],
            self.depth_m[mask],
            self.variance[mask],
            self.u[mask],
            self.v[mask],
            self.block[mask],
            self.shape,
        )


def inverse_depth_stats(inverse_depth: FloatImage) -> InverseDepthStats | None:
    """Return statistics of a grid of pixels; None where the output is 0 or constant."""
    rows = max(1, inverse_depth.shape[0] // _STATS_SIDE)
    columns = max(1, inverse_depth.shape[1] // _STATS_SIDE)
    finite = inverse_depth[::rows, ::columns]
    finite = finite[np.isfinite(finite)]
    values = finite[finite != 0.0]
    if values.size == 0:
        return None
    p1, p5, p50, p75, p95 = (float(value) for value in np.percentile(values, (1, 5, 50, 75, 95)))
    if not p95 - p5 > 1e-9 * max(abs(p5), abs(p95)):
        return None
    zeros = finite.size - values.size
    beside = np.count_nonzero(values < _BESIDE_SKY * (p95 - p5))
    sky = zeros > _SKY_SHARE * finite.size and beside < 0.5 * zeros
    least, greatest = float(values.min()), float(values.max())
    return InverseDepthStats(least, p1, p50, p75, greatest, p95 - p5, sky)


def gate(
    inverse_depth: FloatImage,
    samples: ReferenceSamples,
    stats: InverseDepthStats,
    config: AlignmentConfig,
) -> GatedSamples:
    """Return at most one sample per cell of `cell_px`: the one of median depth.

    Left out: what is not finite, outside the depth range or the image, beside a depth edge,
    behind a nearer point (for references with parallax), or where the network's output is 0.
    """
    height, width = inverse_depth.shape
    u, v, depth, variance = _within(samples, (height, width), config)
    q = inverse_depth[v, u]
    smooth = _smooth(inverse_depth, u, v, config.edge_share * stats.spread)
    kept = np.flatnonzero(smooth & np.isfinite(q) & (q != 0.0))
    if config.rules.parallax:
        kept = kept[_in_front(u[kept], v[kept], depth[kept], width)]
    kept = kept[_thinned(u[kept], v[kept], depth[kept], (height, width))]
    u, v = u[kept], v[kept]
    side = max(height, width) / BLOCKS_ALONG
    block = (v / side).astype(np.int64) * BLOCKS_ALONG + (u / side).astype(np.int64)
    return GatedSamples(
        inverse_depth[v, u].astype(np.float64),
        depth[kept].astype(np.float64),
        variance[kept],
        u,
        v,
        block,
        (height, width),
    )


def cell_px(shape: tuple[int, int]) -> int:
    """Return the side of the cells that keep one sample each, for an image (height, width)."""
    least = min(_CELL_PX, -(-max(shape) // _CELLS_ALONG))
    return max(least, int(np.ceil(np.sqrt(shape[0] * shape[1] / _MAX_SAMPLES))))


def _within(
    samples: ReferenceSamples, shape: tuple[int, int], config: AlignmentConfig
) -> tuple[Ints, Ints, npt.NDArray[np.float32], Floats]:
    """Return pixels, depth and relative variance of the samples inside image and depth range."""
    depth = np.asarray(samples.depth_m, np.float32)
    with np.errstate(invalid='ignore'):
        # A comparison with NaN is false.
        inside = (depth > config.min_depth_m) & (depth < config.max_depth_m)
        inside &= (samples.u >= -0.5) & (samples.u < shape[1] - 0.5)
        inside &= (samples.v >= -0.5) & (samples.v < shape[0] - 0.5)
        if samples.sigma_m is not None:
            inside &= (samples.sigma_m >= 0.0) & (samples.sigma_m < depth)
    u = np.floor(samples.u[inside] + 0.5).astype(np.int64)
    v = np.floor(samples.v[inside] + 0.5).astype(np.int64)
    depth = depth[inside]
    if samples.sigma_m is None:
        variance = np.zeros(depth.size)
    else:
        variance = np.square(samples.sigma_m[inside].astype(np.float64) / depth)
    one_in = -(-depth.size // _MANY)
    if one_in > 1:
        chosen = _scattered(u, v, shape[1]) % one_in == 0
        u, v, depth, variance = u[chosen], v[chosen], depth[chosen], variance[chosen]
    return u, v, depth, variance


def _scattered(u: Ints, v: Ints, width: int) -> npt.NDArray[np.uint32]:
    """Return a number for each pixel that looks random.

    By place and not by index, so that the order of the samples does not matter; no lattice, which
    would miss the pixels of a depth image of half the resolution.
    """
    key = (v * width + u).astype(np.uint32)
    for _ in range(2):
        key ^= key >> np.uint32(16)
        key *= np.uint32(0x45D9F3B)
    return key ^ (key >> np.uint32(16))


def _smooth(inverse_depth: FloatImage, u: Ints, v: Ints, limit: float) -> Mask:
    """Return whether the inverse depth within 3 px of each pixel varies by less than `limit`."""
    height, width = inverse_depth.shape
    columns = np.clip(u[None, :] + _RING[:, :1], 0, width - 1)
    rows = np.clip(v[None, :] + _RING[:, 1:], 0, height - 1)
    around = inverse_depth.take(rows * width + columns)
    with np.errstate(invalid='ignore'):
        return np.asarray(around.max(axis=0) - around.min(axis=0) <= limit)


def _in_front(u: Ints, v: Ints, depth: npt.NDArray[np.float32], width: int) -> Mask:
    """Return which points (n,) are not behind another one in the same cell of 4 px."""
    across = width // _OCCLUSION_PX + 1
    cell = v // _OCCLUSION_PX * across + u // _OCCLUSION_PX
    nearest = np.full(int(cell.max(initial=0)) + 1, np.inf, np.float32)
    np.minimum.at(nearest, cell, depth)
    return np.asarray(depth <= nearest[cell] * np.float32(_OCCLUSION_SLACK))


def _thinned(u: Ints, v: Ints, depth: npt.NDArray[np.float32], shape: tuple[int, int]) -> Ints:
    """Return the index of one sample per cell: that of median depth, duplicates counted once."""
    side = cell_px(shape)
    across = shape[1] // side + 1
    cell = (v // side * across + u // side).astype(np.uint64)
    place = (v % side * side + u % side).astype(np.uint64)
    # Positive floats sort as their bits do. One key carries cell, depth and place, so that equal
    # samples are found and ties are broken by sorting once.
    bits = np.ascontiguousarray(depth).view(np.uint32).astype(np.uint64)
    places = np.uint64(side * side)
    key, index = np.unique((cell << np.uint64(32) | bits) * places + place, return_index=True)
    cells = (key // places) >> np.uint64(32)
    starts = np.flatnonzero(np.diff(cells, prepend=cells[:1] + np.uint64(1)))
    ends = np.append(starts[1:], cells.size)
    return np.asarray(index[(starts + ends - 1) // 2], np.int64)
