"""The images of one camera in the order of their stamps, each to a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.core.errors import FrameError, SettingError, require_number
from depth_anything_ros.core.flicker import Look, look_of
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.core.normalization import Normalizer, check_image
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.preprocess import check_bgr
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage, ReferenceKind
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.metric_scale import Choose, MetricScale
from depth_anything_ros.estimator.scene import NO_SCENE, ArrayScene, Scene
from depth_anything_ros.metric.references import DepthImage, Reference

__all__ = ['DepthStream', 'bounded_size']


class DepthStream:
    """One camera: its normalisation and its metric scale go on from frame to frame.

    Several may share a network. `parameters` may be replaced at any time by another thread; the
    next frame follows them.
    """

    def __init__(
        self,
        backend: DepthBackend,
        parameters: Parameters,
        camera: Camera | None = None,
        level_from_camera: Transform | None = None,
        choose: Choose = lambda samples, camera: samples,
    ) -> None:
        """`camera` and `level_from_camera` are those of every call with arrays.

        `level_from_camera` leads to a frame with z up, which scans and height limits need.
        `choose` may keep samples from the alignment.
        """
        self.backend = backend
        self.parameters = parameters
        self.levels = Levels()
        """Of the camera's images, for whoever decodes them."""
        self._camera, self._level = camera, level_from_camera
        self._normalizer = _normalizer(parameters)
        self._normalizer_of = parameters.relative
        self._scale = MetricScale(backend.info, choose)
        self._kind: ReferenceKind | None = None
        self._look: Callable[[], Look] | None = None

    def __call__(
        self, bgr: npt.NDArray[Any], stamp_s: float, reference: Reference | None = None
    ) -> Frame:
        """Return the frame of an image, uint8 (H, W, 3) BGR, taken at `stamp_s` seconds.

        `reference` was measured with it; without one the scale of the frames before is used for
        alignment.hold_s. FrameError for an image or a network output that cannot be used.
        """
        camera = self._camera
        check_bgr(bgr)
        require_number(stamp_s, 'stamp_s', 'seconds on any clock')
        if reference is not None:
            if not isinstance(reference, Reference):
                raise SettingError(
                    f'reference is {type(reference).__name__}: give one of da.DepthImage, '
                    'da.Points, da.Scan, da.Ground and da.Odometry'
                )
            if isinstance(reference, DepthImage):
                reference.check_registered(bgr.shape[1], bgr.shape[0])
            self._kind = reference.kind
        scene = ArrayScene(camera, reference, self._level, self._kind)
        if camera is not None and bgr.shape[:2] != (camera.height, camera.width):
            raise FrameError(
                'bad_camera_info',
                f'the image is {bgr.shape[1]} x {bgr.shape[0]}, the camera {camera.width} x '
                f'{camera.height}: give the intrinsics of this image size',
            )
        # The caller may fill this array with the next image.
        return self.process(bgr.copy(), round(stamp_s * 1e9), scene)

    def process(
        self,
        bgr: BgrImage,
        stamp_ns: int,
        scene: Scene = NO_SCENE,
        times: StageTimes | None = None,
    ) -> Frame:
        """Return the frame of one image, stamped `stamp_ns` nanoseconds, with what is around it.

        FrameError for an image or a network output that cannot be used.
        """
        times = times or StageTimes()
        self.check(bgr, times)
        inverse_depth = self.backend.infer(bgr, times)
        return self.frame(inverse_depth, bgr, stamp_ns, scene, times)

    def check(self, bgr: BgrImage, times: StageTimes) -> None:
        """Raise FrameError for an image that shows nothing; the first half of `process`."""
        with times.stage('preprocess'):
            check_image(bgr)

    def frame(
        self,
        inverse_depth: FloatImage,
        bgr: BgrImage,
        stamp_ns: int,
        scene: Scene,
        times: StageTimes,
    ) -> Frame:
        """Return the frame of `bgr` whose network output is `inverse_depth` (H, W).

        The half of `process` behind the network, which cameras share.
        """
        parameters = self.parameters
        with times.stage('postprocess'):
            inverse_depth = _bounded(inverse_depth, parameters.output.max_side)
            if parameters.relative != self._normalizer_of:
                self._normalizer = _normalizer(parameters)
                self._normalizer_of = parameters.relative
            bounds = self._normalizer.update(inverse_depth, stamp_ns)
        with times.stage('align'):
            metric = self._scale.metric_input(inverse_depth, scene)
            scale = self._scale.update(metric, bgr, stamp_ns, scene, parameters)
        before, self._look = self._look, cache(partial(look_of, bgr, inverse_depth))
        return Frame(
            inverse_depth,
            bgr,
            stamp_ns,
            bounds,
            scale,
            scene,
            parameters,
            times,
            metric_inverse_depth=metric,
            random_weights=self.backend.info.weights.random,
            looks=(before, self._look) if before else None,
        )

    def restart(self) -> None:
        """Forget bounds and metric scale before the next frame: it is another scene."""
        self._normalizer.forget()
        self._look = None
        self.reset_scale()

    def fix_bounds(self, bounds: tuple[float, float]) -> None:
        """Let `bounds` of inverse depth become 0 and 1 in every frame to come."""
        self._normalizer.fixed = bounds

    def state(self, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Return what it remembers but odometry, for JSON; arrays are added to `arrays`."""
        return {'bounds': self._normalizer.state(), 'scale': self._scale.state(arrays)}

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on where another stream with these parameters returned `state`."""
        self._normalizer.restore(state['bounds'])
        self._scale.restore(state['scale'], arrays, self.parameters)

    def reset_scale(self) -> None:
        """Forget the metric scale before the next frame; any thread may ask."""
        self._scale.reset_requested = True


def _normalizer(parameters: Parameters) -> Normalizer:
    return Normalizer(parameters.relative.normalization, parameters.relative.smoothing_s)


def bounded_size(height: int, width: int, max_side: int) -> tuple[int, int]:
    """Return (height, width) of the depth of an image, by the parameter output.max_side."""
    scale = max_side / max(height, width)
    if max_side == 0 or scale >= 1:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))


def _bounded(image: FloatImage, max_side: int) -> FloatImage:
    height, width = image.shape
    size = bounded_size(height, width, max_side)
    if size == image.shape:
        return image
    size = size[::-1]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
