"""The metric scale of one camera's frames: by a reference, or by a metric checkpoint."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from depth_anything_ros.backends.base import BackendInfo, NetworkOutput
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import CameraModel, FloatImage
from depth_anything_ros.messages.surroundings import Surroundings
from depth_anything_ros.metric.alignment import (
    Alignment,
    AlignmentConfig,
    LocalError,
    ReferenceKind,
    ScaleAligner,
)
from depth_anything_ros.metric.references import Measurement, samples_of
from depth_anything_ros.metric.scale import NO_SCALE, Scale, reason_text

__all__ = ['MetricScale', 'View']

# The last part before max_depth_m is where the sigmoid of a metric head saturates.
_UNSATURATED = 0.98


class View:
    """One image as a view of the world: where and when it was taken, and what was around."""

    def __init__(
        self,
        frame_id: str,
        stamp_ns: int,
        size: tuple[int, int],
        around: Surroundings,
        parameters: Parameters,
    ) -> None:
        """`size` is the width and height of the image.

        The reference is looked for at once, and again when it is asked for: the ring holds
        less than a slow network takes.
        """
        self.frame_id, self.stamp_ns = frame_id, stamp_ns
        self.around, self.parameters = around, parameters
        self.size = size
        # Another thread may change it while the network runs.
        self.kind = around.kind
        self._early = around.paired(stamp_ns, parameters.reference.sync_tolerance_s)

    def camera(self, shape: tuple[int, ...]) -> CameraModel:
        """Return the intrinsics for the image shrunk to `shape` (H, W); FrameError if unknown."""
        camera = self.around.camera(*self.size, self.parameters.rectified)
        return camera.scaled(shape[1], shape[0])

    def measurement(self, camera: CameraModel, after_ns: int | None) -> Measurement | None:
        """Read the reference of this image; None where it is the one at `after_ns` again.

        FrameError where there is none, or where it cannot be read.
        """
        around, reference = self.around, self.parameters.reference
        if self.kind is ReferenceKind.GROUND_PLANE:
            return around.floor(self.stamp_ns, reference)
        late = around.paired(self.stamp_ns, reference.sync_tolerance_s)
        pairs = [pair for pair in (self._early, late) if pair is not None]
        if not pairs:
            why = around.unpaired(self.stamp_ns, reference.sync_tolerance_s)
            raise FrameError('no_reference', why)
        pair = min(pairs, key=lambda each: abs(each.stamp_ns - self.stamp_ns))
        if pair.stamp_ns == after_ns:
            return None
        kind, message = pair.value
        if kind is None or kind is not self.kind:
            raise FrameError('no_reference', 'the reference has just become another one')
        return around.measurement(kind, message, self.frame_id, camera)

    def camera_from(self, measurement: Measurement) -> Transform:
        """Return the camera from the sensor of a measurement; FrameError if unknown."""
        return self.around.camera_from(
            measurement, self.frame_id, self.stamp_ns, self.parameters.reference
        )

    def level_from_camera(self, level_frame: str) -> Transform:
        """Return a frame with z up from the camera; FrameError if unknown."""
        return self.around.level_from_camera(level_frame, self.frame_id, self.stamp_ns)


class MetricScale:
    """Follows the scale from frame to frame. Not for several threads at once."""

    def __init__(self, info: BackendInfo) -> None:
        self.reset_asked = False
        """Set to True from any thread to forget everything before the next frame."""
        self._info = info
        trained_m = info.weights.checkpoint.max_depth_m
        self._least = 0.0 if trained_m is None else 1.0 / (_UNSATURATED * trained_m)
        self._aligner = ScaleAligner()
        self._used_ns: int | None = None
        self._reason, self._message = '', ''

    def unsaturated(self, inverse_depth: FloatImage) -> FloatImage:
        """Return 0, for unknown, where a metric checkpoint has reached its greatest depth."""
        if self._info.output is not NetworkOutput.METRES:
            return inverse_depth
        return np.where(inverse_depth > self._least, inverse_depth, np.float32(0.0))

    def update(self, inverse_depth: FloatImage, view: View) -> Scale:
        """Return what stands behind the metres of the frame with `inverse_depth` (H, W)."""
        stamp_ns = view.stamp_ns
        if self._info.weights.random:
            return _without('random_weights')
        if view.kind is None:
            self._forget()
            return self._by_training(NO_SCALE, view)
        if stamp_ns == 0:
            return self._by_training(_without('no_stamp'), view)
        config = _config(view.kind, view.parameters)
        if self.reset_asked or config != self._aligner.config:
            self.reset_asked = False
            self._forget()
            self._aligner = ScaleAligner(config)
        fit = None
        try:
            fit = self._fit(inverse_depth, view)
        except FrameError as error:
            self._aligner.follow(inverse_depth, stamp_ns)
            self._reason, self._message = error.reason, str(error)
        usable = self._aligner.current(stamp_ns)
        age_s = float('nan') if self._used_ns is None else (stamp_ns - self._used_ns) * 1e-9
        source = '' if usable is None else 'reference'
        scale = Scale(usable, source, self._reason, self._message, fit, age_s)
        return scale if usable is not None else self._by_training(scale, view)

    def _fit(self, inverse_depth: FloatImage, view: View) -> Alignment | None:
        """Align with the reference of this frame; None where that was used before."""
        camera = view.camera(inverse_depth.shape)
        measurement = view.measurement(camera, self._used_ns)
        if measurement is None:
            self._aligner.follow(inverse_depth, view.stamp_ns)
            return None
        limits = view.parameters.reference
        samples = samples_of(
            measurement,
            IDENTITY if measurement.registered else view.camera_from(measurement),
            camera,
            limits.min_depth_m,
            limits.max_depth_m,
        )
        fit = self._aligner.update(inverse_depth, samples, view.stamp_ns)
        self._used_ns = measurement.stamp_ns
        self._reason, self._message = fit.reason, reason_text(fit.reason)
        return fit

    def _by_training(self, scale: Scale, view: View) -> Scale:
        """Fall back to what a metric checkpoint was trained to give, unless that is denied."""
        if self._info.output is not NetworkOutput.METRES or scale.reason == 'contradicts_network':
            return scale
        parameters = view.parameters
        alignment = Alignment(
            accepted=True,
            reason='',
            stamp_ns=view.stamp_ns,
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

    def _forget(self) -> None:
        self._aligner.reset()
        self._used_ns, self._reason, self._message = None, '', ''


def _without(reason: str) -> Scale:
    return Scale(None, '', reason, reason_text(reason))


def _config(kind: ReferenceKind, parameters: Parameters) -> AlignmentConfig:
    reference = parameters.reference
    return AlignmentConfig(
        kind,
        min_depth_m=reference.min_depth_m,
        max_depth_m=reference.max_depth_m,
        **asdict(parameters.alignment),
    )
