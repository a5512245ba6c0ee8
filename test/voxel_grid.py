"""A plain voxel grid for tests: rays clear what they pass, points mark where they end.

It shares no code with the package, and does not care where points come from: from metric depth,
from a bag, or from the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """What of a cloud counts, as in a costmap: ranges from the eye, heights along z, metres.

    Rays clear whatever the height they end at, and stop `margin_m` short of their ends.
    """

    min_height_m: float
    max_height_m: float
    mark_range_m: float
    clear_range_m: float
    margin_m: float


class VoxelGrid:
    """Marked cells of `cell_m` over a box from `low` (3,) to `high` (3,), metres."""

    def __init__(self, low: npt.ArrayLike, high: npt.ArrayLike, cell_m: float) -> None:
        self.low = np.asarray(low, np.float64)
        self.cell_m = cell_m
        size = np.ceil((np.asarray(high, np.float64) - self.low) / cell_m).astype(int)
        self.marked = np.zeros(size, np.bool_)

    def insert(self, eye: Points, points: Points, limits: Limits, *, clears: bool = True) -> None:
        """Take in one cloud (N, 3) seen from `eye` (3,), both in the frame of the grid."""
        points = points[np.isfinite(points).all(axis=1)]
        reach = np.linalg.norm(points - eye, axis=1)
        if clears:
            stop = np.clip(reach - limits.margin_m, 0.0, limits.clear_range_m)
            # Of the rays that end in one cell, one will do.
            ends = eye + (points - eye) * (stop / reach)[:, None]
            cells = np.floor((ends - self.low) / self.cell_m).astype(np.int32)
            one = np.unique(cells @ np.array([1, 1 << 10, 1 << 20]), return_index=True)[1]
            self.marked &= ~self.passed(eye, points[one], np.zeros(one.size), stop[one])
        standing = (points[:, 2] >= limits.min_height_m) & (points[:, 2] <= limits.max_height_m)
        self.mark(points[standing & (reach <= limits.mark_range_m)])

    def mark(self, points: Points) -> None:
        """Mark the cells that `points` (N, 3) lie in."""
        cells = np.floor((points - self.low) / self.cell_m).astype(int)
        cells = cells[self._inside(cells)]
        self.marked[cells[:, 0], cells[:, 1], cells[:, 2]] = True

    def passed(self, eye: Points, points: Points, start_m: Points, stop_m: Points) -> Flags:
        """Return the cells, as `marked`, that rays towards `points` pass between two ranges."""
        flags = np.zeros_like(self.marked)
        for _, cells in self._walk(eye, points, start_m, stop_m):
            flags[cells[:, 0], cells[:, 1], cells[:, 2]] = True
        return flags

    def hit(
        self, eye: Points, points: Points, start_m: Points, stop_m: Points, marked: Flags
    ) -> Flags:
        """Tell of each ray (N,) whether it passes one of the cells `marked` between two ranges."""
        found = np.zeros(len(points), np.bool_)
        for rays, cells in self._walk(eye, points, start_m, stop_m):
            found[rays] |= marked[cells[:, 0], cells[:, 1], cells[:, 2]]
        return found

    def _walk(
        self, eye: Points, points: Points, start_m: Points, stop_m: Points
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Step all rays from cell to cell; gives the rays (n,) and their cells (n, 3) in the grid.

        Source: Amanatides and Woo, 'A fast voxel traversal algorithm for ray tracing', 1987.
        """
        offset = points - eye
        length = np.linalg.norm(offset, axis=1)
        ray = np.flatnonzero((length > 0.0) & (stop_m > start_m))
        direction = offset[ray] / length[ray, None]
        at = (eye + start_m[ray, None] * direction - self.low) / self.cell_m
        left = (stop_m - start_m)[ray] / self.cell_m
        cell = np.floor(at).astype(np.int64)
        step = np.where(direction > 0.0, 1, -1)
        with np.errstate(divide='ignore', invalid='ignore'):
            border = (cell + (direction > 0.0) - at) / direction
            spacing = np.abs(1.0 / direction)
        border[direction == 0.0] = np.inf
        while ray.size:
            inside = self._inside(cell)
            yield ray[inside], cell[inside]
            axis = border.argmin(axis=1)
            row = np.arange(ray.size)
            kept = border[row, axis] < left
            cell[row, axis] += step[row, axis]
            border[row, axis] += spacing[row, axis]
            ray, left, cell, step = ray[kept], left[kept], cell[kept], step[kept]
            border, spacing = border[kept], spacing[kept]

    def _inside(self, cells: npt.NDArray[np.int64]) -> Flags:
        return np.asarray(((cells >= 0) & (cells < self.marked.shape)).all(axis=1))


def grown(flags: Flags) -> Flags:
    """Add the neighbours of all flagged cells, diagonal ones too."""
    for axis in range(3):
        shifted = np.moveaxis(flags.copy(), axis, 0)
        plain = np.moveaxis(flags, axis, 0)
        shifted[1:] |= plain[:-1]
        shifted[:-1] |= plain[1:]
        flags = np.moveaxis(shifted, 0, axis)
    return flags
