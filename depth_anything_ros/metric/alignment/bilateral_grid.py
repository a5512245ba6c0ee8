"""A grid over position in the image and log inverse depth, for smooth functions of both.

Chen, Paris and Durand, Real-time edge-aware image processing with the bilateral grid, 2007.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from depth_anything_ros.core.types import FloatImage, Floats, Ints

__all__ = ['BilateralGrid', 'Placed', 'doubled']

_REDUCED = 2
"""An image is looked up at every other row and column: nodes lie 16 px apart or more."""

_LATER, _EARLIER = slice(1, None), slice(None, -1)


@dataclass(frozen=True)
class BilateralGrid:
    """Nodes (levels, rows, columns), `spacing_px` apart in an image of `shape` (height, width).

    `first` is the natural logarithm of inverse depth (1/m) of the first level, `step` that from
    one to the next.
    """

    shape: tuple[int, int]
    spacing_px: int
    first: float
    step: float
    levels: int

    @property
    def size(self) -> tuple[int, int, int]:
        """Return the number of levels, rows and columns."""
        height, width = self.shape
        rows, columns = (-(-side // self.spacing_px) + 1 for side in (height, width))
        return self.levels, rows, columns

    @property
    def level_of_nodes(self) -> Floats:
        """Return the log inverse depth (levels,) of the nodes."""
        return np.asarray(self.first + self.step * np.arange(self.levels), np.float64)

    def place(self, u: Ints, v: Ints, level: Floats) -> Placed:
        """Return where pixels (n,) of log inverse depth `level` lie between the nodes."""
        levels, rows, columns = self.size
        x, y = (u + 0.5) / self.spacing_px, (v + 0.5) / self.spacing_px
        z = np.clip((level - self.first) / self.step, 0.0, levels - 1.0)
        left, top = x.astype(np.int64), y.astype(np.int64)
        low = np.minimum(z.astype(np.int64), max(levels - 2, 0))
        right, down, up = x - left, y - top, z - low
        corner = (low * rows + top) * columns + left
        layer = rows * columns if levels > 1 else 0
        beside = np.array([0, 1, columns, columns + 1])
        nodes = corner + np.concatenate([beside, beside + layer])[:, None]
        flat = np.stack(
            [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
        )
        shares = np.concatenate([flat * (1.0 - up), flat * up])
        # The smoothing keeps half of a node and passes a quarter on: 1/2 (a^2 + b^2) + 1/2 a b.
        own = np.prod([0.5 * (1.0 - each + each * each) for each in (right, down, up)], axis=0)
        return Placed(self.size, nodes, shares, np.asarray(own))

    def image(self, values: FloatImage, inverse: FloatImage) -> FloatImage:
        """Return `values` (levels, rows, columns) at each pixel of an inverse depth (H, W), 1/m.

        It may have another size than `shape`, of the same view. Beyond the first and the last
        level their values hold.
        """
        levels, rows, columns = self.size
        x, y = _nodes_of(self.shape, self.spacing_px, inverse.shape)
        with np.errstate(all='ignore'):
            # fmax turns NaN, like what is not above 0, into the farthest.
            level = np.log(np.fmax(inverse[::_REDUCED, ::_REDUCED], np.float32(1e-6)))
            level -= np.float32(self.first)
            level *= np.float32(1.0 / self.step)
        np.clip(level, 0.0, levels - 1.0, out=level)
        low = np.minimum(np.floor(level), np.float32(max(levels - 2, 0)))
        level -= low
        low *= np.float32(rows)
        low += y
        atlas = np.ascontiguousarray(values, np.float32).reshape(levels * rows, columns)
        below = np.asarray(cv2.remap(atlas, x, low, cv2.INTER_LINEAR), np.float32)
        above = cv2.remap(atlas[rows if levels > 1 else 0 :], x, low, cv2.INTER_LINEAR)
        below += (np.asarray(above, np.float32) - below) * level
        return np.asarray(cv2.resize(below, inverse.shape[::-1]), np.float32)


@dataclass(frozen=True, eq=False)
class Placed:
    """Samples (n,) on a grid of `size`: eight `nodes` (8, n) around each, and their `shares`.

    `own` (n,): what each sample of value 1 adds to `at(spread(...))` at its own place.
    """

    size: tuple[int, int, int]
    nodes: Ints
    shares: Floats
    own: Floats

    def spread(self, values: Floats) -> Floats:
        """Return the sum of the values (n,) on the grid, smoothed over one node."""
        count = int(np.prod(self.size))
        summed = np.bincount(self.nodes.ravel(), (self.shares * values).ravel(), count)
        return _smoothed(np.asarray(summed.reshape(self.size), np.float64))

    def at(self, grid: Floats) -> Floats:
        """Return a grid's values (n,) at the samples."""
        return np.asarray(np.einsum('ij,ij->j', grid.ravel()[self.nodes], self.shares))


def _smoothed(grid: Floats) -> Floats:
    """Return the grid after the weights 1/4, 1/2, 1/4 along each axis."""
    for axis in range(3):
        later, earlier = ((slice(None),) * axis + (part,) for part in (_LATER, _EARLIER))
        summed = 0.5 * grid
        summed[later] += 0.25 * grid[earlier]
        summed[earlier] += 0.25 * grid[later]
        grid = summed
    return grid


def doubled(grid: Floats, size: tuple[int, int, int]) -> Floats:
    """Return a grid's values on one of `size`, with half the spacing in the image."""
    for axis in (1, 2):
        index = (slice(None),) * axis
        shape = list(grid.shape)
        shape[axis] = 2 * shape[axis] - 1
        finer = np.empty(shape)
        finer[(*index, slice(None, None, 2))] = grid
        between = grid[(*index, _LATER)] + grid[(*index, _EARLIER)]
        finer[(*index, slice(1, None, 2))] = 0.5 * between
        grid = finer[(*index, slice(size[axis]))]
    return grid


@lru_cache(maxsize=8)
def _nodes_of(
    shape: tuple[int, int], spacing_px: int, looked_up: tuple[int, int]
) -> tuple[FloatImage, FloatImage]:
    """Return column and row, in nodes, of every pixel of an image that `image` looks up."""
    x, y = (
        ((np.arange(0, has, _REDUCED) + 0.5) * (side / (has * spacing_px))).astype(np.float32)
        for side, has in zip(shape[::-1], looked_up[::-1], strict=True)
    )
    columns, rows = np.meshgrid(x, y)
    return columns, rows
