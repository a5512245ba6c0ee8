"""Options of `run` that say what measures metres, and what lens took the images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from depth_anything_ros.cli.options import positive
from depth_anything_ros.core.errors import SettingError

if TYPE_CHECKING:
    from depth_anything_ros.core.parameters import Parameters
    from depth_anything_ros.media.scenes import FileScenes
    from depth_anything_ros.media.sources import Source

__all__ = ['add_metres', 'metric_inputs', 'metric_options', 'scenes_of']


def add_metres(run: argparse.ArgumentParser, also: str = '') -> None:
    """Add the options, in a group of their own; a --reference is `also` this."""
    group = run.add_argument_group('metres')
    measured = group.add_mutually_exclusive_group()
    measured.add_argument(
        '--reference',
        metavar='PATH',
        type=Path,
        help='folder, or the file of one picture: depth along Z (.png, .npy, .exr) or points '
        f'(.npy, .txt, .csv, .xyz){also}',
    )
    measured.add_argument(
        '--camera-height', metavar='M', type=positive, help='metres over flat ground'
    )
    group.add_argument(
        '--camera-pitch',
        metavar='DEG',
        type=float,
        help='how far the camera looks down (default: 0)',
    )
    group.add_argument(
        '--reference-scale',
        metavar='LEVELS',
        type=positive,
        help='levels of a .png in a metre (default: by the file, or 1000)',
    )
    seen = group.add_mutually_exclusive_group()
    seen.add_argument(
        '--fov', metavar='DEG', type=float, help='horizontal field of view (default: by EXIF)'
    )
    seen.add_argument(
        '--intrinsics',
        metavar=('FX', 'FY', 'CX', 'CY'),
        nargs=4,
        type=float,
        help='of the images, in pixels',
    )
    seen.add_argument('--camera', metavar='FILE', type=Path, help='calibration, a YAML file')


def metric_options(options: argparse.Namespace) -> list[object]:
    """Return what of the options the metres depend on, beside parameters."""
    names = 'reference', 'reference_scale', 'camera_height', 'fov', 'intrinsics', 'camera'
    return [_pitch_deg(options), *(getattr(options, name) for name in names)]


def _pitch_deg(options: argparse.Namespace) -> float:
    return float(options.camera_pitch or 0.0)


def metric_inputs(options: argparse.Namespace) -> list[Path]:
    """Return the files and folders that the options name, with what is in them."""
    found = [path for path in (options.reference, options.camera) if path]
    return [*found, *(each for path in found if path.is_dir() for each in path.rglob('*'))]


def scenes_of(
    options: argparse.Namespace, source: Source, parameters: Parameters, formats: tuple[str, ...]
) -> FileScenes:
    """Return what the options say of lens and references; SettingError for what they lack."""
    from depth_anything_ros.core.geometry.transforms import extrinsics_from_text
    from depth_anything_ros.media.intrinsics import OPTIONS, Intrinsics
    from depth_anything_ros.media.references import ReferenceFiles
    from depth_anything_ros.media.scenes import FileScenes, ground_below

    pinhole = tuple(options.intrinsics) if options.intrinsics else None
    intrinsics = Intrinsics(pinhole, options.camera, options.fov, parameters.rectified)
    files = ground = None
    if options.reference is not None:
        extrinsics = extrinsics_from_text(parameters.reference.extrinsics)
        files = ReferenceFiles(options.reference, options.reference_scale, extrinsics)
        if files.single and not source.single:
            raise SettingError(
                f'--reference {options.reference} is one file, and {options.input} more than one '
                'picture: name the folder of their references'
            )
    if options.camera_height is not None:
        ground = ground_below(options.camera_height, _pitch_deg(options))
    elif options.camera_pitch is not None:
        raise SettingError('--camera-pitch has no effect without --camera-height: add that')
    if options.reference_scale is not None and options.reference is None:
        raise SettingError('--reference-scale has no effect without --reference: add that')
    for needs, name in ((ground, '--camera-height'), ('ply' in formats, '--save ply')):
        if needs and not intrinsics.given and source.moving:
            raise SettingError(f'{name} needs intrinsics, and a film has none: add {OPTIONS}')
    return FileScenes(intrinsics, files, ground, clouds='ply' in formats)
