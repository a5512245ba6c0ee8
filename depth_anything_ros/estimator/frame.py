"""What one image became: relative depth, and metric depth where there is a scale."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from depth_anything_ros.core.colormaps import COLORMAPS, colorize
from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.flicker import Look, flicker
from depth_anything_ros.core.geometry.planar_scan import PlanarScan
from depth_anything_ros.core.geometry.projection import directions_from_pixels
from depth_anything_ros.core.normalization import normalized_between
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, Camera, FloatImage
from depth_anything_ros.estimator.scene import Scene
from depth_anything_ros.metric.cloud import Cloud, make_cloud
from depth_anything_ros.metric.scale import Scale
from depth_anything_ros.metric.virtual_scan import make_scan

__all__ = ['Frame']

# Blue, green, red: that of inliers of a reference, and of outliers.
_INLIER, _OUTLIER = np.array([(60, 200, 60), (60, 60, 230)], np.uint8)

Product = TypeVar('Product')


class Frame:
    """Depth of one image. Everything but `inverse_depth` is computed when it is asked for.

    `inverse_depth`: float32 (H, W), the network's output, unscaled, larger = nearer.
    `image`: the picture itself, uint8 (h, w, 3) BGR; `stamp_ns` its stamp in nanoseconds.
    `scale`: what the metres rest on, or why there are none. `times`: milliseconds by stage.
    `missing`: why a cloud or scan that was asked for is not there although there are metres.
    """

    def __init__(
        self,
        inverse_depth: FloatImage,
        image: BgrImage,
        stamp_ns: int,
        bounds: tuple[float, float],
        scale: Scale,
        scene: Scene,
        parameters: Parameters,
        times: StageTimes,
        *,
        metric_inverse_depth: FloatImage | None = None,
        random_weights: bool = False,
        looks: tuple[Callable[[], Look], Callable[[], Look]] | None = None,
    ) -> None:
        """`bounds`: the inverse depth that becomes 0 and 1 in `normalized`.

        `metric_inverse_depth`: what `scale` applies to, where that is not `inverse_depth`.
        `random_weights`: the picture says that the network is untrained.
        `looks`: what flicker compares of the frame before and of this one.
        """
        self.inverse_depth = inverse_depth
        self.image = image
        self.stamp_ns = stamp_ns
        self.scale = scale
        self.times = times
        self.missing: dict[str, FrameError] = {}
        self.parameters = parameters
        self.bounds = bounds
        self._scene = scene
        self._metric = inverse_depth if metric_inverse_depth is None else metric_inverse_depth
        self._random = random_weights
        self._looks = looks
        self._colors: dict[str, BgrImage] = {}
        self._products: dict[str, Any] = {}

    def __repr__(self) -> str:
        height, width = self.inverse_depth.shape
        metres = self.reason or f'metres by {self.scale.source}'
        return f'<Frame {width} x {height}, {self.stamp_ns} ns, {metres}>'

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the image."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def reason(self) -> str:
        """Why there are no metres, a name such as 'no_reference'; '' where there are."""
        return '' if self.scale.valid else self.scale.reason

    @property
    def message(self) -> str:
        """`reason` in words, with what to do; '' where there are metres."""
        return '' if self.scale.valid else self.scale.message

    @cached_property
    def flicker(self) -> float:
        """Change of depth since the frame before where pixels hardly moved: core.flicker.

        NaN where too little holds still, and for the first frame. It takes about 4 ms of a core.
        """
        if self._looks is None:
            return float('nan')
        before, now = self._looks
        return flicker(before(), now())

    @cached_property
    def normalized(self) -> FloatImage:
        """Relative depth, float32 (H, W) in [0, 1], 1 = nearest."""
        with self.times.stage('postprocess'):
            return normalized_between(self.inverse_depth, *self.bounds)

    def color(self, colormap: str = '') -> BgrImage:
        """Return `normalized` as a picture, uint8 (H, W, 3) BGR; SettingError for an unknown map.

        `colormap` is one of core.colormaps.COLORMAPS; '' is the parameter color.map.
        """
        name = colormap or self.parameters.color.map
        if name not in COLORMAPS:
            known = ', '.join(COLORMAPS)
            raise SettingError(f"colormap '{name}' is not known: choose one of {known}")
        if name not in self._colors:
            normalized = self.normalized
            with self.times.stage('postprocess'):
                picture = colorize(normalized, COLORMAPS[name])
                if self._random:
                    _draw_warning(picture, 'random weights')
            self._colors[name] = picture
        return self._colors[name]

    @cached_property
    def depth_m(self) -> FloatImage | None:
        """Depth along Z in metres, float32 (H, W), NaN where unknown; None without metres."""
        if self.scale.alignment is None:
            return None
        with self.times.stage('postprocess'):
            return self.scale.alignment.metric_depth(self._metric)

    @cached_property
    def sigma_m(self) -> FloatImage | None:
        """Standard deviation of `depth_m` in metres, NaN where unknown; None without metres."""
        depth_m = self.depth_m
        if self.scale.alignment is None or depth_m is None:
            return None
        with self.times.stage('postprocess'):
            return self.scale.alignment.sigma_of(depth_m)

    def cloud(self) -> Cloud | None:
        """Return the points of `depth_m` in the optical frame, filtered by the cloud parameters.

        None without metres, or where `missing['points']` says why.
        """
        depth_m, sigma_m, settings = self.depth_m, self.sigma_m, self.parameters.cloud
        if depth_m is None or sigma_m is None:
            return None

        def make() -> Cloud:
            frame = settings.height_frame
            level = self._scene.level_from_camera(frame) if frame else None
            return make_cloud(depth_m, sigma_m, self.image, self.camera(), level, settings)

        return self._once('points', make)

    def scan(self) -> PlanarScan | None:
        """Return the nearest obstacle for each bearing, in the frame of the scan parameters.

        None without metres, or where `missing['scan']` says why.
        """
        depth_m, settings = self.depth_m, self.parameters.scan
        if depth_m is None:
            return None

        def make() -> PlanarScan:
            level = self._scene.level_from_camera(settings.frame)
            sigma_m = self.sigma_m if settings.max_relative_sigma > 0.0 else None
            return make_scan(depth_m, sigma_m, self.camera(), level, settings)

        return self._once('scan', make)

    def scan_in_camera(self) -> Cloud | None:
        """Return the obstacles of `scan` as points in the optical frame; None without."""
        scan = self.scan()
        if scan is None:
            return None
        level = self._scene.level_from_camera(self.parameters.scan.frame)
        return Cloud(level.inverse().apply(scan.points()))

    def samples(self) -> Cloud | None:
        """Return this frame's samples of the reference, in the optical frame.

        Green are those that fit, red the outliers. None where the frame has none of its own.
        """
        fit = self.scale.fit
        if fit is None or fit.samples is None or fit.inlier is None:
            return None
        given = fit.samples
        u, v = given.u.astype(np.float64), given.v.astype(np.float64)
        x, y = directions_from_pixels(u, v, self.camera())
        points = np.stack((x, y, np.ones_like(x)), axis=1) * given.depth_m[:, None]
        colors = np.where(fit.inlier[:, None], _INLIER, _OUTLIER)
        return Cloud(points.astype(np.float32), colors)

    def save(self, path: str | Path) -> None:
        """Write the picture (.png, .jpg, ...), or `inverse_depth` where `path` ends in .npy.

        SettingError where that cannot be written.
        """
        if not isinstance(path, str | Path):
            raise SettingError(f'path is {path!r}: name the file to write')
        path = Path(path)
        try:
            if path.suffix.lower() == '.npy':
                with path.open('wb') as file:
                    np.save(file, self.inverse_depth)
                return
            written, encoded = cv2.imencode(path.suffix.lower() or '.', self.color())
            if written:
                path.write_bytes(encoded.tobytes())
                return
            why = 'the picture cannot be encoded'
        except cv2.error:
            why = 'no format of pictures has this ending: use .png, .jpg or .npy'
        except OSError as err:
            why = err.strerror or str(err)
        raise SettingError(f'{path} cannot be written: {why}')

    def camera(self) -> Camera:
        """Return the intrinsics at the size of the depth; FrameError where they are not known."""
        height, width = self.inverse_depth.shape
        return self._scene.camera().scaled(width, height)

    def _once(self, name: str, make: Callable[[], Product]) -> Product | None:
        """Return what `make` returned the first time; None where it failed, as `missing` says."""
        if name not in self._products:
            self._products[name] = None
            with self.times.stage('cloud'):
                try:
                    self._products[name] = make()
                except FrameError as error:
                    self.missing[name] = error
        product: Product | None = self._products[name]
        return product


def _draw_warning(image: BgrImage, text: str) -> None:
    """Write `text` over `image`, legible on any colour and at any size."""
    scale = max(0.3, image.shape[1] / 640)
    origin = round(12 * scale), round(30 * scale)
    font = cv2.FONT_HERSHEY_SIMPLEX, 0.8 * scale
    for color, width in (((0, 0, 0), 4), ((255, 255, 255), 1.5)):
        thickness = max(1, round(width * scale))
        cv2.putText(image, text, origin, *font, color, thickness, cv2.LINE_AA)
