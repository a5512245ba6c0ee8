"""One image in, one depth frame out."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.normalization import Normalizer, check_image, check_inverse_depth
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.estimator.frame import DepthFrame, Wanted
from depth_anything_ros.estimator.metric_scale import MetricScale, View
from depth_anything_ros.messages.surroundings import Surroundings
from depth_anything_ros.metric.products import metric_products

__all__ = ['DepthPipeline']


class DepthPipeline:
    """Turns the images of one camera into depth frames; cameras may share a backend.

    `parameters` may be replaced at any time by another thread; the next frame follows them.
    """

    def __init__(
        self,
        backend: DepthBackend,
        parameters: Parameters,
        around: Surroundings | None = None,
    ) -> None:
        """`around` knows the reference and the intrinsics; without it there is no scale."""
        # For the whole process: of what is done here, every step takes less than a millisecond,
        # and on a busy machine a second thread comes later than that.
        cv2.setNumThreads(1)
        self.backend = backend
        self.parameters = parameters
        self._around = around or Surroundings()
        self._normalizer = _normalizer(parameters)
        self._normalizer_of = parameters.relative
        self._scale = MetricScale(backend.info)

    def reset_alignment(self) -> None:
        """Forget the metric scale before the next frame; any thread may ask."""
        self._scale.reset_asked = True

    def process(
        self,
        bgr: BgrImage,
        stamp_ns: int,
        wanted: Wanted = Wanted.ALL,
        times: StageTimes | None = None,
        frame_id: str = '',
    ) -> DepthFrame:
        """Run one image of any size, stamped `stamp_ns` nanoseconds, taken in `frame_id`.

        Raises FrameError for an image, or an answer of the network, that means nothing.
        """
        times = times or StageTimes()
        view = self.look(bgr, stamp_ns, times, frame_id)
        inverse_depth = self.backend.infer(bgr, times)
        return self.answer(view, inverse_depth, bgr, wanted, times)

    def look(self, bgr: BgrImage, stamp_ns: int, times: StageTimes, frame_id: str) -> View:
        """Do what `process` does before the network: judge the image, see what is around it.

        Raises FrameError for an image that means nothing.
        """
        with times.stage('preprocess'):
            check_image(bgr)
        size = bgr.shape[1], bgr.shape[0]
        return View(frame_id, stamp_ns, size, self._around, self.parameters)

    def answer(
        self,
        view: View,
        inverse_depth: FloatImage,
        bgr: BgrImage,
        wanted: Wanted,
        times: StageTimes,
    ) -> DepthFrame:
        """Do the rest: `inverse_depth` is what the network gives of `bgr`."""
        parameters, stamp_ns = view.parameters, view.stamp_ns
        with times.stage('postprocess'):
            inverse_depth = _bounded(inverse_depth, parameters.output.max_side)
            normalized, color = self._pictures(inverse_depth, stamp_ns, wanted, parameters)
        with times.stage('align'):
            metric = self._scale.unsaturated(inverse_depth)
            scale = self._scale.update(metric, view)
        made = metric_products(metric, scale.alignment, view, bgr, wanted, times)
        return DepthFrame(
            inverse_depth,
            normalized,
            color,
            times,
            view.size,
            scale,
            made.depth_m,
            made.sigma_m,
            made.cloud,
            made.scan,
            parameters.scan.frame,
            made.missing,
        )

    def _pictures(
        self, inverse_depth: FloatImage, stamp_ns: int, wanted: Wanted, parameters: Parameters
    ) -> tuple[FloatImage | None, BgrImage | None]:
        """Return what shows relative depth; FrameError for an answer that means nothing."""
        if parameters.relative != self._normalizer_of:
            self._normalizer = _normalizer(parameters)
            self._normalizer_of = parameters.relative
        if not wanted & (Wanted.NORMALIZED | Wanted.COLOR):
            check_inverse_depth(inverse_depth)
            return None, None
        normalized = self._normalizer.normalize(inverse_depth, stamp_ns)
        if not wanted & Wanted.COLOR:
            return normalized, None
        color = colorize(normalized, COLORMAPS[parameters.color.map])
        if self.backend.info.weights.random:
            _draw_warning(color, 'random weights')
        return normalized, color


def _normalizer(parameters: Parameters) -> Normalizer:
    return Normalizer(parameters.relative.normalization, parameters.relative.smoothing_s)


def _bounded(image: FloatImage, max_side: int) -> FloatImage:
    height, width = image.shape
    scale = max_side / max(height, width)
    if max_side == 0 or scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _draw_warning(image: BgrImage, text: str) -> None:
    """Write `text` over `image`, legible on any colour and at any size."""
    scale = max(0.3, image.shape[1] / 640)
    origin = round(12 * scale), round(30 * scale)
    for color, width in (((0, 0, 0), 4), ((255, 255, 255), 1.5)):
        thickness = max(1, round(width * scale))
        cv2.putText(
            image,
            text,
            origin,
            cv2.FONT_HERSHEY_SIMPLEX,
            0.8 * scale,
            color,
            thickness,
            cv2.LINE_AA,
        )
