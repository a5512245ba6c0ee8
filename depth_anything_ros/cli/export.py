"""`export`: the network as a file for OpenVINO or ONNX runtimes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from depth_anything_ros.cli.options import add_network, size
from depth_anything_ros.cli.parser import Parser
from depth_anything_ros.cli.terminal import download_progress
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.settings.input_files import refuse_existing

if TYPE_CHECKING:
    from depth_anything_ros.core.types import BgrImage
    from depth_anything_ros.model.cache import Format
    from depth_anything_ros.model.weights_file import WeightsFile

__all__ = ['declare']


def declare(export: Parser) -> None:
    """Declare the options."""
    export.add_argument('output', metavar='OUT', type=Path, nargs='?', help='.xml or .onnx file')
    export.add_argument(
        '--cache', action='store_true', help='into the cache, where the backends look for it'
    )
    export.add_argument(
        '--format',
        choices=('openvino', 'onnx'),
        help='default: onnx for an OUT that ends so, else openvino',
    )
    export.add_argument(
        '--size',
        type=size,
        metavar='WxH',
        help='for one image of that size, scaled by --input-size (default: any batch and size)',
    )
    export.add_argument(
        '--precision',
        choices=('fp32', 'int8'),
        default='fp32',
        help='int8 multiplies 8-bit numbers, for processors that do that fastest (default: fp32)',
    )
    export.add_argument(
        '--calibration',
        metavar='IN',
        help='pictures that int8 takes the ranges of its values from: a bag, a folder of images '
        "or a video; best the robot's own",
    )
    names = ('variant', 'checkpoint', 'weights', 'allow_download', 'input_size')
    add_network(export, names=names)
    export.set_defaults(verb=_export)


def _export(options: argparse.Namespace) -> int:
    from depth_anything_ros.backends.export_files import build_export, quantize_export
    from depth_anything_ros.core.preprocess import network_size
    from depth_anything_ros.model.export import export
    from depth_anything_ros.model.quantization import quantize

    form = _format(options)
    if options.output is not None:
        refuse_existing(options.output)
    images = _calibration(options)
    weights = _located(options)
    if weights.card.is_onnx:
        raise SettingError(f'{weights.path} is an ONNX file: its backends run it as it is')
    for notice in weights.notices():
        print(f'warning: {notice}', file=sys.stderr)
    input_size = weights.card.pinned_size or options.input_size
    if options.cache:
        print(
            quantize_export(weights, form, images, input_size)
            if images
            else build_export(weights, form)
        )
        return 0
    try:
        if images:
            quantize(build_export(weights, form), form, images, input_size, options.output)
        else:
            width, height = options.size or (0, 0)
            shape = network_size(height, width, input_size) if options.size else None
            export(weights, form, options.output, shape)
    except OSError as err:
        raise BackendError(
            f'cannot write {options.output} ({err.strerror or err}): give a file in a folder that'
            ' exists and has room'
        ) from err
    print(options.output)
    return 0


def _format(options: argparse.Namespace) -> Format:
    """Return the format; SettingError for options that contradict each other."""
    from depth_anything_ros.model.cache import Format

    output: Path | None = options.output
    if (output is None) is not options.cache:
        both = ', not both' if options.cache else ''
        raise SettingError(f'give the file to write, OUT, or --cache{both}')
    if options.cache and options.size is not None:
        raise SettingError('--size has no use with --cache: the network there takes any size')
    if options.precision == 'int8' and options.size is not None:
        raise SettingError('--size has no use with --precision int8: that network takes any size')
    ends_so = output is not None and output.suffix == Format.ONNX.suffix
    form = Format(options.format or ('onnx' if ends_so else 'openvino'))
    if output is not None and output.suffix != form.suffix:
        raise SettingError(f'{output} is not a name for {form.value}: let it end in {form.suffix}')
    return form


def _calibration(options: argparse.Namespace) -> list[BgrImage]:
    """Return the images for int8, for another precision an empty list."""
    from depth_anything_ros.studies.calibration import NO_PICTURES, calibration_images

    if options.precision != 'int8':
        if options.calibration is not None:
            raise SettingError('--calibration is for --precision int8: add that, or leave it out')
        return []
    if options.calibration is None:
        raise SettingError(NO_PICTURES)
    return calibration_images(options.calibration)


def _located(options: argparse.Namespace) -> WeightsFile:
    from depth_anything_ros.model.variants import Checkpoint
    from depth_anything_ros.model.weights import locate

    with download_progress() as show:
        return locate(
            options.variant,
            Checkpoint(options.checkpoint),
            options.weights,
            options.allow_download,
            show,
        )
