"""A part of the reference is kept from the alignment, to judge it afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Camera, Floats, Mask, ReferenceKind, ReferenceSamples
from depth_anything_ros.estimator.scene import Scene
from depth_anything_ros.metric.alignment.sample_gate import cell_px
from depth_anything_ros.metric.references import Odometry, Reference, Sampled

__all__ = ['HoldOut', 'Split']

_FOLDS = 5
_CELLS = 1.25
"""Side of a block in the cells in which the alignment keeps a sample each: 20 px of 640. Places in
larger blocks are farther from any sample than places are in use, and are judged too hard."""


class Split(NamedTuple):
    """All samples of a frame, in pixels of its depth, and which (N,) were held out."""

    samples: ReferenceSamples
    held: Mask


class HoldOut:
    """Keeps every fifth block of the image from the alignment, others in the next frame.

    Whole blocks, since neighbours of a sample tell its depth; no two of them touch. Pass
    `around` to BagReplay. `split` is that of the frame at hand, None where its reference was not
    read.
    """

    def __init__(self) -> None:
        self.split: Split | None = None
        self._turn = 0

    def around(self, scene: Scene) -> Scene:
        """Return the scene of the next image, whose reference lacks the blocks of its turn."""
        self.split = None
        self._turn = (self._turn + 1) % _FOLDS
        return _Scene(scene, self)

    def rest(self, samples: ReferenceSamples, camera: Camera) -> ReferenceSamples:
        """Hold some samples out, and return the rest."""
        side = _CELLS * cell_px((camera.height, camera.width))
        column, row = (((each + 0.5) // side).astype(int) for each in (samples.u, samples.v))
        held = (column + 2 * row) % _FOLDS == self._turn
        self.split = Split(samples, held)
        sigma_m = None if samples.sigma_m is None else samples.sigma_m[~held]
        return replace(
            samples,
            u=samples.u[~held],
            v=samples.v[~held],
            depth_m=samples.depth_m[~held],
            sigma_m=sigma_m,
        )


class _Scene:
    """A scene whose reference is split; of odometry, which has no samples, nothing is held out."""

    def __init__(self, scene: Scene, hold_out: HoldOut) -> None:
        self._scene, self._hold_out = scene, hold_out

    @property
    def kind(self) -> ReferenceKind | None:
        return self._scene.kind

    def camera(self) -> Camera:
        return self._scene.camera()

    def reference(self, used_ns: int | None) -> Reference | None:
        found = self._scene.reference(used_ns)
        if found is None or isinstance(found, Odometry):
            return found
        return _Part(found, self._hold_out)

    def up(self) -> Floats:
        return self._scene.up()

    def level_from_camera(self, frame: str) -> Transform:
        return self._scene.level_from_camera(frame)


class _Part:
    """A reference without the samples that are held out."""

    def __init__(self, whole: Sampled, hold_out: HoldOut) -> None:
        self._whole, self._hold_out = whole, hold_out
        self.kind, self.stamp_ns = whole.kind, whole.stamp_ns

    def samples(self, camera: Camera, min_depth_m: float, max_depth_m: float) -> ReferenceSamples:
        return self._hold_out.rest(self._whole.samples(camera, min_depth_m, max_depth_m), camera)
