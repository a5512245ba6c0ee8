"""An exported network in int8, by post-training quantisation (NNCF)."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.core.packages import missing
from depth_anything_ros.core.preprocess import network_input, network_size
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.cache import Format

__all__ = ['quantize']

_KEPT_IN_FLOAT = '.*layer._rn.*'
"""The first convolutions of the head, by their names in both formats. OpenVINO 2026.4 computes
them wrongly in int8: the median error of `demo` is 25 %, and 0.4 % where OpenVINO emulates the
same int8 network in float (LP_TRANSFORMS_MODE NO)."""


def quantize(
    exported: Path, form: Format, images: Sequence[BgrImage], input_size: int, path: Path
) -> None:
    """Write the network in the file `exported` to `path`, with its products in int8.

    images: at least one, uint8 (H, W, 3), from which the ranges of activations are taken; resized
        to `input_size`, the shorter side in pixels.

    Raises OSError where the file cannot be written, BackendError where a package is missing or
    the network cannot be quantised.
    """
    # Before NNCF, which would use OpenVINO's telemetry.
    from depth_anything_ros.model.quiet_openvino import core, save

    def prepared(bgr: BgrImage) -> dict[str, FloatImage]:
        size = network_size(bgr.shape[0], bgr.shape[1], input_size)
        return {'image': network_input(bgr, size)[None]}

    try:
        # NNCF prints its progress on stdout, which is for results.
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter('ignore')
            import nncf

            logging.getLogger('nncf').setLevel(logging.ERROR)
            if form is Format.OPENVINO:
                network = core().read_model(exported)
            else:
                import onnx

                network = onnx.load(exported)
            quantized = nncf.quantize(
                network,
                nncf.Dataset(images, prepared),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(images),
                model_type=nncf.ModelType.TRANSFORMER,
                ignored_scope=nncf.IgnoredScope(patterns=[_KEPT_IN_FLOAT]),
            )
    except ModuleNotFoundError as err:
        needed = missing('int8', err.name or 'nncf')
        raise BackendError(f'{needed}, or choose another precision') from err
    except (RuntimeError, ValueError) as err:
        detail = (str(err).splitlines() or [type(err).__name__])[0]
        raise BackendError(
            f'{exported} cannot be quantised ({detail}): install the versions that'
            ' constraints.txt names, or choose another precision'
        ) from err
    if form is Format.OPENVINO:
        save(quantized, path)
    else:
        onnx.save(quantized, path)
