"""The metric scale of one camera's frames: by a reference, or by a metric checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.backends.base import BackendInfo, NetworkOutput
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.parameters import OdometryParameters, Parameters
from depth_anything_ros.core.types import (
    BgrImage,
    Camera,
    FloatImage,
    ReferenceKind,
    ReferenceSamples,
)
from depth_anything_ros.estimator.kept_values import packed, unpacked
from depth_anything_ros.estimator.scene import Scene
from depth_anything_ros.metric.alignment import (
    Alignment,
    AlignmentConfig,
    LocalError,
    ScaleAligner,
)
from depth_anything_ros.metric.odometry import OdometryTracker, check_camera_height
from depth_anything_ros.metric.references import Odometry
from depth_anything_ros.metric.scale import NO_SCALE, Scale, reason_text

__all__ = ['Choose', 'MetricScale']

Choose = Callable[[ReferenceSamples, Camera], ReferenceSamples]
"""Returns those samples of a frame that the alignment gets; the camera is that of its depth."""

# The last part before max_depth_m is where the sigmoid of a metric head saturates.
_UNSATURATED = 0.98

_KEPT = '_used_ns', '_reason', '_message', 'reset_requested'


class MetricScale:
    """Follows the scale from frame to frame. Not for several threads at once."""

    def __init__(self, info: BackendInfo, choose: Choose) -> None:
        self.reset_requested = False
        """Set to True from any thread to forget everything before the next frame."""
        self._info, self._choose = info, choose
        trained_m = info.weights.card.max_depth_m
        self._least = 1.0 / (_UNSATURATED * trained_m) if trained_m else 0.0
        self._no_focal: FrameError | None = None
        self._aligner = ScaleAligner()
        self._tracker: OdometryTracker | None = None
        self._tracked: tuple[Camera, OdometryParameters] | None = None
        self._used_ns: int | None = None
        self._reason, self._message = '', ''

    def metric_input(self, inverse_depth: FloatImage, scene: Scene) -> FloatImage:
        """Return what metres are made of: of a metric network 1/m, without a reference.

        That is 0, for unknown, where such a network has reached its greatest depth.
        """
        if not self._info.output.metric:
            return inverse_depth
        self._no_focal = None
        if self._info.output is NetworkOutput.METRES_BY_FOCAL:
            try:
                camera = scene.camera()
            except FrameError as error:
                self._no_focal = error
                return inverse_depth
            inverse_depth = inverse_depth / np.float32(0.5 * (camera.fx + camera.fy))
        return np.where(inverse_depth > self._least, inverse_depth, np.float32(0.0))

    def update(
        self,
        inverse_depth: FloatImage,
        bgr: BgrImage,
        stamp_ns: int,
        scene: Scene,
        parameters: Parameters,
    ) -> Scale:
        """Return what the metres of the frame of `bgr` with `inverse_depth` (H, W) rest on."""
        if self._info.weights.random:
            return _without('random_weights')
        if self._no_focal is not None:
            self._forget()
            return Scale(None, '', self._no_focal.reason, str(self._no_focal))
        kind = scene.kind
        if kind is None:
            self._forget()
            return self._by_training(NO_SCALE, stamp_ns, parameters)
        if stamp_ns == 0:
            return self._by_training(_without('no_stamp'), stamp_ns, parameters)
        config = self._config(kind, parameters)
        if self.reset_requested or config != self._aligner.config:
            self.reset_requested = False
            self._forget()
            self._aligner = ScaleAligner(config)
        fit = None
        try:
            fit = self._fit(inverse_depth, bgr, stamp_ns, scene, parameters)
        except FrameError as error:
            self._aligner.follow(inverse_depth, stamp_ns)
            self._reason, self._message = error.reason, str(error)
        age_s = float('nan') if self._used_ns is None else (stamp_ns - self._used_ns) * 1e-9
        reason, message = self._reason, self._message
        usable = self._aligner.current(stamp_ns)
        if usable is not None and kind is ReferenceKind.ODOMETRY:
            try:
                _check_height(inverse_depth, usable, scene, parameters)
            except FrameError as error:
                usable, reason, message = None, error.reason, str(error)
        if usable is None:
            reason = reason or 'too_old'
            scale = Scale(None, '', reason, message or reason_text(reason), fit, age_s)
            return self._by_training(scale, stamp_ns, parameters)
        return Scale(usable, 'reference', reason, message, fit, age_s)

    def state(self, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Return what the next scale depends on but odometry, for JSON; arrays go to `arrays`."""
        aligner = {k: v for k, v in vars(self._aligner).items() if k != 'config'}
        own = {name: getattr(self, name) for name in _KEPT}
        return {
            'reference': self._aligner.config.kind.value,
            'aligner': packed(aligner, arrays),
            'own': packed(own, arrays),
        }

    def restore(
        self,
        state: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        parameters: Parameters,
    ) -> None:
        """Go on where another one with these parameters returned `state`."""
        kind = ReferenceKind(state['reference'])
        self._aligner = ScaleAligner(self._config(kind, parameters))
        vars(self._aligner).update(unpacked(state['aligner'], arrays))
        vars(self).update(unpacked(state['own'], arrays))

    def _fit(
        self,
        inverse_depth: FloatImage,
        bgr: BgrImage,
        stamp_ns: int,
        scene: Scene,
        parameters: Parameters,
    ) -> Alignment | None:
        """Align with the reference of this frame; None where that was used before."""
        height, width = inverse_depth.shape
        camera = scene.camera().scaled(width, height)
        reference = scene.reference(self._used_ns)
        if reference is None:
            self._aligner.follow(inverse_depth, stamp_ns)
            return None
        limits = parameters.reference
        if isinstance(reference, Odometry):
            samples = self._track(reference, bgr, stamp_ns, camera, parameters)
        else:
            samples = reference.samples(camera, limits.min_depth_m, limits.max_depth_m)
        fit = self._aligner.update(inverse_depth, self._choose(samples, camera), stamp_ns)
        self._used_ns = stamp_ns if reference.stamp_ns is None else reference.stamp_ns
        self._reason, self._message = fit.reason, reason_text(fit.reason)
        return fit

    def _track(
        self,
        odometry: Odometry,
        bgr: BgrImage,
        stamp_ns: int,
        camera: Camera,
        parameters: Parameters,
    ) -> ReferenceSamples:
        """Return samples by the motion of the camera; FrameError while there are none."""
        noise = parameters.odometry
        if self._tracker is None or self._tracked != (camera, noise):
            self._tracker, self._tracked = OdometryTracker(camera, noise), (camera, noise)
        grey = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)
        return self._tracker.update(grey, stamp_ns, odometry.transform)

    def _by_training(self, scale: Scale, stamp_ns: int, parameters: Parameters) -> Scale:
        """Fall back to the metres that a metric checkpoint was trained for, unless refuted."""
        if not self._info.output.metric or scale.reason == 'contradicts_network':
            return scale
        alignment = Alignment(
            accepted=True,
            reason='',
            stamp_ns=stamp_ns,
            min_depth_m=parameters.reference.min_depth_m,
            max_depth_m=parameters.reference.max_depth_m,
            scale=1.0,
            shift=0.0,
            covariance=np.zeros((2, 2)),
            local=LocalError(
                np.full((1, 1), parameters.metric.prior_relative_sigma**2, np.float32)
            ),
        )
        return Scale(alignment, 'checkpoint', scale.reason, scale.message, scale.fit)

    def _config(self, kind: ReferenceKind, parameters: Parameters) -> AlignmentConfig:
        reference = parameters.reference
        by_odometry = kind is ReferenceKind.ODOMETRY
        return AlignmentConfig(
            kind,
            min_depth_m=reference.min_depth_m,
            max_depth_m=reference.max_depth_m,
            scale_sigma=parameters.odometry.scale_sigma if by_odometry else 0.0,
            zero_is_infinite=self._info.output.metric,
            **asdict(parameters.alignment),
        )

    def _forget(self) -> None:
        self._aligner.reset()
        self._tracker = None
        self._used_ns, self._reason, self._message = None, '', ''


def _without(reason: str) -> Scale:
    return Scale(None, '', reason, reason_text(reason))


def _check_height(
    inverse_depth: FloatImage, alignment: Alignment, scene: Scene, parameters: Parameters
) -> None:
    """Raise FrameError where metres contradict the known height of the camera."""
    height_m = parameters.reference.camera_height_m
    if not height_m:
        return
    try:
        height, width = inverse_depth.shape
        camera, up = scene.camera().scaled(width, height), scene.up()
    except FrameError:
        # Without the tilt nothing can be said.
        return
    check_camera_height(inverse_depth, alignment, camera, height_m, up)
