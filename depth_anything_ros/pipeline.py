"""One image in, one depth frame out: infer, bound the size, normalise, draw."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.backends import DepthBackend, create_backend
from depth_anything_ros.core.colour import COLORMAPS, colorize
from depth_anything_ros.core.frame import DepthFrame, Wanted
from depth_anything_ros.core.normalization import Normalizer, check_disparity, check_image
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.hub import OnProgress
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import locate

__all__ = ['DepthFrame', 'DepthPipeline', 'Wanted', 'fetch_weights', 'load_backend']


def fetch_weights(parameters: Parameters, on_progress: OnProgress | None = None) -> None:
    """See that the weights that `parameters` name are on disk; this may take minutes.

    Raises WeightsError, also where a download would be needed and is not allowed.
    """
    locate(
        parameters.variant,
        Checkpoint(parameters.checkpoint),
        parameters.weights,
        parameters.allow_download,
        on_progress,
    )


def load_backend(parameters: Parameters) -> DepthBackend:
    """Load and warm up the network that `parameters` name, from what is on disk.

    Raises WeightsError, BackendError or SettingError.
    """
    backend = create_backend(
        parameters.backend,
        variant=parameters.variant,
        weights=parameters.weights,
        device=parameters.device,
        precision=parameters.precision,
        input_size=parameters.input_size,
        checkpoint=Checkpoint(parameters.checkpoint),
        threads=parameters.threads,
    )
    backend.infer(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8))
    return backend


class DepthPipeline:
    """Turns the images of one camera into depth frames; cameras may share a backend.

    `parameters` may be replaced at any time by another thread; the next frame follows them.
    """

    def __init__(self, backend: DepthBackend, parameters: Parameters) -> None:
        self.backend = backend
        self.parameters = parameters
        self._normalizer = _normalizer(parameters)
        self._normalizer_of = parameters.relative

    def process(
        self,
        bgr: BgrImage,
        stamp_ns: int,
        wanted: Wanted = Wanted.ALL,
        times: StageTimes | None = None,
    ) -> DepthFrame:
        """Run one image of any size, stamped `stamp_ns` nanoseconds.

        Raises FrameError for an image, or an answer of the network, that means nothing.
        """
        times = times or StageTimes()
        with times.stage('preprocess'):
            check_image(bgr)
        disparity = self.backend.infer(bgr, times)
        with times.stage('postprocess'):
            return self._finish(disparity, stamp_ns, wanted, times)

    def _finish(
        self, disparity: FloatImage, stamp_ns: int, wanted: Wanted, times: StageTimes
    ) -> DepthFrame:
        parameters = self.parameters
        if parameters.relative != self._normalizer_of:
            self._normalizer = _normalizer(parameters)
            self._normalizer_of = parameters.relative
        disparity = _bounded(disparity, parameters.output.max_side)
        check_disparity(disparity)
        normalized = color = None
        if wanted & (Wanted.NORMALIZED | Wanted.COLOR):
            normalized = self._normalizer.normalize(disparity, stamp_ns)
        if wanted & Wanted.COLOR:
            assert normalized is not None
            color = colorize(normalized, COLORMAPS[parameters.color.map])
            if self.backend.info.weights.random:
                _draw_warning(color, 'random weights')
        return DepthFrame(disparity, normalized, color, times)


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
