"""The exported network that OpenVINO and ONNX Runtime load: build it, or name the command."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.packages import missing
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.model.cache import Format, find_export, keep_export
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights_file import WeightsFile

__all__ = [
    'build_export',
    'existing_export',
    'export_command',
    'quantize_export',
    'reload_fix',
]

_log = logging.getLogger(__name__)


def build_export(weights: WeightsFile, form: Format) -> Path:
    """Return the network exported from `weights`: cached, or exported by torch in some seconds.

    Raises BackendError where it cannot be exported, WeightsError as loading does.
    """
    if weights.card.is_onnx and weights.path is not None:
        return weights.path
    found = find_export(weights, form)
    if found is not None:
        return found
    try:
        from depth_anything_ros.model.export import export
    except ModuleNotFoundError as err:
        if err.name != 'torch':
            raise
        needed = missing(f'exporting {weights.title} to {form.value}', 'torch')
        raise BackendError(f'{needed}, or copy the cache of a machine that has it') from err
    _log.info('exporting %s to %s, once for these weights', weights.title, form.value)
    return keep_export(weights, form, partial(export, weights, form))


def quantize_export(
    weights: WeightsFile, form: Format, images: Sequence[BgrImage], input_size: int
) -> Path:
    """Return the network exported from `weights` in int8, newly calibrated; takes minutes.

    images: like those that it will process, uint8 (H, W, 3); resized to `input_size`, the
        shorter side in pixels, as they will be then.
    Raises as `build_export`.
    """
    from depth_anything_ros.model.quantization import quantize

    write = partial(quantize, build_export(weights, form), form, images, input_size)
    return keep_export(weights, form, write, int8=True)


def existing_export(weights: WeightsFile, form: Format, *, int8: bool = False) -> Path:
    """Return the network that was exported before; else BackendError names the command."""
    if weights.card.is_onnx and weights.path is not None:
        if int8:
            raise SettingError(f'precision int8 is not for {weights.path}: quantise that file')
        return weights.path
    found = find_export(weights, form, int8=int8)
    if found is not None:
        return found
    done, otherwise = (
        ('calibrated for int8 on', 'choose another precision')
        if int8
        else ('exported to', "set backend to 'torch'")
    )
    command = export_command(*weights.parameters, form, int8=int8)
    raise BackendError(
        f'{weights.title} was not {done} {form.value} yet: run'
        f' `{command}` and try again, or {otherwise}'
    )


def reload_fix(weights: WeightsFile) -> str:
    """Return what to do where a runtime cannot load the network of `weights`."""
    if weights.card.is_onnx:
        return 'export that network again, with another opset, or try the other ONNX backend'
    return "delete that folder and export again, or set backend to 'torch'"


def export_command(
    variant: str, checkpoint: Checkpoint, weights: str, form: Format, *, int8: bool = False
) -> str:
    """Return the shell command that exports the network of these parameters into the cache."""
    words = ['depth_anything export --cache --format', form.value]
    words += ['--precision int8 --calibration FOLDER_OR_BAG'] if int8 else []
    words += ['--variant', variant, '--checkpoint', checkpoint.value]
    words += ['--weights', shlex.quote(weights)] if weights else []
    return ' '.join(words)
