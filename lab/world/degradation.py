"""True depth made to look like the network's output, and references as sensors give them.

For tests and benchmarks of everything behind the network: the truth is exact, and the errors are
like those of Depth Anything V2 (`lab.claims.error_model` compares them with real maps). The log of
inverse depth errs by the sum of random fields over the image and the log of depth, of a function
of depth alone, and of one constant for each object; a field for the size of all these gives
heavy tails. Fields over the image alone would be wrong: on real maps neighbouring pixels of unlike
depth err independently.

Where sky is seen the output is 0 there, and 0 lies near infinity. Elsewhere 0 lies anywhere up to
the far wall, as training on affine-invariant inverse depth leaves it: mostly just behind the
farthest pixel, sometimes just before it, which cuts off the far end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import FloatImage
from lab.world.geometry import Array
from lab.world.sensors import stretched

__all__ = ['Degradation', 'Reference', 'degraded', 'sampled_reference']

# Cells along the longer side of the image (0: depth alone), and share of the variance.
_FIELDS = ((15, 0.35), (4, 0.20), (0, 0.10))
_OBJECTS = (15, 0.35)
# The log of the size of all errors: cells, and standard deviation.
_SPREAD = (8, 0.55)
_LEVEL = 0.3
_LEVELS = 32
_NEAREST_M = 0.05
# Mean over the places between knots of the sum of squared cubic weights, along one axis.
_CUBIC_VARIANCE = 0.87
_GROWTH = 0.25
_GROWTH_FROM_M = 4.0
# Second difference of inverse depth, as share of it, where one surface ends.
_CREASE = 0.003
_SHIFTS_WITH_SKY = (-0.45, 0.45)
_SHIFTS_WITHOUT = (-0.3, 1.0)
_BEHIND = 0.97
_CUT_OFF_SCENES = 0.25
_CUT_OFF_PERCENT = 2.0
_GAINS = (3.0, 60.0)


@dataclass(frozen=True)
class Degradation:
    """How the network errs.

    `error_sigma`: standard deviation of the log of inverse depth, before any fit, where the far
    end is 4 m away; it grows with the fourth root of that distance.
    `blur_px`: sigma of a Gaussian blur across depth edges, in pixels.
    `noise_sigma`: standard deviation of the log of inverse depth, drawn for each pixel.
    `gamma`: power on inverse depth, a bias that no scale and shift can undo.
    `jitter_sigma`: standard deviation between frames, of the log of the scale and of the shift
    as a share of the far end's inverse depth.
    """

    error_sigma: float = 0.06
    blur_px: float = 1.5
    noise_sigma: float = 0.005
    gamma: float = 1.0
    jitter_sigma: float = 0.0


@dataclass(frozen=True, eq=False)
class Reference:
    """Samples (n,) of depth along Z: float32 pixels and metres, and which of them are wrong."""

    u: npt.NDArray[np.float32]
    v: npt.NDArray[np.float32]
    depth_m: npt.NDArray[np.float32]
    outlier: npt.NDArray[np.bool_]


def degraded(
    depth_m: FloatImage,
    how: Degradation | None = None,
    seed: int = 0,
    frame: int = 0,
    objects: npt.NDArray[np.int16] | None = None,
) -> FloatImage:
    """Return inverse depth (H, W) >= 0 of unknown scale and shift, larger = nearer, 0 for the sky.

    `seed` decides scale, shift and errors; `frame` the noise and the jitter. `objects` (H, W)
    numbers what each pixel shows, the same in all frames, -1 for the sky; without it, what lies
    between creases of the depth is an object, and keeps its error while it hardly moves.
    """
    how = how or Degradation()
    scene_random = np.random.default_rng([seed, 0])
    frame_random = np.random.default_rng([seed, 1, frame])
    seen = np.isfinite(depth_m)
    with np.errstate(divide='ignore'):
        inverse = (1.0 / depth_m.astype(np.float64)) ** how.gamma
    far = float(np.percentile(inverse[seen], 1.0)) if seen.any() else 1.0
    if how.error_sigma > 0.0:
        size = how.error_sigma * (_GROWTH_FROM_M**how.gamma * far) ** (-_GROWTH / how.gamma)
        inverse *= np.exp(size * _errors(depth_m, objects, seed))
    if how.blur_px > 0.0:
        inverse = np.asarray(cv2.GaussianBlur(inverse, (0, 0), how.blur_px))
    gain = float(np.exp(scene_random.uniform(*np.log(_GAINS))))
    gain *= float(np.exp(how.jitter_sigma * frame_random.standard_normal()))
    shift = _shift(inverse, far, seen, scene_random)
    shift += far * how.jitter_sigma * float(frame_random.standard_normal())
    inverse *= np.exp(how.noise_sigma * frame_random.standard_normal(inverse.shape))
    return np.asarray(np.where(seen, np.maximum((inverse - shift) * gain, 0.0), 0.0), np.float32)


def _shift(
    inverse: Array, far: float, seen: npt.NDArray[np.bool_], random: np.random.Generator
) -> float:
    """Return the inverse depth at which the output is 0."""
    place, kind, percent = random.random(3)
    if not seen.all():
        return far * float(np.interp(place, (0.0, 1.0), _SHIFTS_WITH_SKY))
    if kind < _CUT_OFF_SCENES:
        return float(np.percentile(inverse, _CUT_OFF_PERCENT * percent))
    shift = far * float(np.interp(place, (0.0, 1.0), _SHIFTS_WITHOUT))
    return min(shift, _BEHIND * float(inverse.min()))


def _errors(depth_m: FloatImage, objects: npt.NDArray[np.int16] | None, seed: int) -> Array:
    """Return the error (H, W) of the log of inverse depth, of variance 1."""
    random = np.random.default_rng([seed, 3])
    seen = np.isfinite(depth_m)
    depth = np.where(seen, depth_m, depth_m[seen].max(initial=1.0))
    level = np.clip(np.log(depth / _NEAREST_M) / _LEVEL, 0.0, _LEVELS - 1.01)
    place = np.arange(depth.shape[0])[:, None], np.arange(depth.shape[1])[None], level
    cells, spread = _SPREAD
    log_size = _field(((cells, spread**2),), depth.shape, place, random) - spread**2
    found = _field(_FIELDS, depth.shape, place, random)
    if objects is None:
        found += _field((_OBJECTS,), depth.shape, _centres(depth, place), random)
    else:
        offsets = random.standard_normal(int(objects.max()) + 2)
        found += np.sqrt(_OBJECTS[1]) * offsets[objects]
    return np.asarray(found * np.exp(log_size))


def _field(
    parts: Sequence[tuple[int, float]],
    shape: tuple[int, ...],
    place: tuple[Array, Array, Array],
    random: np.random.Generator,
) -> Array:
    """Return at `place` (row, column, level) the sum of random fields over image and log depth.

    Each of `parts` is the number of cells along the longer side, and the variance.
    """
    rows, columns, level = place
    below = level.astype(np.intp)
    first, last = int(below.min()), int(below.max()) + 2
    layers = np.zeros((last - first, *shape), np.float32)
    for cells, variance in parts:
        down, across = (max(round(cells * side / max(shape)), 1) for side in shape)
        kept = [_CUBIC_VARIANCE if count > 1 else 1.0 for count in (down, across)]
        knots = random.standard_normal((_LEVELS, down, across), np.float32)[first:last]
        knots *= np.float32(np.sqrt(variance / (kept[0] * kept[1])))
        for layer, each in zip(layers, knots, strict=True):
            layer += cv2.resize(each, shape[::-1], interpolation=cv2.INTER_CUBIC)
    angle = (level - below) * (np.pi / 2)
    below -= first
    return np.asarray(
        np.cos(angle) * layers[below, rows, columns]
        + np.sin(angle) * layers[below + 1, rows, columns]
    )


def _centres(depth: Array, place: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """Return for each pixel the mean row, column and level of its surface."""
    inverse = 1.0 / depth
    bend = np.zeros_like(inverse)
    bend[1:-1] = np.abs(np.diff(inverse, 2, axis=0))
    bend[:, 1:-1] = np.maximum(bend[:, 1:-1], np.abs(np.diff(inverse, 2, axis=1)))
    smooth = (bend < _CREASE * inverse).astype(np.uint8)
    _, surface = cv2.connectedComponents(smooth, connectivity=4)
    labels = surface.ravel()
    sizes = np.maximum(np.bincount(labels), 1)
    # Label 0 is the creases: each pixel is its own surface there.
    row, column, level = (
        np.where(
            surface > 0,
            (np.bincount(labels, np.broadcast_to(each, depth.shape).ravel()) / sizes)[surface],
            each,
        )
        for each in place
    )
    return np.rint(row).astype(np.intp), np.rint(column).astype(np.intp), level


def sampled_reference(
    depth_m: FloatImage,
    count: int,
    seed: int,
    outliers: float = 0.0,
    noise: float = 0.01,
    clustered: bool = False,
) -> Reference:
    """Draw `count` samples of true depth with relative `noise` and a share of outliers.

    `clustered` puts the outliers side by side, as a window pane or a wet floor does.
    """
    random = np.random.default_rng([seed, 2])
    v, u = np.nonzero(np.isfinite(depth_m))
    chosen = random.choice(v.size, min(count, v.size), replace=False)
    u, v = u[chosen], v[chosen]
    depth = depth_m[v, u] * (1.0 + noise * random.standard_normal(chosen.size))
    wrong = _outliers(u, v, outliers, clustered, random)
    depth[wrong] = stretched(depth[wrong], 1.0, random)
    return Reference(u.astype(np.float32), v.astype(np.float32), depth.astype(np.float32), wrong)


def _outliers(
    u: Array, v: Array, share: float, clustered: bool, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    wrong = np.zeros(u.size, np.bool_)
    count = round(share * u.size)
    if clustered and count:
        middle = int(random.integers(u.size))
        order = np.argsort(np.hypot(u - u[middle], v - v[middle]))
    else:
        order = random.permutation(u.size)
    wrong[order[:count]] = True
    return wrong
