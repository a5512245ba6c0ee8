"""True depth made to look like the network's output, and references as sensors give them.

For tests and benchmarks of everything behind the network: the truth is exact, and the errors
are those of Depth Anything V2. With `bias_sigma` 0.06 the best affine fit to all pixels is left
with the AbsRel of 0.05 that the released models have on NYU.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.types import FloatImage
from lab.world.geometry import Array
from lab.world.sensors import stretched

__all__ = ['Degradation', 'Reference', 'degraded', 'sampled_reference']

_FIELD_CELLS = (5, 4)
_OFFSET_SHARE = 0.3
_GAINS = (3.0, 60.0)


@dataclass(frozen=True)
class Degradation:
    """How the network errs.

    `bias_sigma`: standard deviation of the log of a smooth field over the image.
    `blur_px`: Gaussian blur across depth edges. `noise_sigma`: log noise of each pixel.
    `gamma`: power on inverse depth, a bias that no scale and shift can undo.
    `jitter_sigma`: log change of the scale, and share of change of the shift, between frames.
    """

    bias_sigma: float = 0.06
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
    depth_m: FloatImage, how: Degradation | None = None, seed: int = 0, frame: int = 0
) -> FloatImage:
    """Return inverse depth (H, W) >= 0 of unknown scale and shift, larger = nearer, 0 for the sky.

    `seed` decides scale, shift and the smooth field; `frame` the noise and the jitter.
    """
    how = how or Degradation()
    scene_random = np.random.default_rng([seed, 0])
    frame_random = np.random.default_rng([seed, 1, frame])
    height, width = depth_m.shape
    with np.errstate(divide='ignore'):
        inverse = (1.0 / depth_m.astype(np.float64)) ** how.gamma
    cells = scene_random.standard_normal((_FIELD_CELLS[1], _FIELD_CELLS[0]))
    field = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    inverse *= np.exp(field * (how.bias_sigma / max(float(field.std()), 1e-9)))
    if how.blur_px > 0.0:
        inverse = np.asarray(cv2.GaussianBlur(inverse, (0, 0), how.blur_px))
    inverse *= np.exp(how.noise_sigma * frame_random.standard_normal(inverse.shape))
    seen = inverse[np.isfinite(depth_m)]
    least = float(np.percentile(seen, 1.0)) if seen.size else 0.0
    offset = least * scene_random.uniform(-_OFFSET_SHARE, _OFFSET_SHARE)
    gain = float(np.exp(scene_random.uniform(*np.log(_GAINS))))
    gain *= float(np.exp(how.jitter_sigma * frame_random.standard_normal()))
    offset += least * how.jitter_sigma * float(frame_random.standard_normal())
    output = np.maximum((inverse - offset) * gain, 0.0)
    return np.asarray(np.where(np.isfinite(depth_m), output, 0.0), np.float32)


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
