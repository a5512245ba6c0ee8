"""The intrinsics of files: as they were given, or by what EXIF says of the lens."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.types import Camera
from depth_anything_ros.media.pictures import Picture
from depth_anything_ros.messages.camera_info import camera_from_info
from depth_anything_ros.settings.plain_yaml import plain_yaml_file

__all__ = ['OPTIONS', 'Intrinsics']

OPTIONS = '--fov DEGREES, --intrinsics FX FY CX CY or --camera FILE'
"""What a user can give."""

_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
_NO_CALIBRATION = LookupError, TypeError, ValueError, AttributeError
# Names in CameraInfo, in its YAML by `ros2 topic echo`, and in that by camera_calibration.
_MATRICES = {
    'd': 'distortion_coefficients',
    'k': 'camera_matrix',
    'r': 'rectification_matrix',
    'p': 'projection_matrix',
}


class Intrinsics:
    """At most one of the values is given; without any, those of a picture follow from its EXIF.

    `pinhole`: fx, fy, cx, cy in pixels, for images of one size. `calibration`: a CameraInfo, as
    `camera_calibration` or `ros2 topic echo` write it. `fov_deg`: the horizontal field of view.
    `rectified` as the parameter of that name.
    """

    def __init__(
        self,
        pinhole: tuple[float, float, float, float] | None = None,
        calibration: Path | None = None,
        fov_deg: float | None = None,
        rectified: bool = False,
    ) -> None:
        if fov_deg is not None and not 0.0 < fov_deg < 180.0:
            raise SettingError(f'--fov is {fov_deg:g}: give degrees between 0 and 180')
        self._pinhole, self._fov_deg, self._rectified = pinhole, fov_deg, rectified
        self._info = None if calibration is None else _read(calibration)
        self._size: tuple[int, int] | None = None
        self.source = ''
        """What those of the last image follow from, in words."""
        if pinhole is not None:
            Camera.from_intrinsics(*pinhole, 1, 1)
            self.source = '--intrinsics'
        elif calibration is not None:
            self.source = f'--camera {calibration}'
        elif fov_deg is not None:
            self.source = f'--fov {fov_deg:g}'

    @property
    def given(self) -> bool:
        """Whether they are known without EXIF."""
        return self._info is not None or self._pinhole is not None or self._fov_deg is not None

    def camera(self, picture: Picture) -> Camera:
        """Return those of a picture; FrameError where they are not known, or not its own."""
        height, width = picture.bgr.shape[:2]
        if self._info is not None:
            return camera_from_info(self._info, width, height, self._rectified)
        if self._pinhole is not None:
            self._size = self._size or (width, height)
            if self._size != (width, height):
                raise FrameError(
                    'bad_camera_info',
                    f'the image is {width} x {height} and the first {self._size[0]} x '
                    f'{self._size[1]}, and --intrinsics are for one size: use --fov, or a run '
                    'for each size',
                )
            return Camera.from_intrinsics(*self._pinhole, width, height)
        if self._fov_deg is not None:
            focal_px = 0.5 * width / math.tan(math.radians(self._fov_deg) / 2)
        elif picture.focal_35mm > 0.0:
            focal_px = math.hypot(width, height) * picture.focal_35mm / _FILM_DIAGONAL_MM
            self.source = 'the focal length in EXIF'
        else:
            raise FrameError(
                'no_camera_info', f'nothing says what lens took the image: add {OPTIONS}'
            )
        centre = (width - 1) / 2, (height - 1) / 2
        return Camera.from_intrinsics(focal_px, focal_px, *centre, width, height)


def _read(path: Path) -> Any:
    """Return a calibration file as a CameraInfo; SettingError where it is none."""
    try:
        # `ros2 topic echo` ends a message with ---.
        content = plain_yaml_file(path, first=True)
        matrices = {
            key: content[name]['data'] if name in content else content[key]
            for key, name in _MATRICES.items()
        }
        roi = content.get('roi') or dict.fromkeys(('x_offset', 'y_offset', 'width', 'height'), 0)
        info = SimpleNamespace(
            width=content.get('image_width', content.get('width')),
            height=content.get('image_height', content.get('height')),
            distortion_model=content['distortion_model'],
            binning_x=content.get('binning_x', 0),
            binning_y=content.get('binning_y', 0),
            roi=SimpleNamespace(**roi),
            **matrices,
        )
        camera_from_info(info, int(info.width), int(info.height), rectified=True)
    except OSError as error:
        raise SettingError(f'--camera {path} cannot be read: {error.strerror}') from error
    except FrameError as error:
        raise SettingError(f'--camera {path}: {error}') from error
    except _NO_CALIBRATION as error:
        raise SettingError(
            f'--camera {path} is not a calibration: name the YAML file of camera_calibration, or '
            'what `ros2 topic echo --once` prints of camera_info'
        ) from error
    return info
