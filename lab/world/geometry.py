"""Convex solids, and where rays enter and leave them.

Points and directions are (3, n) arrays, one column each, in metres of the frame `map`. All rays
of one call share their origin, which is what makes the solids cheap: whether the origin lies
inside a half-space is decided once, not per ray.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.geometry.transforms import Transform

__all__ = [
    'Array',
    'Convex',
    'Cylinder',
    'Rays',
    'Shape',
    'Sphere',
    'box',
    'dots',
    'frustum',
    'moved',
    'rotated',
    'yaw_matrix',
]

Array = npt.NDArray[Any]

_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Rays:
    """Half-lines from one `origin` (3,) along unit `directions` (3, n)."""

    origin: Array
    directions: Array

    def at(self, distance_m: Array) -> Array:
        """Return the points (3, n) at `distance_m` (n,) along the rays."""
        dtype = self.directions.dtype
        return np.asarray(self.directions * distance_m + self.origin[:, None].astype(dtype))


class Shape(Protocol):
    """A convex solid."""

    @property
    def centre(self) -> Array:
        """Return the centre (3,) of a ball around the solid."""

    @property
    def radius(self) -> float:
        """Return the radius of that ball."""

    def interval(self, origin: Array, directions: Array) -> tuple[Array, Array]:
        """Return the distances at which rays enter and leave; near > far where they miss.

        Both are clipped to the half-line: near is 0 for an origin inside.
        """

    def distance(self, points: Array) -> Array:
        """Return a signed distance (n,) of points, at least near the surface; negative inside."""

    def normals(self, points: Array) -> Array:
        """Return outward unit normals (3, n) at points on the surface."""

    def moved(self, offset: Array) -> Shape:
        """Return the same solid shifted by `offset` (3,)."""


@dataclass(frozen=True, eq=False)
class Convex:
    """Intersection of half-spaces: planes (k, 3) @ x <= offsets (k,)."""

    planes: Array
    offsets: Array
    centre: Array
    radius: float

    def interval(self, origin: Array, directions: Array) -> tuple[Array, Array]:
        """Clip the rays at each plane in turn."""
        dtype = directions.dtype
        gaps = self.planes @ origin - self.offsets
        # Adding zero turns -0.0 into 0.0, which keeps the sign of the quotient below.
        rates = [dots(plane, directions) + dtype.type(0) for plane in self.planes]
        near = np.zeros(directions.shape[1], dtype)
        far = np.full(directions.shape[1], np.inf, dtype)
        with np.errstate(divide='ignore', invalid='ignore'):
            for gap, rate in zip(gaps, rates, strict=True):
                cross = dtype.type(-gap) / rate
                if gap >= 0.0:
                    np.maximum(near, np.where(rate < 0.0, cross, np.inf), out=near)
                else:
                    np.minimum(far, np.where(rate > 0.0, cross, np.inf), out=far)
        return near, far

    def distance(self, points: Array) -> Array:
        """Return the largest distance to a plane: exact inside and beside a face."""
        return np.asarray(self.face_distances(points).max(axis=0))

    def normals(self, points: Array) -> Array:
        """Return the normal of the nearest plane."""
        nearest = self.face_distances(points).argmax(axis=0)
        return np.asarray(self.planes.T.astype(points.dtype).take(nearest, axis=1))

    def moved(self, offset: Array) -> Convex:
        """Shift the planes."""
        offsets = self.offsets + self.planes @ offset
        return Convex(self.planes, offsets, self.centre + offset, self.radius)

    def face_distances(self, points: Array) -> Array:
        """Return the signed distance (k, n) of points to each plane; negative inside."""
        dtype = points.dtype
        return np.asarray(rotated(self.planes, points) - self.offsets[:, None].astype(dtype))


@dataclass(frozen=True, eq=False)
class Cylinder:
    """Upright cylinder; `base` (3,) is the middle of its lower end."""

    base: Array
    ray_radius: float
    height: float

    @property
    def centre(self) -> Array:
        """Return the middle of the axis."""
        return np.asarray(self.base + np.array([0.0, 0.0, self.height / 2]))

    @property
    def radius(self) -> float:
        """Return the radius of the ball around both ends."""
        return float(np.hypot(self.ray_radius, self.height / 2))

    def interval(self, origin: Array, directions: Array) -> tuple[Array, Array]:
        """Intersect the infinite cylinder in the plane, then clip at both ends."""
        dtype = directions.dtype
        dx, dy, dz = directions
        ox, oy, oz = (dtype.type(value) for value in origin - self.base)
        square = np.maximum(dx * dx + dy * dy, dtype.type(_TINY))
        along = ox * dx + oy * dy
        # The cross product keeps its precision far away, where b^2 - a c would cancel.
        across = ox * dy - oy * dx
        room = dtype.type(self.ray_radius**2) * square - across * across
        root = np.sqrt(np.maximum(room, 0.0))
        with np.errstate(divide='ignore', invalid='ignore'):
            low, high = -oz / dz, (dtype.type(self.height) - oz) / dz
        near = np.maximum((-along - root) / square, np.fmin(low, high))
        far = np.minimum((-along + root) / square, np.fmax(low, high))
        far = np.where(room < 0.0, -np.inf, far)
        return np.maximum(near, dtype.type(0)), far

    def distance(self, points: Array) -> Array:
        """Return the larger of the distances to the side and to the ends."""
        return np.maximum(self._side(points), self._ends(points))

    def normals(self, points: Array) -> Array:
        """Return radial normals on the side, vertical ones on the ends."""
        local = points - self.base[:, None].astype(points.dtype)
        length = np.maximum(np.hypot(local[0], local[1]), points.dtype.type(_TINY))
        side = np.stack([local[0] / length, local[1] / length, np.zeros_like(length)])
        end = np.zeros_like(side)
        end[2] = np.where(local[2] > self.height / 2, 1.0, -1.0)
        return np.where(self._ends(points) > self._side(points), end, side)

    def moved(self, offset: Array) -> Cylinder:
        """Shift the base."""
        return Cylinder(self.base + offset, self.ray_radius, self.height)

    def _side(self, points: Array) -> Array:
        x, y = points[0] - self.base[0], points[1] - self.base[1]
        return np.asarray(np.hypot(x, y) - self.ray_radius)

    def _ends(self, points: Array) -> Array:
        z = points[2] - self.base[2]
        return np.asarray(np.maximum(z - self.height, -z))


@dataclass(frozen=True, eq=False)
class Sphere:
    """Ball around `centre` (3,)."""

    centre: Array
    radius: float

    def interval(self, origin: Array, directions: Array) -> tuple[Array, Array]:
        """Intersect through the point of closest approach, which does not cancel far away."""
        dtype = directions.dtype
        offset = (origin - self.centre).astype(dtype)
        along = dots(offset, directions)
        closest = offset[:, None] - along * directions
        room = dtype.type(self.radius**2) - np.einsum('ij,ij->j', closest, closest)
        root = np.sqrt(np.maximum(room, 0.0))
        far = np.where(room < 0.0, -np.inf, root - along)
        return np.maximum(-along - root, dtype.type(0)), far

    def distance(self, points: Array) -> Array:
        """Return the distance to the surface."""
        local = points - self.centre[:, None].astype(points.dtype)
        return np.asarray(np.sqrt(np.einsum('ij,ij->j', local, local)) - self.radius)

    def normals(self, points: Array) -> Array:
        """Return radial normals."""
        local = points - self.centre[:, None].astype(points.dtype)
        return np.asarray(local / np.maximum(np.linalg.norm(local, axis=0), _TINY))

    def moved(self, offset: Array) -> Sphere:
        """Shift the centre."""
        return Sphere(self.centre + offset, self.radius)


def dots(vector: Array, columns: Array) -> Array:
    """Return the scalar products (n,) of `vector` (3,) with each column of (3, n).

    Spelled out, because for so few rows a BLAS loses more time in its threads than it gains,
    and rounds differently on every processor. Zeros are left out: most planes are upright.
    """
    result: Array | None = None
    for weight, row in zip(vector, columns, strict=True):
        if weight != 0.0:
            term = columns.dtype.type(weight) * row
            result = term if result is None else result + term
    return np.zeros(columns.shape[1], columns.dtype) if result is None else result


def rotated(matrix: Array, columns: Array) -> Array:
    """Return `matrix` (k, 3) @ `columns` (3, n), in the type of the columns."""
    return np.stack([dots(row, columns) for row in matrix])


def moved(transform: Transform, points: Array) -> Array:
    """Return points (3, n) in the target frame of `transform`, float64."""
    return np.asarray(transform.rotation @ points + transform.translation[:, None])


def yaw_matrix(yaw: float) -> Array:
    """Return the rotation (3, 3) by `yaw` radians about z."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def box(base: Array, size: tuple[float, float, float], yaw: float = 0.0) -> Convex:
    """Build a box standing on `base` (3,), its sides `size` along x, y, z before the yaw."""
    return frustum(base, size, size[:2], yaw)


