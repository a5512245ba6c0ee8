"""What the runtimes of exported networks share: the export itself, and frames around it."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.backends.base import BackendInfo, BackendSettings, NetworkOutput
from depth_anything_ros.backends.frames import (
    HostInputs,
    infer_by_size,
    inverse_of_metres,
    output_of,
)
from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.core.preprocess import network_size, upsample
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.cache import Format, find_export, keep_export
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import WeightsFile

__all__ = [
    'ExportedBackend',
    'Run',
    'build_export',
    'existing_export',
    'export_command',
    'quantize_export',
]

Run = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Maps the network's input (N, 3, h, w) to a new array (N, h, w)."""

_log = logging.getLogger(__name__)


def build_export(weights: WeightsFile, form: Format) -> Path:
    """Return the network exported from `weights`, from the cache or by torch; this takes seconds.

    Raises BackendError where it cannot be exported, WeightsError as loading does.
    """
    found = find_export(weights, form)
    if found is not None:
        return found
    try:
        from depth_anything_ros.model.export import export
    except ModuleNotFoundError as err:
        if err.name != 'torch':
            raise
        raise BackendError(
            f'exporting {weights.variant} to {form.value} needs torch, which is not installed:'
            ' pip install torch, or copy the cache of a machine that has it'
        ) from err
    _log.info('exporting %s to %s, once for these weights', weights.variant, form.value)
    return _keep(weights, form, partial(export, weights, form))


def quantize_export(
    weights: WeightsFile, form: Format, images: Sequence[BgrImage], input_size: int
) -> Path:
    """Return the network exported from `weights` in int8, calibrated anew; this takes minutes.

    images: like those that it will see, uint8 (H, W, 3), resized to `input_size` as they will be.
    Raises as `build_export`.
    """
    from depth_anything_ros.model.quantization import quantize

    write = partial(quantize, build_export(weights, form), form, images, input_size)
    return _keep(weights, form, write, int8=True)


def existing_export(weights: WeightsFile, form: Format, *, int8: bool = False) -> Path:
    """Return the network exported before; BackendError names the command that does it."""
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
        f'{weights.variant} {weights.checkpoint.value} was not {done} {form.value} yet: run'
        f' `{command}` and try again, or {otherwise}'
    )


def export_command(
    variant: str, checkpoint: Checkpoint, weights: str, form: Format, *, int8: bool = False
) -> str:
    """Return the command that exports into the cache what these parameters name."""
    words = ['depth_anything export --cache --format', form.value]
    words += ['--precision int8 --calibration FOLDER_OR_BAG'] if int8 else []
    words += ['--variant', variant, '--checkpoint', checkpoint.value]
    words += ['--weights', shlex.quote(weights)] if weights else []
    return ' '.join(words)


def _keep(
    weights: WeightsFile, form: Format, write: Callable[[Path], None], *, int8: bool = False
) -> Path:
    try:
        return keep_export(weights, form, write, int8=int8)
    except OSError as err:
        raise BackendError(
            f'the exported {weights.variant} cannot be written anywhere ({err}): free some space,'
            ' or set TMPDIR to a folder that can be written'
        ) from err


class ExportedBackend:
    """A loaded network of any runtime; see DepthBackend for what it does."""

    def __init__(
        self, settings: BackendSettings, name: str, device: str, precision: str, run: Run
    ) -> None:
        # A bad input size must not wait for the first frame.
        network_size(1, 1, settings.input_size)
        self._run: Run | None = run
        self._inputs = HostInputs()
        self.info = BackendInfo(
            name=name,
            variant=settings.variant.name,
            device=device,
            precision=precision,
            input_size=settings.input_size,
            output=output_of(settings.weights.checkpoint),
            weights=settings.weights,
        )
        self.input_size = settings.input_size

    @property
    def output(self) -> NetworkOutput:
        """What the numbers mean."""
        return self.info.output

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return float32 (H, W) for a uint8 (H, W, 3) image, larger = nearer."""
        return self.infer_batch([bgr], times)[0]

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Do `infer` for each image; those of equal size run together."""
        return infer_by_size(images, partial(self._infer_equal, times=times or StageTimes()))

    def close(self) -> None:
        """Free the memory; the backend cannot run again."""
        self._run = None
        self._inputs.clear()

    def _infer_equal(self, images: list[BgrImage], times: StageTimes) -> list[FloatImage]:
        if self._run is None:
            raise BackendError(f'the {self.info.name} backend was closed: create another one')
        size = images[0].shape[0], images[0].shape[1]
        with times.stage('preprocess'):
            batch = self._inputs.filled(images, network_size(*size, self.input_size))
        with times.stage('infer'):
            values = self._run(batch)
        with times.stage('postprocess'):
            maps = [upsample(value, size) for value in values]
            if self.output is NetworkOutput.METRES:
                maps = [inverse_of_metres(metres) for metres in maps]
        return maps
