"""A network for arrays: one call loads it, one call runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from depth_anything_ros.backends.base import BackendInfo, DepthBackend
from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import Parameters, flatten, parameters_from_flat
from depth_anything_ros.core.preprocess import check_bgr
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import Camera
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.scene import NO_SCENE
from depth_anything_ros.estimator.stream import DepthStream

__all__ = ['DepthModel', 'load']

_OF_LOAD = {
    *('variant', 'checkpoint', 'weights', 'allow_download', 'device', 'backend', 'precision'),
    *('input_size', 'threads'),
}
_OF_STREAM = {
    *('relative', 'alignment', 'metric', 'odometry', 'cloud', 'scan', 'color'),
    *('output.max_side', 'reference.min_depth_m', 'reference.max_depth_m'),
    'reference.camera_height_m',
}
"""Groups of parameters, or parameters, that a stream reads."""


class DepthModel:
    """A network ready to run. Threads that share it take turns."""

    def __init__(self, backend: DepthBackend, parameters: Parameters | None = None) -> None:
        """Run `backend`; frames follow `parameters`, those of the node by default."""
        self.backend = backend
        self._parameters = parameters or Parameters()

    @property
    def info(self) -> BackendInfo:
        """What runs: variant, device, precision, weights, and why."""
        return self.backend.info

    def __call__(self, bgr: npt.NDArray[Any]) -> Frame:
        """Return the frame of one image, uint8 (H, W, 3) BGR, by itself: nothing is remembered.

        FrameError for an image that cannot be used.
        """
        check_bgr(bgr)
        # The caller may fill this array with the next image.
        return self._still().process(bgr.copy(), 0)

    def __repr__(self) -> str:
        return f'<DepthModel {self.info.variant} on {self.info.device}>'

    def batch(self, images: Iterable[npt.NDArray[Any]]) -> list[Frame]:
        """Return the frame of each image; images of equal size run through the network together.

        FrameError for an image that cannot be used.
        """
        stream, times = self._still(), StageTimes()
        images = list(images)
        for index, image in enumerate(images):
            try:
                check_bgr(image)
                stream.check(image, times)
            except FrameError as error:
                raise FrameError(error.reason, f'image {index} of the batch: {error}') from error
        outputs = self.backend.infer_batch(images, times)
        return [
            self._still().frame(output, image.copy(), 0, NO_SCENE, times)
            for output, image in zip(outputs, images, strict=True)
        ]

    def stream(
        self,
        camera: Camera | None = None,
        parameters: Mapping[str, object] | None = None,
        level_from_camera: npt.NDArray[Any] | Transform | None = None,
    ) -> DepthStream:
        """Return a stream for the images of one camera, which keeps the scale between frames.

        `parameters`: of docs/parameters.md by their dotted names, like
        {'alignment.refinement': True}. `level_from_camera`: matrix (4, 4) of the optical frame in
        a frame with z up, for scans and height limits. SettingError for a wrong parameter, or one
        that has no effect here.
        """
        if camera is not None and not isinstance(camera, Camera):
            raise SettingError(
                f'camera is {type(camera).__name__}: give da.Camera.from_intrinsics(fx, fy, cx, '
                'cy, width, height)'
            )
        changed = parameters_from_flat({**flatten(self._parameters), **(parameters or {})})
        for name in parameters or {}:
            _check_effect(name)
        if level_from_camera is not None and not isinstance(level_from_camera, Transform):
            level_from_camera = Transform.from_matrix(level_from_camera)
        return DepthStream(self.backend, changed, camera, level_from_camera)

    def close(self) -> None:
        """Free the memory; the model cannot run again."""
        self.backend.close()

    def __enter__(self) -> DepthModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _still(self) -> DepthStream:
        relative = replace(self._parameters.relative, smoothing_s=0.0)
        return DepthStream(self.backend, replace(self._parameters, relative=relative))


def _check_effect(name: str) -> None:
    """Refuse a parameter of the node that a stream does not read."""
    if name in _OF_STREAM or name.partition('.')[0] in _OF_STREAM:
        return
    if name in _OF_LOAD:
        fix = 'give it to da.load'
    elif name.startswith('reference.'):
        fix = 'give a reference with the image, such as da.Ground(height)'
    else:
        fix = 'it is for the node'
    raise SettingError(f'{name} has no effect on a stream: {fix}')


def load(
    variant: str = 'vits',
    *,
    checkpoint: str = 'relative',
    weights: str | Path = '',
    device: str = 'auto',
    backend: str = 'auto',
    precision: str = 'auto',
    input_size: int = 518,
    threads: int = 0,
    allow_download: bool = True,
) -> DepthModel:
    """Load a network; missing weights are downloaded and verified first.

    `variant`: size of the network, 'vits', 'vitb' or 'vitl', or 'demo', which is in the package.
    `checkpoint`: 'relative', or in metres 'metric_indoor' (to 20 m) or 'metric_outdoor' (80 m).
    `weights`: '' for the released file, a file, a folder of such, a card, or 'random'.
    `device`: 'auto', 'cpu', 'cuda', 'cuda:N', with OpenVINO 'gpu'.
    `backend`: 'auto', 'torch', 'openvino', 'onnxruntime' or 'upstream'.
    `precision`: 'auto', 'fp32', 'fp16', 'bf16' or 'int8'.
    `input_size`: shorter side of what the network sees, in pixels.
    `threads`: of the CPU, 0 for the cores that there are.
    `allow_download`: whether missing weights may be fetched.

    Raises SettingError for a value that cannot be used, WeightsError for weights that are missing
    or damaged, BackendError for what this machine cannot run.
    """
    # The arguments have the names of the parameters.
    parameters = parameters_from_flat(
        {**locals(), 'weights': str(weights) if isinstance(weights, Path) else weights}
    )
    fetch_weights(parameters)
    return DepthModel(load_backend(parameters), parameters)