def frustum(
    base: Array,
    size: tuple[float, float, float],
    top: tuple[float, float],
    yaw: float = 0.0,
    top_shift_x: float = 0.0,
) -> Convex:
    """Build a box whose top has another size, as the cabin of a car.

    `top_shift_x` moves the middle of the top along the local x.
    """
    half_x, half_y, height = size[0] / 2, size[1] / 2, size[2]
    leans = [
        ((1.0, 0.0), half_x, top[0] / 2 + top_shift_x),
        ((-1.0, 0.0), half_x, top[0] / 2 - top_shift_x),
        ((0.0, 1.0), half_y, top[1] / 2),
        ((0.0, -1.0), half_y, top[1] / 2),
    ]
    planes, offsets = [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], [height, 0.0]
    for (x, y), low, high in leans:
        length = float(np.hypot(height, low - high))
        planes.append([x * height / length, y * height / length, (low - high) / length])
        offsets.append(low * height / length)
    turned = np.array(planes) @ yaw_matrix(yaw).T
    reach = max(half_x, top[0] / 2 + abs(top_shift_x)), max(half_y, top[1] / 2)
    centre = base + np.array([0.0, 0.0, height / 2])
    radius = float(np.linalg.norm([*reach, height / 2]))
    return Convex(turned, np.array(offsets) + turned @ base, centre, radius)
